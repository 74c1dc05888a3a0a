//! Users that were asked for lately, until they change or an hour has passed.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::User;

/// How long a user may be answered from memory.
const TIME_TO_LIVE: Duration = Duration::from_secs(3_600);
/// Users in memory, some hundred bytes each. At the bound the one that was loaded first goes.
const CAPACITY: usize = 10_000;

/// A cache of users. What changes a user, here or in another process, has it forgotten.
#[derive(Debug, Default)]
pub struct UserCache(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether changes by other processes are heard of; without that nothing may be kept.
    is_open: bool,
    /// Counts what was forgotten. A user that was read before something was forgotten may be the one that was.
    epoch: u64,
    users: HashMap<String, Kept>,
    /// Counts what was kept.
    serial: u64,
    /// What was kept, in that order; what was forgotten or kept again since is still in it.
    order: VecDeque<(u64, String)>,
}

#[derive(Debug)]
struct Kept {
    serial: u64,
    loaded_at: Instant,
    user: User,
}

/// The moment before a user is read from the store.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(u64);

impl UserCache {
    /// Keeps users from now on, or forgets all and keeps none.
    pub fn set_open(&self, is_open: bool) {
        let mut state = self.state();
        *state = State {
            is_open,
            epoch: state.epoch + 1,
            ..State::default()
        };
    }

    /// A user, if it is there.
    pub fn get(&self, user_id: &str) -> Option<User> {
        let state = self.state();
        let kept = state.users.get(user_id)?;
        (kept.loaded_at.elapsed() < TIME_TO_LIVE).then(|| kept.user.clone())
    }

    /// To be asked before a user is read, and given to [`UserCache::put`] with it.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.state().epoch)
    }

    /// Keeps a user that was read after `epoch`, unless one was forgotten since: what was read may be older than that.
    pub fn put(&self, user: User, epoch: Epoch) {
        let mut state = self.state();
        if !state.is_open || state.epoch != epoch.0 {
            return;
        }
        state.serial += 1;
        let kept = Kept {
            serial: state.serial,
            loaded_at: Instant::now(),
            user,
        };
        let user_id = kept.user.user_id.clone();
        state.order.push_back((kept.serial, user_id.clone()));
        state.users.insert(user_id, kept);
        state.shrink();
    }

    /// Forgets a user, because it has changed.
    pub fn forget(&self, user_id: &str) {
        let mut state = self.state();
        state.epoch += 1;
        state.users.remove(user_id);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // The state is whole after every operation, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets go of what is too old or too much.
    fn shrink(&mut self) {
        if self.order.len() > 2 * CAPACITY {
            let users = &self.users;
            let is_kept = |serial, user_id: &String| {
                let kept: Option<&Kept> = users.get(user_id);
                kept.is_some_and(|kept| kept.serial == serial)
            };
            self.order
                .retain(|(serial, user_id)| is_kept(*serial, user_id));
        }
        while let Some((serial, user_id)) = self.order.front() {
            if let Some(kept) = self.users.get(user_id)
                && kept.serial == *serial
            {
                if self.users.len() <= CAPACITY && kept.loaded_at.elapsed() < TIME_TO_LIVE {
                    return;
                }
                self.users.remove(user_id);
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use longshore_orders::Role;

    fn user(user_id: &str) -> User {
        User {
            user_id: user_id.to_owned(),
            email: "a@b".to_owned(),
            name: "Ada".to_owned(),
            role: Role::Customer,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn open() -> UserCache {
        let cache = UserCache::default();
        cache.set_open(true);
        cache
    }

    #[tokio::test(start_paused = true)]
    async fn a_user_is_kept_for_an_hour() {
        let cache = open();
        cache.put(user("u-1"), cache.epoch());
        tokio::time::advance(TIME_TO_LIVE - Duration::from_secs(1)).await;
        assert!(cache.get("u-1").is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(cache.get("u-1"), None);
    }

    #[tokio::test]
    async fn what_was_read_before_a_change_was_heard_of_is_not_kept() {
        let cache = open();
        let epoch = cache.epoch();
        cache.forget("u-1");
        cache.put(user("u-1"), epoch);
        assert_eq!(cache.get("u-1"), None);
    }

    #[tokio::test]
    async fn nothing_is_kept_while_changes_are_not_heard_of() {
        let cache = open();
        cache.put(user("u-1"), cache.epoch());
        cache.set_open(false);
        cache.put(user("u-2"), cache.epoch());
        assert_eq!((cache.get("u-1"), cache.get("u-2")), (None, None));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_beyond_its_bound_and_one_that_changes_often_does_not_push_out_the_rest()
     {
        let cache = open();
        for number in 0..CAPACITY + 10 {
            cache.put(user(&format!("u-{number}")), cache.epoch());
        }
        for _ in 0..3 * CAPACITY {
            cache.forget("u-9000");
            cache.put(user("u-9000"), cache.epoch());
        }
        let state = cache.state();
        assert!(state.users.len() <= CAPACITY && state.order.len() <= 2 * CAPACITY);
        drop(state);
        assert_eq!(cache.get("u-0"), None);
        assert!(cache.get(&format!("u-{}", CAPACITY + 9)).is_some());
    }
}
