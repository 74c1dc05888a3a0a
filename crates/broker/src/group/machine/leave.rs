//! Leaving a group, by call or by silence.

use std::time::Instant;

use kafka_protocol::error::ResponseError;

use super::{Action, Group, State, fail};

/// A member that leaves, as it or an administrator names it.
#[derive(Debug, Clone)]
pub(crate) struct Leaver {
    /// May be empty for a static member.
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
}

impl Group {
    /// Removes a member.
    ///
    /// # Errors
    ///
    /// There is no such member; nothing changed.
    pub(crate) fn leave(
        &mut self,
        leaver: &Leaver,
        now: Instant,
        out: &mut Vec<Action>,
    ) -> Result<(), ResponseError> {
        if self.handed_out.remove(&leaver.member_id).is_some() {
            self.complete_join_if_all_joined(now, out);
            return Ok(());
        }
        let id = match &leaver.instance_id {
            Some(instance_id) => {
                let id = self
                    .id_of_instance(instance_id)
                    .ok_or(ResponseError::UnknownMemberId)?;
                if !leaver.member_id.is_empty() && leaver.member_id != *id {
                    return Err(ResponseError::FencedInstanceId);
                }
                id.clone()
            }
            None => leaver.member_id.clone(),
        };
        if !self.members.contains_key(&id) {
            return Err(ResponseError::UnknownMemberId);
        }
        self.remove_member(&id, now, out);
        Ok(())
    }

    /// Removes members that were not heard of for their session timeout.
    pub(super) fn expire_sessions(&mut self, now: Instant, out: &mut Vec<Action>) {
        let expired: Vec<String> = self
            .members()
            .filter(|(_, member)| !member.is_waiting() && member.expires <= now)
            .map(|(id, _)| id.to_owned())
            .collect();
        for id in expired {
            self.remove_member(&id, now, out);
        }
    }

    /// Removes members that joined but never asked for their assignment.
    pub(super) fn expire_syncs(&mut self, now: Instant, out: &mut Vec<Action>) {
        if self.sync_deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.sync_deadline = None;
        let owing: Vec<String> = self
            .members()
            .filter(|(_, member)| member.owes_sync)
            .map(|(id, _)| id.to_owned())
            .collect();
        for id in owing {
            self.remove_member(&id, now, out);
        }
    }

    fn remove_member(&mut self, id: &str, now: Instant, out: &mut Vec<Action>) {
        let Some(mut member) = self.members.shift_remove(id) else {
            return;
        };
        fail(member.joining.take(), ResponseError::UnknownMemberId, out);
        fail(member.syncing.take(), ResponseError::UnknownMemberId, out);
        if self.leader.as_deref() == Some(id) {
            self.leader = None;
        }
        match self.state {
            State::Stable | State::Completing => self.rebalance(now, out),
            State::Preparing { .. } => self.complete_join_if_all_joined(now, out),
            State::Empty => {}
        }
    }
}
