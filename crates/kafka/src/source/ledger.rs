//! Which offsets may be committed, and which commits have to be made again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use longshore_event::{NextOffset, Offset, TopicPartition};
use rdkafka::types::RDKafkaErrorCode;

use crate::consumer::Consumer;
use crate::native::{ClientError, PartitionList, Standing};

mod spans;
pub(crate) use spans::{Enlisted, Span, Spans};

/// The partitions of this member and what was last committed of each.
///
/// A broker takes a commit for any partition from any member of the group. So what is not this member's is kept back
/// here: a late commit would set the new owner's progress back.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    partitions: HashMap<TopicPartition, Line>,
    /// As whom the partitions are this member's; `None` where that cannot be told.
    standing: Option<Standing>,
    /// Whether a commit has no outcome yet. The client tries some again by itself, and may do so behind a later one, which
    /// it would undo; so there is one at a time.
    under_way: bool,
    /// Whether a failure has been told of since a commit last succeeded.
    told: bool,
    /// Whether the brokers are away. A commit that waits inside the client meanwhile may reach the group after the
    /// client has joined it again under another member id, and a static member is then fenced by itself.
    held: bool,
    /// Whether transactions move the offsets. A commit from here could overtake one of them and be overtaken, so that
    /// the offset would go back.
    in_transactions: bool,
}

#[derive(Debug, Default)]
struct Line {
    /// What was finished last.
    latest: Option<NextOffset>,
    /// Whether that is still to be committed: it has failed, or had to wait.
    owed: bool,
    /// What has an offset and is no record, behind the last one.
    markers: Option<Markers>,
    /// The first message that was delivered in this stay.
    began: Option<Offset>,
    /// What transactions have committed: those of this stay, and what the group had before, once that is `known`.
    covered: Option<NextOffset>,
    known: bool,
    /// Whether it is in a transaction whose outcome is not known yet.
    enlisted: bool,
}

/// The end of a partition where transactions have ended: offsets that no record has.
#[derive(Clone, Copy, Debug)]
struct Markers {
    /// What is read next after the last record.
    from: NextOffset,
    to: NextOffset,
}

impl Line {
    /// What is read next after `next`: with markers behind it, what comes after them. The group would seem to be behind
    /// for ever otherwise.
    fn past_markers(&self, next: NextOffset) -> NextOffset {
        let markers = self.markers.filter(|markers| markers.from == next);
        markers.map_or(next, |markers| markers.to)
    }
}

impl Ledger {
    pub(super) fn add(&self, partitions: &[TopicPartition]) {
        let mut state = self.lock();
        for partition in partitions {
            state.partitions.insert(partition.clone(), Line::default());
        }
    }

    /// Notes as whom the client is a member from now on. Returns whether it was one all the time since this was last
    /// noted, so that what it has of partitions is still its own.
    pub(super) fn stands(&self, now: Standing) -> bool {
        let mut state = self.lock();
        let goes_on = state.goes_on_as(&now);
        state.standing = Some(now);
        goes_on
    }

    /// Takes partitions out, and returns what is left to commit of them: what is owed, under what is `finished`
    /// now. Nothing of any other partition is in it.
    pub(super) fn settle(
        &self,
        partitions: &[TopicPartition],
        finished: Vec<(TopicPartition, NextOffset)>,
    ) -> HashMap<TopicPartition, NextOffset> {
        let mut state = self.lock();
        let mut last = HashMap::new();
        let mut finished: HashMap<_, _> = finished.into_iter().collect();
        for partition in partitions {
            let line = state.partitions.remove(partition).unwrap_or_default();
            let next = finished
                .remove(partition)
                .map(|next| line.past_markers(next));
            let left = match state.in_transactions {
                true => next.filter(|next| line.known && line.is_left_over(*next)),
                false => next.or(line.latest.filter(|_| line.owed)),
            };
            if let Some(left) = left {
                last.insert(partition.clone(), left);
            }
        }
        last
    }

    /// From `last` on to `end` a partition has no records. Says whether there is something to commit now.
    pub(super) fn reached_end(
        &self,
        partition: &TopicPartition,
        last: NextOffset,
        end: NextOffset,
    ) -> bool {
        let mut state = self.lock();
        let in_transactions = state.in_transactions;
        let Some(line) = state.partitions.get_mut(partition) else {
            return false;
        };
        // Those of more transactions may follow, without a record.
        let reached = line.past_markers(last);
        let is_finished = last < end && line.latest.is_some_and(|at| at == last || at == reached);
        let is_finished = is_finished && line.latest != Some(end);
        line.markers = (last < end).then_some(Markers {
            from: last,
            to: end,
        });
        if is_finished {
            line.latest = Some(end);
            line.owed = !in_transactions;
        }
        is_finished && !in_transactions
    }

