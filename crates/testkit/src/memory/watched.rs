//! A value that tasks wait on. They are woken in the order in which they began to wait, unlike those of tokio's watch
//! channel, so that a seeded test replays.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use super::lock;

/// A value that can be waited on. Clones share it.
#[derive(Debug)]
pub struct Watched<T>(Arc<Inner<T>>);

#[derive(Debug)]
struct Inner<T> {
    value: Mutex<T>,
    changed: Arc<Notify>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Copy> Watched<T> {
    /// Starts as `value`.
    pub fn new(value: T) -> Self {
        Self(Arc::new(Inner {
            value: Mutex::new(value),
            changed: Arc::default(),
        }))
    }

    /// What it is now.
    pub fn get(&self) -> T {
        *lock(&self.0.value)
    }

    /// Makes it `value` and wakes whoever waits.
    pub fn set(&self, value: T) {
        *lock(&self.0.value) = value;
        self.0.changed.notify_waiters();
    }

    /// Completes with the next [`Watched::set`] from now on, polled before or not.
    pub fn changes(&self) -> OwnedNotified {
        self.0.changed.clone().notified_owned()
    }

    /// Waits until `condition` holds.
    pub async fn until(&self, mut condition: impl FnMut(T) -> bool) {
        loop {
            // Before the look, so that no change in between is missed.
            let changed = self.changes();
            if condition(self.get()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let watched = Watched::new(false);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..50)
            .map(|number| {
                let (watched, woken) = (watched.clone(), woken.clone());
                tokio::spawn(async move {
                    watched.until(|now| now).await;
                    lock(&woken).push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;

        watched.set(true);
        for task in waiting {
            task.await.expect("woken");
        }

        assert_eq!(*lock(&woken), (0..50).collect::<Vec<_>>());
    }
}
