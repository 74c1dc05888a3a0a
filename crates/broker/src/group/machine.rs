//! A consumer group as a pure state machine: calls and the time go in, answers come out.
//!
//! ```text
//! Empty ──join──▶ Preparing ──all joined, or deadline──▶ Completing ──leader's sync──▶ Stable
//!                     ▲                                      │                            │
//!                     └──────── join, leave, expiry ─────────┴────────────────────────────┘
//! ```
//!
//! The rules are those of Kafka's `GroupCoordinator` for the classic protocol, with static members
//! (KIP-345) and member ids that are handed out before a member counts (KIP-394).

mod join;
mod leave;
mod rebalance;
mod sync;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use indexmap::IndexMap;
use kafka_protocol::error::ResponseError;
use serde::{Deserialize, Serialize};

use super::member::{Member, StoredMember};
pub(crate) use join::{Join, Joined};
pub(crate) use leave::Leaver;
pub(crate) use sync::{Sync, Synced};

/// Most members of a group, together with those that were only handed an id.
pub(crate) const MAX_MEMBERS: usize = 1_000;

/// Names a call that waits for its [`Answer`].
pub(crate) type CallId = u64;

/// What the coordinator has to do, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Write the group to the journal; if that fails, the answers behind it are failures.
    Persist,
    /// Answer a call.
    Answer(CallId, Answer),
}

/// The answer to a join or a sync.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Joined(Joined),
    /// Join again with this member id.
    MemberIdRequired(String),
    Synced(Synced),
    Failed(ResponseError),
}

/// A member as it names itself in a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Caller {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) generation: i32,
}

impl Caller {
    /// Whether it says which member it is.
    pub(super) fn names_itself(&self) -> bool {
        self.generation >= 0 || !self.member_id.is_empty() || self.instance_id.is_some()
    }
}

/// A consumer group.
#[derive(Debug)]
pub(crate) struct Group {
    initial_delay: Duration,
    state: State,
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    /// By member id, in the order of joining.
    members: IndexMap<String, Member>,
    /// Ids that were handed out and not joined with yet, and when they lapse.
    handed_out: HashMap<String, Instant>,
    /// When members that did not ask for their assignment are removed.
    sync_deadline: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    /// Waits for members to join.
    Preparing {
        deadline: Instant,
        /// The first rebalance waits for its whole deadline, for members that start at the same time.
        initial: bool,
    },
    /// Waits for the leader's assignment.
    Completing,
    Stable,
}

/// A group as it is kept across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredGroup {
    generation: i32,
    protocol_type: Option<String>,
    protocol: Option<String>,
    leader: Option<String>,
    members: Vec<StoredMember>,
}

