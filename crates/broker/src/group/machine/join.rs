//! Joining a group: new, known, and static members that come back.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::super::member::{Client, Member, Protocol};
use super::{Action, Answer, CallId, Caller, Group, MAX_MEMBERS, State, fail};

/// A call to join.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) call: CallId,
    /// Empty for a member that is new.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client: Client,
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) protocol_type: String,
    pub(crate) protocols: Vec<Protocol>,
    /// The id for a new member; nobody has had it.
    pub(crate) fresh_id: String,
    /// Whether a new member has to come back with its id before it counts (KIP-394).
    pub(crate) hand_out_id: bool,
    /// Whether the client understands that a leader need not assign again (KIP-814).
    pub(crate) can_skip_assignment: bool,
}

/// A member has joined a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) member_id: String,
    pub(crate) generation: i32,
    pub(crate) protocol_type: String,
    pub(crate) protocol: String,
    pub(crate) leader: String,
    /// All members with their metadata, for the leader; empty for the others.
    pub(crate) members: Vec<JoinedMember>,
    /// The leader is told not to assign again.
    pub(crate) skip_assignment: bool,
}

/// A member as the leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JoinedMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) metadata: Vec<u8>,
}

impl Group {
    /// Joins, or begins to: the answer may come with a later action.
    pub(crate) fn join(&mut self, join: Join, now: Instant) -> Vec<Action> {
        let mut out = Vec::new();
        if let Some(error) = self.refusal(&join) {
            fail(Some(join.call), error, &mut out);
        } else if join.member_id.is_empty() {
            self.join_as_new(join, now, &mut out);
        } else if self.handed_out.remove(&join.member_id).is_some() {
            self.add_member(join.member_id.clone(), &join, now, &mut out);
        } else {
            self.join_again(&join, now, &mut out);
        }
        out
    }

    fn refusal(&self, join: &Join) -> Option<ResponseError> {
        if join.protocol_type.is_empty() || join.protocols.is_empty() {
            return Some(ResponseError::InconsistentGroupProtocol);
        }
        let others = || self.members().filter(|(id, _)| *id != join.member_id);
        if others().next().is_some() {
            let shared = join
                .protocols
                .iter()
                .any(|protocol| others().all(|(_, other)| other.supports(&protocol.name)));
            if self.protocol_type() != join.protocol_type || !shared {
                return Some(ResponseError::InconsistentGroupProtocol);
            }
        }
        let full = self.members.len() + self.handed_out.len() >= MAX_MEMBERS;
        (full && join.member_id.is_empty()).then_some(ResponseError::GroupMaxSizeReached)
    }

    fn join_as_new(&mut self, join: Join, now: Instant, out: &mut Vec<Action>) {
        let predecessor = join
            .instance_id
            .as_ref()
            .and_then(|instance_id| self.id_of_instance(instance_id))
            .cloned();
        match predecessor {
            Some(predecessor) => self.replace_static(&predecessor, &join, now, out),
            None if join.hand_out_id && join.instance_id.is_none() => {
                self.handed_out
                    .insert(join.fresh_id.clone(), now + join.session_timeout);
                out.push(Action::Answer(
                    join.call,
                    Answer::MemberIdRequired(join.fresh_id),
                ));
            }
            None => self.add_member(join.fresh_id.clone(), &join, now, out),
        }
    }

    fn add_member(&mut self, id: String, join: &Join, now: Instant, out: &mut Vec<Action>) {
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        let mut member = Member::of(join, now);
        member.joining = Some(join.call);
        self.members.insert(id, member);
        self.rebalance(now, out);
    }

    fn join_again(&mut self, join: &Join, now: Instant, out: &mut Vec<Action>) {
        let caller = Caller {
            member_id: join.member_id.clone(),
            instance_id: join.instance_id.clone(),
            generation: self.generation,
        };
        let is_leader = self.leader.as_ref() == Some(&join.member_id);
        let state = self.state;
        let member = match self.member(&caller) {
            Ok(member) => member,
            Err(error) => return fail(Some(join.call), error, out),
        };
        let unchanged = member.protocols == join.protocols;
        let current = match state {
            // The answer to the first join was lost: give it again.
            State::Completing => unchanged,
            // A leader that joins again wants to assign again: its subscription's partitions changed.
            State::Stable => unchanged && !is_leader,
            State::Empty | State::Preparing { .. } => false,
        };
        if current {
            member.refresh(now);
            let joined = self.joined(&join.member_id);
            out.push(Action::Answer(join.call, Answer::Joined(joined)));
            return;
        }
        member.update(join, now);
        let superseded = member.joining.replace(join.call);
        fail(superseded, ResponseError::RebalanceInProgress, out);
        self.rebalance(now, out);
    }

    /// A static member is back under a new member id: it takes the place of its former self, without
    /// a rebalance when the group is stable and its former self had nothing to let go of. What that was
    /// to let go has no owner until the members join again, and only it would have made them.
    fn replace_static(&mut self, former: &str, join: &Join, now: Instant, out: &mut Vec<Action>) {
        let Some((index, _, mut member)) = self.members.shift_remove_full(former) else {
            return fail(Some(join.call), ResponseError::UnknownMemberId, out);
        };
        fail(member.joining.take(), ResponseError::FencedInstanceId, out);
        fail(member.syncing.take(), ResponseError::FencedInstanceId, out);
        let had_to_let_go = member.has_to_let_go(self.protocol());
        member.update(join, now);
        let id = join.fresh_id.clone();
        self.members.shift_insert(index, id.clone(), member);
        let was_leader = self.leader.as_deref() == Some(former);
        if was_leader {
            self.leader = Some(id.clone());
        }
        let goes_on = self.chosen_protocol() == self.protocol && !had_to_let_go;
        if self.state == State::Stable && goes_on {
            out.push(Action::Persist);
            let mut joined = self.joined(&id);
            if was_leader && join.can_skip_assignment {
                joined.skip_assignment = true;
            } else if was_leader {
                // A client that cannot skip the assignment must not learn that it leads, or it would
                // assign on its own while the others keep what they have.
                joined.leader = former.to_owned();
                joined.members.clear();
            }
            out.push(Action::Answer(join.call, Answer::Joined(joined)));
            return;
        }
        if let Some(member) = self.members.get_mut(&id) {
            member.joining = Some(join.call);
        }
        self.rebalance(now, out);
    }

    /// The current generation as member `id` is told of it.
    pub(super) fn joined(&self, id: &str) -> Joined {
        let leader = self.leader.clone().unwrap_or_default();
        let protocol = self.protocol().to_owned();
        let members = if leader == id {
            let seen = self.members.iter().map(|(id, member)| JoinedMember {
                id: id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(&protocol).to_vec(),
            });
            seen.collect()
        } else {
            Vec::new()
        };
        Joined {
            member_id: id.to_owned(),
            generation: self.generation,
            protocol_type: self.protocol_type().to_owned(),
            protocol,
            leader,
            members,
            skip_assignment: false,
        }
    }
}
