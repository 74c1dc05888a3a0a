//! The intake: partitions are taken over, and messages looked up in the inbox batch by batch; what is new goes to its
//! lane, or behind the others of a parked key.

use std::sync::Arc;

use futures_util::FutureExt;
use longshore_event::{Identity, Payload, Record, TopicPartition};

use crate::backoff::Backoff;
use crate::failure::chain;
use crate::lanes::LaneKey;
use crate::message::{Arrival, Message};
use crate::parking::Room;
use crate::run_loop::RunLoop;
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy, Handler, ParkedHead, Source};

/// A step of the intake. Steps are taken one at a time, in the order in which the source told them.
#[derive(Debug)]
pub(crate) enum Step<P> {
    TakeOver(Vec<TopicPartition>),
    /// Not all parked lanes of these partitions fitted into memory.
    LoadParked(Vec<TopicPartition>),
    Admit(Vec<Message<P>>),
    /// Messages of the redrive topic. They may overtake those of other topics, which wait for what they free.
    AdmitRedriven(Vec<Message<P>>),
}

/// A step that is done.
#[derive(Debug)]
pub(crate) enum Taken {
    /// These partitions are taken over, with what is parked of each.
    Over {
        parked: Vec<ParkedOf>,
        /// The highest sequence that earlier owners gave to what is left in the outbox.
        last: Option<i64>,
    },
    /// What is parked of partitions was read once more.
    Parked(Vec<ParkedOf>),
    /// Whether each of the arriving messages has taken effect before.
    In(Vec<bool>),
}

/// What is parked of a partition, as far as there is room for it in memory.
#[derive(Debug)]
pub(crate) struct ParkedOf {
    pub(crate) partition: TopicPartition,
    pub(crate) heads: Vec<ParkedHead>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    pub(crate) fn take_next_step(&mut self) {
        if self.taking.is_some() {
            return;
        }
        if let Some(partitions) = self.parking.take_incomplete() {
            self.steps.push_front(Step::LoadParked(partitions));
        }
        if let Some(step) = self.next_step() {
            let room = match step {
                // Those that are known are read once more.
                Step::LoadParked(_) => self.parking.room().emptied(),
                _ => self.parking.room(),
            };
            self.taking_over = match &step {
                Step::TakeOver(partitions) => partitions.clone(),
                _ => Vec::new(),
            };
            let (strategy, status) = (self.strategy.clone(), self.status.clone());
            self.taking = Some(match step {
                Step::TakeOver(partitions) => {
                    async move { take_over(partitions, room, &*strategy, &status).await }.boxed()
                }
                Step::LoadParked(partitions) => {
                    async move { load_parked(partitions, room, &*strategy, &status).await }.boxed()
                }
                Step::Admit(messages) | Step::AdmitRedriven(messages) => {
                    let messages = Arc::new(messages);
                    self.arriving = messages.clone();
                    async move { look_up(&messages, &*strategy, &status).await }.boxed()
                }
            });
        }
    }

    /// The first step that may be taken.
    fn next_step(&mut self) -> Option<Step<H::Payload>> {
        let may_admit = self.may_publish() && self.parking.may_admit();
        let may_admit_redriven = self.may_publish() && self.parking.may_admit_redriven();
        let may_be_taken = |step: &Step<H::Payload>| match step {
            Step::TakeOver(_) | Step::LoadParked(_) => true,
            Step::Admit(_) => may_admit,
            Step::AdmitRedriven(_) => may_admit_redriven,
        };
        let first = self.steps.iter().position(may_be_taken)?;
        // What an earlier stay of a partition still commits must be there before the next one looks, and would be
        // committed by the right of the next one if that began first.
        if matches!(self.steps[first], Step::TakeOver(_)) && self.is_committing_for_an_ended_stay()
        {
            return None;
        }
        self.steps.remove(first)
    }

    /// Whether there is room for more committed records that wait to be published. Those that fit into memory do not count.
    pub(crate) fn may_publish(&self) -> bool {
        let unpublished = self.backlog.as_ref().map_or(0, |backlog| *backlog.borrow());
        unpublished < self.guide.settings.max_unpublished
    }

