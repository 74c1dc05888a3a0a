//! From records to messages: decoded, tracked by their partition's watermark, and looked up in the inbox batch by batch.

use longshore_event::{Envelope, Identity, Limits, Payload, Record, TopicPartition, Undecodable};

use crate::assignments::Place;
use crate::backoff::Backoff;
use crate::failure::chain;
use crate::lanes::LaneKey;
use crate::status::StatusBoard;
use crate::{CommitError, CommitStrategy};

/// A message on its way through the worker.
#[derive(Debug)]
pub(crate) struct Message<P> {
    pub(crate) content: Content<P>,
    pub(crate) place: Place,
}

/// What a record turned out to be.
#[derive(Debug)]
pub(crate) enum Content<P> {
    Event(Envelope<P>),
    Undecodable {
        undecodable: Box<Undecodable>,
        /// Its place in the log, since nothing in it can be trusted to name it.
        identity: Identity,
    },
}

impl<P: Payload> Message<P> {
    /// Decodes a record. What cannot be decoded is a message too: its dead letter keeps its place in the lane.
    pub(crate) fn decode(record: Record, place: Place, limits: &Limits) -> Self {
        let content = match Envelope::decode(record, limits) {
            Ok(envelope) => Content::Event(envelope),
            Err(undecodable) => Content::Undecodable {
                identity: Identity {
                    source: (&*undecodable.record.partition.topic).into(),
                    id: undecodable.record.position().to_string().into(),
                },
                undecodable,
            },
        };
        Self { content, place }
    }

    /// What the inbox knows it by.
    pub(crate) fn identity(&self) -> &Identity {
        match &self.content {
            Content::Event(envelope) => envelope.identity(),
            Content::Undecodable { identity, .. } => identity,
        }
    }

    /// The lane that keeps it in order.
    pub(crate) fn lane(&self) -> LaneKey {
        let record = match &self.content {
            Content::Event(envelope) => envelope.record(),
            Content::Undecodable { undecodable, .. } => &undecodable.record,
        };
        match &record.key {
            Some(key) => LaneKey::Key(key.clone()),
            None => LaneKey::Partition(record.partition.clone()),
        }
    }
}

/// A step of the intake. Steps are taken one at a time, in the order in which the source told them.
#[derive(Debug)]
pub(crate) enum Step<P> {
    TakeOver(Vec<TopicPartition>),
    Admit(Vec<Message<P>>),
}

/// A step that is done.
#[derive(Debug)]
pub(crate) enum Taken<P> {
    Over,
    /// The messages, each with whether it has taken effect before.
    In(Vec<(Message<P>, bool)>),
}

/// Takes one step, however long the commit target is out of reach.
pub(crate) async fn take<P: Payload>(
    step: Step<P>,
    strategy: &impl CommitStrategy,
    status: &StatusBoard,
) -> Taken<P> {
    match step {
        Step::TakeOver(partitions) => {
            until_available(status, || strategy.take_over(&partitions)).await;
            Taken::Over
        }
        Step::Admit(messages) => {
            let identities: Vec<&Identity> = messages.iter().map(Message::identity).collect();
            let seen = until_available(status, || strategy.seen(&identities)).await;
            Taken::In(messages.into_iter().zip(seen).collect())
        }
    }
}

/// Tries for ever: an outage says nothing about the messages.
async fn until_available<T, F>(status: &StatusBoard, mut attempt: impl FnMut() -> F) -> T
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
