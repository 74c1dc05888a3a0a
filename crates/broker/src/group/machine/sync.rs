//! Handing out the leader's assignment.

use std::collections::HashMap;
use std::time::Instant;

use kafka_protocol::error::ResponseError;

use super::{Action, Answer, CallId, Caller, Group, State, fail};

/// A call for the caller's assignment; the leader's carries all of them.
#[derive(Debug, Clone)]
pub(crate) struct Sync {
    pub(crate) call: CallId,
    pub(crate) caller: Caller,
    /// Checked when the client tells it (version 5 on).
    pub(crate) protocol_type: Option<String>,
    pub(crate) protocol: Option<String>,
    /// By member id.
    pub(crate) assignments: HashMap<String, Vec<u8>>,
}

/// What a member is to consume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Synced {
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) assignment: Vec<u8>,
}

impl Group {
    /// Asks for an assignment; the answer waits for the leader's call.
    pub(crate) fn sync(&mut self, sync: Sync, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        if let Some(error) = self.sync_refusal(&sync) {
            fail(Some(sync.call), error, &mut out);
            return out;
        }
        let state = self.state;
        let is_leader = self.leader.as_ref() == Some(&sync.caller.member_id);
        if let Some(member) = self.members.get_mut(&sync.caller.member_id) {
            member.refresh(now);
            member.owes_sync = false;
            let superseded = member.syncing.replace(sync.call);
            fail(superseded, ResponseError::RebalanceInProgress, &mut out);
        }
        if state == State::Completing {
            if !is_leader {
                return out;
            }
            self.assign(sync.assignments);
            out.push(Action::Persist);
        }
        self.answer_syncs(now, &mut out);
        out
    }

    fn sync_refusal(&mut self, sync: &Sync) -> Option<ResponseError> {
        if let Err(error) = self.member(&sync.caller) {
            return Some(error);
        }
        if sync.caller.generation != self.generation {
            return Some(ResponseError::IllegalGeneration);
        }
        let differs = |told: &Option<String>, actual: &str| {
            told.as_deref().is_some_and(|told| told != actual)
        };
        if differs(&sync.protocol_type, self.protocol_type())
            || differs(&sync.protocol, self.protocol())
        {
            return Some(ResponseError::InconsistentGroupProtocol);
        }
        match self.state {
            State::Empty => Some(ResponseError::UnknownMemberId),
            State::Preparing { .. } => Some(ResponseError::RebalanceInProgress),
            State::Completing | State::Stable => None,
        }
    }

    fn assign(&mut self, mut assignments: HashMap<String, Vec<u8>>) {
        for (id, member) in &mut self.members {
            member.assignment = assignments.remove(id).unwrap_or_default();
        }
        self.state = State::Stable;
    }

    fn answer_syncs(&mut self, now: Instant, out: &mut Vec<Action>) {
        let protocol_type = self.protocol_type().to_owned();
        let protocol = self.protocol().to_owned();
        for member in self.members.values_mut() {
            if let Some(call) = member.syncing.take() {
                member.refresh(now);
                let synced = Synced {
                    protocol_type: protocol_type.clone(),
                    protocol: protocol.clone(),
                    assignment: member.assignment.clone(),
                };
                out.push(Action::Answer(call, Answer::Synced(synced)));
            }
        }
    }
}
