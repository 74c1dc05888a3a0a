//! The timers of the store: when the next one is due, and those that were claimed and are on their way.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use uuid::Uuid;

use crate::backoff::Backoff;
use crate::{Clock, Due, StoreError};

/// Claimed timers in memory. At the bound no more are claimed until some are published.
const CAPACITY: usize = 4_000;
/// Timers that are claimed at once.
const PAGE: usize = 1_000;
/// How long a claim holds. If this process dies, another one claims the timers then, or takes over their partition
/// before that.
const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// Between two claims: what becomes due meanwhile costs one transaction, and no timer is noticeably late.
const GATHER: Duration = Duration::from_millis(20);

/// A claim that was made, or was not.
pub(super) type Claimed = Result<Due, StoreError>;

#[derive(Debug)]
pub(super) struct Timers {
    clock: Clock,
    /// When there is something to claim, as far as is known.
    next: Option<Timestamp>,
    /// No claim before this moment.
    rest_until: Instant,
    backoff: Backoff,
    /// Claimed, and not taken out of the store yet.
    held: HashSet<Uuid>,
}

/// A claim to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
    pub(super) limit: usize,
}

/// The claim under way.
pub(super) type Claiming = Option<BoxFuture<'static, Claimed>>;

impl Timers {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: None,
            rest_until: Instant::now(),
            backoff: Backoff::new(),
            held: HashSet::new(),
        }
    }

    /// A timer was set for then.
    pub(super) fn set(&mut self, due_at: Timestamp) {
        self.next = Some(self.next.map_or(due_at, |next| next.min(due_at)));
    }

    /// Somebody else may have left timers: the store is asked at once.
    pub(super) fn look(&mut self) {
        self.set(Timestamp::MIN);
    }

    /// When to claim; `None` if nothing is waited for, or there is no room.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        if self.held.len() >= CAPACITY {
            return None;
        }
        let wait = self.next?.duration_since(self.clock.now());
        let wait = Duration::try_from(wait).unwrap_or(Duration::ZERO);
        // Years away: whatever comes first sets it anew.
        let due = Instant::now().checked_add(wait)?;
        Some(due.max(self.rest_until))
    }

    /// The claim to make now. Until it is answered, nothing is known of what comes next but what is set meanwhile.
    pub(super) fn claim(&mut self) -> Claim {
        self.next = None;
        let now = self.clock.now();
        Claim {
            now,
            until: now.checked_add(LEASE).unwrap_or(Timestamp::MAX),
            limit: PAGE.min(CAPACITY - self.held.len()),
        }
    }

    /// Takes in what a claim came to; `Some` is to be published.
    pub(super) fn claimed(&mut self, claimed: Claimed) -> Option<Due> {
        match claimed {
            Ok(due) => {
                self.backoff = Backoff::new();
                self.rest_until = Instant::now() + GATHER;
                if let Some(next) = due.next {
                    self.set(next);
                }
                Some(due)
            }
            // The commits of the same store tell of its outage; here it is only waited out.
            Err(_) => {
                self.rest_until = Instant::now() + self.backoff.delay();
                self.look();
                None
            }
        }
    }

    /// Holds a claimed timer until [`Timers::release`].
    pub(super) fn hold(&mut self, id: Uuid) {
        self.held.insert(id);
    }

    /// The timer is out of the store, or left to whoever claims it when its lease is over. Says whether it was one.
    pub(super) fn release(&mut self, id: &Uuid) -> bool {
        self.held.remove(id)
    }
}
