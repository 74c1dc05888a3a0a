//! A member of a group of the consumer protocol: what it subscribes to, what it has, and what it is to have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::member::Client;
use super::{Beat, Partitions, SESSION_TIMEOUT};

#[derive(Debug, Clone)]
pub(crate) struct ConsumerMember {
    /// Set for a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    /// How long it may take to give partitions up.
    pub(super) rebalance_timeout: Duration,
    /// By name.
    pub(crate) topics: BTreeSet<String>,
    /// The group's epoch whose target it was last given, whole or in part.
    pub(crate) epoch: i32,
    pub(super) previous_epoch: i32,
    /// What it may consume.
    pub(crate) assigned: Partitions,
    /// What it was told to give up and may still hold.
    pub(super) revoking: Partitions,
    /// When it is removed if it has not given that up.
    pub(super) revoked_by: Option<Instant>,
    /// What it is to have in the end.
    pub(crate) target: Partitions,
    /// When it counts as dead unless it is heard of.
    expires: Instant,
    /// A static member that has left and will be back within its session.
    pub(super) is_away: bool,
}

/// A member as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredConsumerMember {
    id: String,
    instance_id: Option<String>,
    client: Client,
    rebalance_timeout_ms: u64,
    topics: BTreeSet<String>,
    epoch: i32,
    previous_epoch: i32,
    assigned: Partitions,
    revoking: Partitions,
    target: Partitions,
    is_away: bool,
}

impl ConsumerMember {
    pub(super) fn of(beat: &Beat, now: Instant) -> Self {
        Self {
            instance_id: beat.instance_id.clone(),
            client: beat.client.clone(),
            rebalance_timeout: beat.rebalance_timeout.unwrap_or(SESSION_TIMEOUT),
            topics: BTreeSet::new(),
            epoch: 0,
            previous_epoch: 0,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
            revoked_by: None,
            target: Partitions::new(),
            expires: now + SESSION_TIMEOUT,
            is_away: false,
        }
    }

    /// A static member that returns under another id: it holds nothing, and its partitions were kept for it.
    pub(super) fn back(self, beat: &Beat, now: Instant) -> Self {
        Self {
            assigned: self.assigned,
            target: self.target,
            ..Self::of(beat, now)
        }
    }

    /// Takes over what a heartbeat says; returns whether the subscription changed.
    pub(super) fn update(&mut self, beat: &Beat, now: Instant) -> bool {
        self.expires = now + SESSION_TIMEOUT;
        self.is_away = false;
        self.client.clone_from(&beat.client);
        if let Some(timeout) = beat.rebalance_timeout {
            self.rebalance_timeout = timeout;
        }
        match &beat.topics {
            Some(topics) if *topics != self.topics => {
                self.topics.clone_from(topics);
                true
            }
            _ => false,
        }
    }

    /// When it is removed unless something happens.
    pub(super) fn deadline(&self) -> Instant {
        self.revoked_by
            .map_or(self.expires, |by| by.min(self.expires))
    }

    /// Whether it has all that it is to have, and nothing else.
    pub(super) fn is_at(&self, epoch: i32) -> bool {
        self.epoch == epoch && self.revoking.is_empty() && self.assigned == self.target
    }

    /// What nobody else may have.
    pub(super) fn holds(&self) -> impl Iterator<Item = (Uuid, i32)> + '_ {
        self.assigned.union(&self.revoking).copied()
    }

    /// Whether nothing is left to be given up, now that it says what it owns.
    pub(super) fn has_given_up(&mut self, owned: Option<&Partitions>) -> bool {
        if owned.is_some_and(|owned| owned.is_disjoint(&self.revoking)) {
            self.revoking.clear();
            self.revoked_by = None;
        }
        self.revoking.is_empty()
    }

    /// Takes away what is no longer its own; returns whether the member has to be told. What it does not hold according
    /// to itself needs no word.
    pub(super) fn gives_up(&mut self, owned: Option<&Partitions>, now: Instant) -> bool {
        let lost: Partitions = self.assigned.difference(&self.target).copied().collect();
        self.assigned.retain(|partition| !lost.contains(partition));
        let holds_it = owned.is_none_or(|owned| !owned.is_disjoint(&lost));
        if lost.is_empty() || !holds_it {
            return false;
        }
        self.revoking = lost;
        self.revoked_by = Some(now + self.rebalance_timeout);
        true
    }

    /// Gives it what is free of its target; returns whether that is news.
    pub(super) fn take(&mut self, free: Partitions, epoch: i32) -> bool {
        let news = !free.is_empty() || self.epoch != epoch;
        self.assigned.extend(free);
        if self.epoch != epoch {
            self.previous_epoch = self.epoch;
            self.epoch = epoch;
        }
        news
    }

    pub(super) fn stored(&self, id: &str) -> StoredConsumerMember {
        StoredConsumerMember {
            id: id.to_owned(),
            instance_id: self.instance_id.clone(),
            client: self.client.clone(),
            rebalance_timeout_ms: self.rebalance_timeout.as_millis() as u64,
            topics: self.topics.clone(),
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            assigned: self.assigned.clone(),
            revoking: self.revoking.clone(),
            target: self.target.clone(),
            is_away: self.is_away,
        }
    }
}

impl StoredConsumerMember {
    /// The member after a restart at `now`, with its whole time to be heard of and to give up what it was to.
    pub(super) fn restore(self, now: Instant) -> (String, ConsumerMember) {
        let rebalance_timeout = Duration::from_millis(self.rebalance_timeout_ms);
        let member = ConsumerMember {
            instance_id: self.instance_id,
            client: self.client,
            rebalance_timeout,
            topics: self.topics,
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            assigned: self.assigned,
            revoked_by: (!self.revoking.is_empty()).then(|| now + rebalance_timeout),
            revoking: self.revoking,
            target: self.target,
            expires: now + SESSION_TIMEOUT,
            is_away: self.is_away,
        };
        (self.id, member)
    }
}