    /// A record came, behind the markers or in their place: the log may have gone back, by the loss of what its leader had
    /// alone or with a new topic of the same name.
    pub(super) fn no_markers(&self, partition: &TopicPartition) {
        if let Some(line) = self.lock().partitions.get_mut(partition) {
            line.markers = None;
        }
    }

    /// The `end` of a partition, or what comes after its last record if there is none between the two.
    pub(super) fn without_markers(
        &self,
        partition: &TopicPartition,
        end: NextOffset,
    ) -> NextOffset {
        let state = self.lock();
        let markers = state
            .partitions
            .get(partition)
            .and_then(|line| line.markers);
        let markers = markers.filter(|markers| markers.to == end);
        markers.map_or(end, |markers| markers.from)
    }

    /// Whether anything is owed.
    pub(super) fn is_behind(&self) -> bool {
        self.lock().partitions.values().any(|line| line.owed)
    }

    /// Keeps commits back while the brokers are away; the first one after that takes them along.
    pub(super) fn hold(&self, held: bool) {
        self.lock().held = held;
    }

    /// Starts committing, along with what is owed; or owes all of it, if that cannot be now.
    pub(super) fn commit(&self, consumer: &Consumer, offsets: &[(TopicPartition, NextOffset)]) {
        let mut state = self.lock();
        let batch = state.take(offsets);
        if batch.is_empty() {
            return;
        }
        let list = PartitionList::of_offsets(batch.iter().map(|(p, next)| (p, next)));
        if let Err(error) = consumer.client.commit(&list, &consumer.queue) {
            state.under_way = false;
            state.failed(&error, &batch);
        }
    }

