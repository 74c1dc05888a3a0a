//! Dead letters on their way back to the worker, as `longshore dlq redrive` and `discard` send them.

use longshore_event::{
    Event, OutgoingRecord, Position, Redrive, RedriveAction, TopicPartition, dead_letter_topic,
};

use super::decisions::event_in;
use super::{DeadRecord, TestWorker};

/// The run that the headers of a redriven record name.
const RUN: &str = "test";

impl TestWorker {
    /// Sends the worker's dead letters of `topic` back to it, but for those that were sent before. Returns how many.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    pub fn redrive(&mut self, topic: &str) -> usize {
        self.send_back(topic, |group, redrive, dead| {
            redrive.record(group, &dead.record)
        })
    }

    /// As [`redrive`](Self::redrive), of the events of one type, each edited on its way.
    ///
    /// # Panics
    /// If there are none, or one is no such event.
    #[track_caller]
    pub fn redrive_edited<E: Event>(&mut self, edit: impl Fn(&mut E)) -> usize {
        self.send_back(E::TOPIC, |group, redrive, dead| {
            let mut event: E = event_in(E::TOPIC, dead.record.value.as_deref());
            edit(&mut event);
            match serde_json::to_vec(&event) {
                Ok(value) => redrive.edited_record(group, &dead.record, value.into()),
                Err(error) => panic!("the edited {} does not serialise: {error}", E::TYPE),
            }
        })
    }

    /// Gives the worker's dead letters of `topic` up, but for those that were sent back before; with `--strict`, that frees
    /// their keys. Returns how many.
    ///
    /// # Panics
    /// If there are none.
    #[track_caller]
    pub fn discard(&mut self, topic: &str) -> usize {
        self.send_back(topic, |group, redrive, dead| {
            let discard = Redrive {
                action: RedriveAction::Discard,
                ..redrive
            };
            discard.record(group, &dead.record)
        })
    }

    #[track_caller]
    fn send_back(
        &mut self,
        topic: &str,
        record: impl Fn(&str, Redrive, &DeadRecord) -> OutgoingRecord,
    ) -> usize {
        let group = self.site.group_name().to_owned();
        let mut sent = 0;
        for dead in self.dead_letters(topic) {
            let position = dead.record.position();
            let DeadRecord { letter, .. } = &dead;
            if letter.group != group || !self.redriven.insert(position.clone()) {
                continue;
            }
            let redrive = Redrive {
                origin: Position {
                    partition: TopicPartition::new(letter.topic.as_str(), letter.partition),
                    offset: longshore_event::Offset(letter.offset),
                },
                count: letter.redrive_count + 1,
                action: RedriveAction::Handle,
                run: RUN.to_owned(),
                of: Some(position),
            };
            let record = record(&group, redrive, &dead);
            let appended = self.site.world.log.append(record);
            assert!(appended.is_some(), "the redrive topic exists");
            sent += 1;
        }
        assert!(
            sent > 0,
            "{} has no dead letters in {} that were not sent back before{}",
            self.site.name,
            dead_letter_topic(topic),
            self.explained()
        );
        sent
    }
}
