//! Calls a handler in a test as the runtime would: no broker, no store, and a clock that stands still.

use std::sync::Arc;

use jiff::Timestamp;
use longshore_event::{
    Envelope, Event, Headers, Limits, Offset, OutgoingRecord, Payload, Record, TopicPartition,
};
use longshore_worker::{Context, Failure, Handler, PendingTimer, Statement};

/// What a handler decided about one message.
#[derive(Clone, Debug)]
pub struct Decisions {
    writes: Vec<Statement>,
    published: Vec<OutgoingRecord>,
    timers: Vec<PendingTimer>,
}

/// Hands an event to a handler, for the first time, at [`now`].
///
/// # Errors
/// The handler's failure.
///
/// # Panics
/// If the event does not pass its own check, or is nothing that the handler takes.
pub async fn handle<H: Handler, E: Event>(handler: &H, event: &E) -> Result<Decisions, Failure> {
    let message = message::<H::Payload, E>(event);
    let group = Arc::from(H::NAME);
    let mut context = Context::new(&message, &group, 1, now());
    handler.handle(&message, &mut context).await?;
    Ok(Decisions {
        writes: context.writes().to_vec(),
        published: context.published().cloned().collect(),
        timers: context.timers().to_vec(),
    })
}

/// The time in tests: 2026-01-01T00:00:00Z.
pub fn now() -> Timestamp {
    Timestamp::constant(1_767_225_600, 0)
}

impl Decisions {
    /// The statements, in order.
    pub fn writes(&self) -> &[Statement] {
        &self.writes
    }

    /// The records to publish, in order.
    pub fn records(&self) -> &[OutgoingRecord] {
        &self.published
    }

    /// The timers set and cancelled, in order.
    pub fn timers(&self) -> &[PendingTimer] {
        &self.timers
    }

    /// The only thing to publish.
    ///
    /// # Panics
    /// If it is not one event of that type alone.
    pub fn the_only<E: Event>(&self) -> E {
        let (all, mut events) = (self.published.len(), self.published::<E>());
        match events.pop() {
            Some(event) if all == 1 => event,
            _ => panic!("{all} records are published, not one {}", E::TYPE),
        }
    }

    /// The events of one type to publish, in order.
    ///
    /// # Panics
    /// If a record for that type's topic is not such an event.
    pub fn published<E: Event>(&self) -> Vec<E> {
        let records = self.published.iter();
        records
            .filter(|record| &*record.topic == E::TOPIC)
            .map(|record| match &record.value {
                Some(value) => match serde_json::from_slice(value) {
                    Ok(event) => event,
                    Err(error) => panic!("a record for {} is no {}: {error}", E::TOPIC, E::TYPE),
                },
                None => panic!("a record for {} is a tombstone", E::TOPIC),
            })
            .collect()
    }
}

fn message<P: Payload, E: Event>(event: &E) -> Envelope<P> {
    let value = match serde_json::to_vec(event) {
        Ok(value) => value,
        Err(error) => panic!("the event is no JSON: {error}"),
    };
    let record = Record {
        partition: TopicPartition::new(E::TOPIC, 0),
        offset: Offset(0),
        timestamp: Some(now()),
        key: Some(event.key().to_owned().into()),
        value: Some(value.into()),
        headers: Headers::new(),
    };
    match Envelope::decode(record, &Limits::default()) {
        Ok(message) => message,
        Err(undecodable) => panic!("the event is not valid: {}", undecodable.error),
    }
}