    /// Takes the outcome of a commit in the background. Says whether what is owed may go now: it waited for this one, and
    /// has not failed with it.
    pub(super) fn committed(
        &self,
        result: Result<(), ClientError>,
        offsets: &PartitionList,
    ) -> bool {
        let entries = offsets.entries().into_iter();
        let mut offsets: Vec<_> = entries
            .map(|entry| (entry.partition, NextOffset(entry.offset), entry.error))
            .collect();
        let error = match result {
            Err(error) if error.code == RDKafkaErrorCode::NoOffset => None,
            Err(error) => Some(error),
            Ok(()) => {
                offsets.retain(|(_, _, error)| error.is_some());
                offsets.first_mut().and_then(|(_, _, error)| error.take())
            }
        };
        let mut state = self.lock();
        state.under_way = false;
        match &error {
            None => state.told = false,
            Some(error) => {
                let batch: Vec<_> = offsets.into_iter().map(|(p, next, _)| (p, next)).collect();
                state.failed(error, &batch);
            }
        }
        error.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn goes_on_as(&self, now: &Standing) -> bool {
        let before = self.standing.as_ref();
        before.is_none_or(|before| before.goes_on_as(now))
    }

    /// Takes in what is finished; gives what is to be committed now.
    fn take(
        &mut self,
        offsets: &[(TopicPartition, NextOffset)],
    ) -> Vec<(TopicPartition, NextOffset)> {
        if self.in_transactions {
            self.note(offsets);
            return Vec::new();
        }
        for (partition, next) in offsets {
            if let Some(line) = self.partitions.get_mut(partition) {
                line.latest = Some(line.past_markers(*next));
                line.owed = true;
            }
        }
        if self.held || self.under_way {
            return Vec::new();
        }
        let owed = self.partitions.iter_mut().filter(|(_, line)| line.owed);
        let batch: Vec<_> = owed
            .filter_map(|(partition, line)| {
                line.owed = false;
                Some((partition.clone(), line.latest?))
            })
            .collect();
        self.under_way = !batch.is_empty();
        batch
    }

    /// Owes what has failed.
    fn failed(&mut self, error: &ClientError, batch: &[(TopicPartition, NextOffset)]) {
        for (partition, next) in batch {
            if let Some(line) = self.partitions.get_mut(partition) {
                line.owed |= line.latest == Some(*next);
            }
        }
        // Once an outage, not once a try.
        if !self.told {
            tracing::warn!(
                error = %error,
                partitions = batch.len(),
                "offsets not committed; tried again until they are"
            );
        }
        self.told = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn failure() -> Result<(), ClientError> {
        Err(ClientError {
            code: RDKafkaErrorCode::NotCoordinator,
            reason: "moved".to_owned(),
        })
    }

    fn list(offsets: &[(TopicPartition, NextOffset)]) -> PartitionList {
        PartitionList::of_offsets(offsets.iter().map(|(p, next)| (p, next)))
    }

    #[test]
    fn what_is_not_owned_is_not_committed() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0)]);
        let offsets = [(partition(0), NextOffset(5)), (partition(1), NextOffset(7))];
        assert_eq!(ledger.lock().take(&offsets), offsets[..1]);
    }

    #[test]
    fn a_failed_commit_goes_along_with_the_next() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0), partition(1)]);
        let first = ledger.lock().take(&[(partition(0), NextOffset(5))]);
        assert!(!ledger.is_behind());
        ledger.committed(failure(), &list(&first));
        assert!(ledger.is_behind());

        let mut next = ledger.lock().take(&[(partition(1), NextOffset(7))]);
        assert!(!ledger.is_behind(), "it is under way");
        next.sort();
        assert_eq!(
            next,
            [(partition(0), NextOffset(5)), (partition(1), NextOffset(7))]
        );
    }

    #[test]
    fn nothing_is_committed_while_the_brokers_are_away() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0), partition(1)]);
        ledger.hold(true);
        assert_eq!(ledger.lock().take(&[(partition(0), NextOffset(5))]), []);

        ledger.hold(false);
        let mut next = ledger.lock().take(&[(partition(1), NextOffset(7))]);
        next.sort();
        assert_eq!(
            next,
            [(partition(0), NextOffset(5)), (partition(1), NextOffset(7))]
        );
    }

    #[test]
    fn a_commit_waits_for_the_one_before_it() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0)]);
        let first = ledger.lock().take(&[(partition(0), NextOffset(5))]);
        assert_eq!(ledger.lock().take(&[(partition(0), NextOffset(9))]), []);

        assert!(ledger.committed(Ok(()), &list(&first)));
        assert_eq!(ledger.lock().take(&[]), [(partition(0), NextOffset(9))]);
    }

    #[test]
    fn a_failure_does_not_bring_back_an_offset_that_was_overtaken() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0)]);
        let first = ledger.lock().take(&[(partition(0), NextOffset(5))]);
        ledger.lock().take(&[(partition(0), NextOffset(9))]);
        assert!(!ledger.committed(failure(), &list(&first)));

        let owed = ledger.settle(&[partition(0)], Vec::new());
        assert_eq!(owed, HashMap::from([(partition(0), NextOffset(9))]));
    }

    #[test]
    fn what_failed_is_committed_at_the_latest_when_the_partition_goes() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0), partition(1)]);
        let sent = [(partition(0), NextOffset(5)), (partition(1), NextOffset(6))];
        let sent = ledger.lock().take(&sent);
        ledger.committed(failure(), &list(&sent));

        let finished = vec![(partition(1), NextOffset(8)), (partition(2), NextOffset(1))];
        let last = ledger.settle(&[partition(0), partition(1)], finished);
        let expected = [(partition(0), NextOffset(5)), (partition(1), NextOffset(8))];
        assert_eq!(last, HashMap::from(expected));
        assert_eq!(ledger.lock().take(&sent), []);
    }

    #[test]
    fn an_offset_goes_past_markers_once_what_is_before_them_is_finished() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0)]);
        assert!(!ledger.reached_end(&partition(0), NextOffset(5), NextOffset(6)));
        assert_eq!(
            ledger.lock().take(&[(partition(0), NextOffset(4))]),
            [(partition(0), NextOffset(4))]
        );
        ledger.lock().under_way = false;
        assert_eq!(
            ledger.lock().take(&[(partition(0), NextOffset(5))]),
            [(partition(0), NextOffset(6))]
        );
        let answered = vec![(partition(0), NextOffset(5))];
        let last = ledger.settle(&[partition(0)], answered);
        assert_eq!(last, HashMap::from([(partition(0), NextOffset(6))]));
    }

    #[test]
    fn markers_that_are_found_later_are_owed() {
        let ledger = Ledger::default();
        ledger.add(&[partition(0)]);
        ledger.lock().take(&[(partition(0), NextOffset(5))]);
        assert!(!ledger.reached_end(&partition(0), NextOffset(5), NextOffset(5)));
        assert!(ledger.reached_end(&partition(0), NextOffset(5), NextOffset(7)));
        assert!(ledger.is_behind());
        assert!(!ledger.reached_end(&partition(0), NextOffset(5), NextOffset(7)));
        assert!(
            ledger.reached_end(&partition(0), NextOffset(5), NextOffset(9)),
            "those of another transaction"
        );
        assert_eq!(
            ledger.without_markers(&partition(0), NextOffset(9)),
            NextOffset(5)
        );
        assert_eq!(
            ledger.without_markers(&partition(0), NextOffset(10)),
            NextOffset(10),
            "there is something behind them"
        );
        ledger.no_markers(&partition(0));
        ledger.lock().under_way = false;
        assert_eq!(
            ledger.lock().take(&[(partition(0), NextOffset(5))]),
            [(partition(0), NextOffset(5))],
            "the log went back"
        );
    }
}
