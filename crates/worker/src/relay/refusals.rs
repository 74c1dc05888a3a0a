//! Topics that refuse what is sent to them, for whoever asks why something is not published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::send::Kind;
use super::timers::LEASE;
use crate::failure::chain;
use crate::report::UnwrittenTopic;
use crate::{Clock, PublishError};

/// What the relay writes and anybody reads.
#[derive(Clone, Debug)]
pub(super) struct Refusals {
    clock: Clock,
    topics: Arc<Mutex<Topics>>,
}

type Topics = BTreeMap<(Arc<str>, Kind), Refusal>;

#[derive(Debug)]
struct Refusal {
    since: Timestamp,
    last: Timestamp,
    error: String,
}

impl Refusals {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            topics: Arc::default(),
        }
    }

    /// A batch was sent; `error` is the first one of it.
    pub(super) fn sent(&self, topic: &Arc<str>, kind: Kind, error: Option<&PublishError>) {
        let mut topics = self.topics();
        if error.is_none() && topics.is_empty() {
            return;
        }
        let place = (topic.clone(), kind);
        let Some(error) = error else {
            topics.remove(&place);
            return;
        };
        let now = self.clock.now();
        let refusal = topics.entry(place).or_insert_with(|| Refusal {
            since: now,
            last: now,
            error: String::new(),
        });
        (refusal.last, refusal.error) = (now, chain(error));
    }

    /// No timer waits here any more.
    pub(super) fn forget_timers(&self) {
        self.topics().retain(|(_, kind), _| *kind != Kind::Timers);
    }

    /// Each topic once.
    pub(super) fn told(&self) -> Vec<UnwrittenTopic> {
        let mut told: Vec<UnwrittenTopic> = Vec::new();
        let now = self.clock.now();
        for ((topic, kind), refusal) in &*self.topics() {
            // Timers are anybody's once their lease is over: another instance may have published them.
            if *kind == Kind::Timers && now.duration_since(refusal.last) > 2 * LEASE {
                continue;
            }
            match told.last_mut().filter(|last| *last.topic == **topic) {
                Some(last) => last.since = last.since.min(refusal.since),
                None => told.push(UnwrittenTopic {
                    topic: topic.to_string(),
                    since: refusal.since,
                    last_error: refusal.error.clone(),
                }),
            }
        }
        told
    }

    fn topics(&self) -> MutexGuard<'_, Topics> {
        // The map is whole after every operation, so a panic elsewhere does not spoil it.
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