impl Group {
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self {
            initial_delay,
            state: State::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: IndexMap::new(),
            handed_out: HashMap::new(),
            sync_deadline: None,
        }
    }

    /// The group after a restart at `now`; its members have a session timeout to be heard of.
    pub(crate) fn restore(stored: StoredGroup, initial_delay: Duration, now: Instant) -> Self {
        let members: IndexMap<_, _> = stored
            .members
            .into_iter()
            .map(|member| member.restore(now))
            .collect();
        Self {
            state: if members.is_empty() {
                State::Empty
            } else {
                State::Stable
            },
            generation: stored.generation,
            protocol_type: stored.protocol_type,
            protocol: stored.protocol,
            leader: stored.leader,
            members,
            ..Self::new(initial_delay)
        }
    }

    pub(crate) fn stored(&self) -> StoredGroup {
        StoredGroup {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            members: self
                .members
                .iter()
                .map(|(id, member)| member.stored(id))
                .collect(),
        }
    }

    /// Keeps a member alive and tells it whether it has to join again.
    pub(crate) fn heartbeat(&mut self, caller: &Caller, now: Instant) -> Result<(), ResponseError> {
        let generation = self.generation;
        let member = self.member(caller)?;
        if caller.generation != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        member.refresh(now);
        match self.state {
            State::Preparing { .. } => Err(ResponseError::RebalanceInProgress),
            State::Completing | State::Stable => Ok(()),
            State::Empty => Err(ResponseError::UnknownMemberId),
        }
    }

    /// Whether `caller` may commit offsets now.
    pub(crate) fn may_commit(
        &mut self,
        caller: &Caller,
        now: Instant,
    ) -> Result<(), ResponseError> {
        if caller.generation < 0 && self.members.is_empty() {
            return Ok(());
        }
        let generation = self.generation;
        let member = self.member(caller)?;
        if caller.generation != generation {
            return Err(ResponseError::IllegalGeneration);
        }
        member.refresh(now);
        match self.state {
            State::Completing => Err(ResponseError::RebalanceInProgress),
            State::Empty | State::Preparing { .. } | State::Stable => Ok(()),
        }
    }

    /// Whether `caller` may commit offsets in a transaction. One that names no member may, as clients
    /// from before KIP-447 do; it proves nothing about the generation, and is no sign of life.
    pub(crate) fn may_commit_in_transaction(
        &mut self,
        caller: &Caller,
    ) -> Result<(), ResponseError> {
        if !caller.names_itself() {
            return Ok(());
        }
        let generation = self.generation;
        self.member(caller)?;
        if caller.generation == generation {
            Ok(())
        } else {
            Err(ResponseError::IllegalGeneration)
        }
    }

    /// Makes the members join again.
    pub(crate) fn force_rebalance(&mut self, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        if !self.members.is_empty() {
            self.rebalance(now, &mut out);
        }
        out
    }

    /// Does what is due at `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        self.handed_out.retain(|_, lapses| *lapses > now);
        self.expire_sessions(now, &mut out);
        self.expire_syncs(now, &mut out);
        match self.state {
            State::Preparing { deadline, .. } if deadline <= now => {
                self.complete_join(now, &mut out)
            }
            _ => self.complete_join_if_all_joined(now, &mut out),
        }
        out
    }

    /// When [`Group::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let rebalance = match self.state {
            State::Preparing { deadline, .. } => Some(deadline),
            _ => None,
        };
        let owing = self.members.values().any(|member| member.owes_sync);
        let syncs = self.sync_deadline.filter(|_| owing);
        let sessions = self
            .members
            .values()
            .filter(|member| !member.is_waiting())
            .map(|member| member.expires);
        let lapses = self.handed_out.values().copied();
        sessions.chain(lapses).chain(rebalance).chain(syncs).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether nobody is in the group or about to be.
    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Empty && self.handed_out.is_empty()
    }

    /// The state by the name Kafka's tools show.
    pub(crate) fn state_name(&self) -> &'static str {
        match self.state {
            State::Empty => "Empty",
            State::Preparing { .. } => "PreparingRebalance",
            State::Completing => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }

    pub(crate) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// The chosen assignment strategy; empty while there is none.
    pub(crate) fn protocol(&self) -> &str {
        self.protocol.as_deref().unwrap_or_default()
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (&str, &Member)> {
        self.members
            .iter()
            .map(|(id, member)| (id.as_str(), member))
    }

    pub(crate) fn is_stable(&self) -> bool {
        self.state == State::Stable
    }

    /// The member that `caller` is, if it is still the one its instance id belongs to.
    fn member(&mut self, caller: &Caller) -> Result<&mut Member, ResponseError> {
        if let Some(instance_id) = &caller.instance_id {
            match self.id_of_instance(instance_id) {
                None => return Err(ResponseError::UnknownMemberId),
                Some(id) if *id != caller.member_id => return Err(ResponseError::FencedInstanceId),
                Some(_) => {}
            }
        }
        self.members
            .get_mut(&caller.member_id)
            .ok_or(ResponseError::UnknownMemberId)
    }

    fn id_of_instance(&self, instance_id: &str) -> Option<&String> {
        self.members
            .iter()
            .find(|(_, member)| member.instance_id.as_deref() == Some(instance_id))
            .map(|(id, _)| id)
    }
}

fn fail(call: Option<CallId>, error: ResponseError, out: &mut Vec<Action>) {
    if let Some(call) = call {
        out.push(Action::Answer(call, Answer::Failed(error)));
    }
}