    pub(crate) fn received(&mut self, records: Vec<Record>) {
        self.in_flight += records.len();
        self.look_again();
        let mut stale = 0;
        let mut messages = Vec::with_capacity(records.len());
        let mut redriven = Vec::new();
        for record in records {
            match self.assignments.track(&record) {
                Some(place) => {
                    let settings = &self.guide.settings;
                    if record.partition.topic == settings.redrive_topic {
                        redriven.push(Message::redriven(record, place, &settings.limits));
                    } else {
                        messages.push(Message::decode(record, place, &settings.limits));
                    }
                }
                None => stale += 1,
            }
        }
        self.release(stale);
        if !messages.is_empty() {
            self.steps.push_back(Step::Admit(messages));
        }
        if !redriven.is_empty() {
            self.steps.push_back(Step::AdmitRedriven(redriven));
        }
    }

    /// # Panics
    /// If the step that is over still holds the messages it has looked up.
    pub(crate) fn taken(&mut self, taken: Taken) {
        self.taking = None;
        let taken_over = std::mem::take(&mut self.taking_over);
        match taken {
            Taken::Over { parked, last } => {
                if let Some(last) = last {
                    self.guide.sequence.raise_above(last);
                }
                self.assignments.taken_over(&taken_over);
                self.parked_before(parked);
            }
            Taken::Parked(parked) => self.parked_before(parked),
            Taken::In(seen) => {
                let messages = Arc::into_inner(std::mem::take(&mut self.arriving));
                let messages = messages.expect("a step that is over holds nothing");
                for (message, seen) in messages.into_iter().zip(seen) {
                    self.admit(message, seen);
                }
            }
        }
    }

    /// A message comes in: skipped if it took effect before, parked if its key is, otherwise in its lane. A discard
    /// has no handler to wait for, and must not wait behind what it frees.
    fn admit(&mut self, message: Message<H::Payload>, seen: bool) {
        if seen {
            self.assignments.finish(message.place);
            self.release(1);
            return self.offsets_moved();
        }
        if !self.assignments.may_start(message.place) {
            self.assignments.abandon(message.place);
            return self.release(1);
        }
        if message.arrival.is_discard() {
            let handled = self.guide.discard(message);
            return self.ready(handled);
        }
        let key = message.lane(self.guide.scope);
        if self.parking.holds_back(&key, &message) && !self.frees(&message, &key) {
            return self.park_behind(message, &key);
        }
        self.lanes.push(key, message);
    }

    /// Whether the message is what its key waits for: the redrive of the dead one that holds it.
    fn frees(&self, message: &Message<H::Payload>, key: &LaneKey) -> bool {
        matches!(message.arrival, Arrival::Redriven(_)) && self.parking.is_held(key)
    }
}

/// Takes partitions over, however long the commit target is out of reach. `room` is for parked lanes that are loaded.
async fn take_over(
    partitions: Vec<TopicPartition>,
    room: Room,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Taken {
    let last = until_available(status, || strategy.take_over(&partitions)).await;
    let parked = parked_of(partitions, room, strategy, status).await;
    Taken::Over { parked, last }
}

/// Loads parked lanes for which there was no room before.
async fn load_parked(
    partitions: Vec<TopicPartition>,
    room: Room,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Taken {
    Taken::Parked(parked_of(partitions, room, strategy, status).await)
}

/// Asks the inbox for messages.
async fn look_up<P: Payload>(
    messages: &[Message<P>],
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Taken {
    let identities: Vec<&Identity> = messages.iter().map(Message::identity).collect();
    Taken::In(until_available(status, || strategy.seen(&identities)).await)
}

/// What is parked of each of these partitions, as far as there is room for it.
async fn parked_of(
    partitions: Vec<TopicPartition>,
    mut room: Room,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Vec<ParkedOf> {
    let mut parked = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let only = [partition];
        // One more than there is room for tells whether there are more.
        let most = room.left().saturating_add(1);
        let mut heads = until_available(status, || strategy.parked_heads(&only, most)).await;
        let read = heads.len();
        heads.retain(|head| room.offer(head.state));
        let complete = heads.len() == read;
        let [partition] = only;
        parked.push(ParkedOf {
            partition,
            heads,
            complete,
        });
    }
    parked
}

/// Tries for ever: an outage says nothing about the messages.
pub(crate) async fn until_available<T, F>(status: &StatusBoard, mut attempt: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, CommitError>>,
{
    let mut backoff = Backoff::new();
    loop {
        match attempt().await {
            Ok(value) => {
                status.commits_recovered();
                return value;
            }
            Err(error) => status.commits_failed(&chain(&error)),
        }
        backoff.wait().await;
    }
}
