//! The part of groups that speak the consumer protocol (KIP-848).

use std::time::Instant;

use kafka_protocol::error::ResponseError;
use uuid::Uuid;

use super::super::consumer::{Beat, Beaten};
use super::super::machine::Action;
use super::Coordinator;

impl Coordinator {
    /// Takes in the heartbeat of a member, which joins and leaves by it too. `find` tells id and number of partitions of a
    /// topic that exists.
    ///
    /// # Errors
    ///
    /// The member has to join again, or cannot.
    pub(crate) fn consumer_heartbeat(
        &self,
        group_id: &str,
        beat: &Beat,
        find: impl Fn(&str) -> Option<(Uuid, i32)>,
    ) -> Result<Beaten, ResponseError> {
        let mut inner = self.inner();
        let mut result = Err(ResponseError::UnknownMemberId);
        self.change(&mut inner, group_id, |slot, now| {
            result = slot
                .as_consumers()
                .and_then(|group| group.heartbeat(beat, find, now));
            match &result {
                Ok(beaten) if beaten.changed => vec![Action::Persist],
                _ => Vec::new(),
            }
        });
        result
    }

    /// Whether a member of the consumer protocol may read offsets as it names itself; anybody else may.
    ///
    /// # Errors
    ///
    /// It is none, or behind its group.
    pub(crate) fn may_fetch(
        &self,
        group_id: &str,
        member_id: &str,
        epoch: i32,
    ) -> Result<(), ResponseError> {
        let mut inner = self.inner();
        let Some(slot) = inner.groups.get_mut(group_id) else {
            return Ok(());
        };
        if epoch < 0 || !slot.has_consumers() {
            return Ok(());
        }
        let caller = super::super::machine::Caller {
            member_id: member_id.to_owned(),
            instance_id: None,
            generation: epoch,
        };
        slot.may_commit(&caller, Instant::now())
    }
}
