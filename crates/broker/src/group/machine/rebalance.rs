//! The rebalance itself: when it begins, when everyone is there, and which protocol and leader it has.

use std::time::{Duration, Instant};

use kafka_protocol::error::ResponseError;

use super::super::member::Member;
use super::{Action, Answer, Group, State, fail};

/// How long at least a rebalance without a possible leader waits before it looks again.
const WAIT_FOR_A_LEADER: Duration = Duration::from_secs(1);

impl Group {
    /// Begins a rebalance, or goes on with the one that is under way.
    pub(super) fn rebalance(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.state = match self.state {
            State::Empty => State::Preparing {
                deadline: now + self.initial_delay,
                initial: true,
            },
            State::Completing | State::Stable => {
                self.cancel_syncs(now, out);
                State::Preparing {
                    deadline: now + self.rebalance_timeout(),
                    initial: false,
                }
            }
            preparing @ State::Preparing { .. } => preparing,
        };
        self.complete_join_if_all_joined(now, out);
    }

    /// Ends the wait for members when there is nobody left to wait for.
    pub(super) fn complete_join_if_all_joined(&mut self, now: Instant, out: &mut Vec<Action>) {
        let waits_for_members = matches!(self.state, State::Preparing { initial: false, .. });
        let all_joined = self.members.values().all(|member| member.joining.is_some());
        if waits_for_members && all_joined && self.handed_out.is_empty() {
            self.complete_join(now, out);
        }
    }

    /// Begins the next generation with the members that joined.
    pub(super) fn complete_join(&mut self, now: Instant, out: &mut Vec<Action>) {
        // A static member that is away keeps its place until its session times out.
        self.members
            .retain(|_, member| member.joining.is_some() || member.instance_id.is_some());
        if self.members.is_empty() {
            return self.become_empty(out);
        }
        let Some(leader) = self.choose_leader() else {
            // Static members only, all of them away: nobody could assign, so wait for one.
            self.state = State::Preparing {
                deadline: now + self.rebalance_timeout().max(WAIT_FOR_A_LEADER),
                initial: false,
            };
            return;
        };
        self.leader = Some(leader);
        self.generation = next_generation(self.generation);
        self.protocol = self.chosen_protocol();
        self.state = State::Completing;
        self.sync_deadline = Some(now + self.rebalance_timeout());
        let joining: Vec<_> = self
            .members
            .iter_mut()
            .filter_map(|(id, member)| {
                member.refresh(now);
                member.owes_sync = true;
                Some((member.joining.take()?, id.clone()))
            })
            .collect();
        for (call, id) in joining {
            out.push(Action::Answer(call, Answer::Joined(self.joined(&id))));
        }
    }

    /// The protocol that all members support and most prefer.
    pub(super) fn chosen_protocol(&self) -> Option<String> {
        let shared = |name: &str| self.members.values().all(|member| member.supports(name));
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.values() {
            let preferred = member.protocols.iter().find(|own| shared(&own.name));
            let Some(preferred) = preferred else { continue };
            match votes.iter_mut().find(|(name, _)| *name == preferred.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&preferred.name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        let winner = votes.iter().find(|(_, count)| *count == most)?;
        Some(winner.0.to_owned())
    }

    fn become_empty(&mut self, out: &mut Vec<Action>) {
        self.state = State::Empty;
        self.generation = next_generation(self.generation);
        self.protocol = None;
        self.leader = None;
        self.sync_deadline = None;
        out.push(Action::Persist);
    }

    fn choose_leader(&self) -> Option<String> {
        let joined = |id: &String| self.members.get(id).is_some_and(|m| m.joining.is_some());
        let stays = self.leader.clone().filter(joined);
        stays.or_else(|| self.members.keys().find(|id| joined(id)).cloned())
    }

    fn cancel_syncs(&mut self, now: Instant, out: &mut Vec<Action>) {
        self.sync_deadline = None;
        for member in self.members.values_mut() {
            member.owes_sync = false;
            if let Some(call) = member.syncing.take() {
                // It could not send heartbeats while it waited.
                member.refresh(now);
                fail(Some(call), ResponseError::RebalanceInProgress, out);
            }
        }
    }

    /// Everyone gets the time that the slowest member asks for.
    fn rebalance_timeout(&self) -> Duration {
        let timeouts = self.members.values().map(
            |Member {
                 rebalance_timeout, ..
             }| *rebalance_timeout,
        );
        timeouts.max().unwrap_or_default()
    }
}

/// Generations are positive; -1 means none.
fn next_generation(generation: i32) -> i32 {
    generation.checked_add(1).unwrap_or(1)
}
