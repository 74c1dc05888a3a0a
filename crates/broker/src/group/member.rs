//! A member of a consumer group, and what it supports.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::machine::{CallId, Join};
use super::subscription;

/// An assignment strategy that a member supports, with what the leader needs to apply it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Protocol {
    pub(crate) name: String,
    pub(crate) metadata: Vec<u8>,
}

/// Who a member says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) id: String,
    pub(crate) host: String,
}

#[derive(Debug)]
pub(crate) struct Member {
    /// Set for a static member (KIP-345).
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    /// In the order the member prefers them.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Vec<u8>,
    /// When the member counts as dead, unless it is heard of or waits for an answer.
    pub(crate) expires: Instant,
    /// The join that waits for the rebalance to complete.
    pub(crate) joining: Option<CallId>,
    /// The sync that waits for the leader's assignment.
    pub(crate) syncing: Option<CallId>,
    /// Whether the member still has to ask for its assignment in this generation.
    pub(crate) owes_sync: bool,
}

/// A member as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredMember {
    id: String,
    instance_id: Option<String>,
    client: Client,
    session_timeout_ms: u64,
    rebalance_timeout_ms: u64,
    protocols: Vec<Protocol>,
    assignment: Vec<u8>,
}

impl Member {
    pub(crate) fn of(join: &Join, now: Instant) -> Self {
        Self {
            instance_id: join.instance_id.clone(),
            client: join.client.clone(),
            session_timeout: join.session_timeout,
            rebalance_timeout: join.rebalance_timeout,
            protocols: join.protocols.clone(),
            assignment: Vec::new(),
            expires: now + join.session_timeout,
            joining: None,
            syncing: None,
            owes_sync: false,
        }
    }

    /// Takes over what a member says when it joins again.
    pub(crate) fn update(&mut self, join: &Join, now: Instant) {
        self.client.clone_from(&join.client);
        self.session_timeout = join.session_timeout;
        self.rebalance_timeout = join.rebalance_timeout;
        self.protocols.clone_from(&join.protocols);
        self.refresh(now);
    }

    /// Notes that the member was heard of.
    pub(crate) fn refresh(&mut self, now: Instant) {
        self.expires = now + self.session_timeout;
    }

    /// A member that waits for an answer cannot send heartbeats, and is not expected to.
    pub(crate) fn is_waiting(&self) -> bool {
        self.joining.is_some() || self.syncing.is_some()
    }

    pub(crate) fn supports(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|own| own.name == protocol)
    }

    pub(crate) fn metadata(&self, protocol: &str) -> &[u8] {
        self.protocols
            .iter()
            .find(|own| own.name == protocol)
            .map_or(&[], |own| &own.metadata)
    }

    /// Whether it is to let partitions go before it joins again, by what it told under this protocol.
    pub(crate) fn has_to_let_go(&self, protocol: &str) -> bool {
        subscription::has_to_let_go(self.metadata(protocol), &self.assignment)
    }

    pub(crate) fn stored(&self, id: &str) -> StoredMember {
        StoredMember {
            id: id.to_owned(),
            instance_id: self.instance_id.clone(),
            client: self.client.clone(),
            session_timeout_ms: self.session_timeout.as_millis() as u64,
            rebalance_timeout_ms: self.rebalance_timeout.as_millis() as u64,
            protocols: self.protocols.clone(),
            assignment: self.assignment.clone(),
        }
    }
}

impl StoredMember {
    /// The member after a restart at `now`, with a whole session timeout to be heard of.
    pub(crate) fn restore(self, now: Instant) -> (String, Member) {
        let session_timeout = Duration::from_millis(self.session_timeout_ms);
        let member = Member {
            instance_id: self.instance_id,
            client: self.client,
            session_timeout,
            rebalance_timeout: Duration::from_millis(self.rebalance_timeout_ms),
            protocols: self.protocols,
            assignment: self.assignment,
            expires: now + session_timeout,
            joining: None,
            syncing: None,
            owes_sync: false,
        };
        (self.id, member)
    }
}
