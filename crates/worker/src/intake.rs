//! The intake: partitions are taken over, and messages looked up in the inbox batch by batch.

use longshore_event::{Identity, Payload, TopicPartition};

use crate::backoff::Backoff;
use crate::failure::chain;
use crate::message::Message;
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy, ParkedHead};

/// A step of the intake. Steps are taken one at a time, in the order in which the source told them.
#[derive(Debug)]
pub(crate) enum Step<P> {
    TakeOver(Vec<TopicPartition>),
    /// Not all parked lanes of these partitions fitted into memory.
    LoadParked(Vec<TopicPartition>),
    Admit(Vec<Message<P>>),
}

/// A step that is done.
#[derive(Debug)]
pub(crate) enum Taken<P> {
    /// These partitions may be worked on, with what is parked of each.
    Over(Vec<ParkedOf>),
    /// The messages, each with whether it has taken effect before.
    In(Vec<(Message<P>, bool)>),
}

/// What is parked of a partition, as far as there is room for it in memory.
#[derive(Debug)]
pub(crate) struct ParkedOf {
    pub(crate) partition: TopicPartition,
    pub(crate) heads: Vec<ParkedHead>,
    /// Whether these are all.
    pub(crate) complete: bool,
}

/// Takes one step, however long the commit target is out of reach. `room` is how many parked lanes may be loaded.
pub(crate) async fn take<P: Payload>(
    step: Step<P>,
    room: usize,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Taken<P> {
    match step {
        Step::TakeOver(partitions) => {
            until_available(status, || strategy.take_over(&partitions)).await;
            Taken::Over(parked_of(partitions, room, strategy, status).await)
        }
        Step::LoadParked(partitions) => {
            Taken::Over(parked_of(partitions, room, strategy, status).await)
        }
        Step::Admit(messages) => {
            let identities: Vec<&Identity> = messages.iter().map(Message::identity).collect();
            let seen = until_available(status, || strategy.seen(&identities)).await;
            Taken::In(messages.into_iter().zip(seen).collect())
        }
    }
}

/// What is parked of each of these partitions, up to `room` lanes in all.
async fn parked_of(
    partitions: Vec<TopicPartition>,
    mut room: usize,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Vec<ParkedOf> {
    let mut parked = Vec::with_capacity(partitions.len());
    for partition in partitions {
        let only = [partition];
        // One more than there is room for tells whether there are more.
        let mut heads = until_available(status, || strategy.parked_heads(&only, room + 1)).await;
        let complete = heads.len() <= room;
        heads.truncate(room);
        room -= heads.len();
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
