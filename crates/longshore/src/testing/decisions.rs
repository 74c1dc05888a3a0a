//! One handler, called as the runtime would: no broker, no store, and a clock that stands still.

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

/// Hands an event to a handler, for the first time, at [`now`], as a record of the event's own topic.
///
/// # Errors
/// The handler's failure.
///
/// # Panics
/// If the event does not pass its own check, or the handler's payload does not take it.
pub async fn handle<H, E>(handler: &H, event: &E) -> Result<Decisions, Failure>
where
    H: Handler,
    E: Event,
{
    let message = message(event);
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
            .map(|record| event_in(&record.topic, record.value.as_deref()))
            .collect()
    }
}

/// The event in a record's value.
#[track_caller]
pub(super) fn event_in<E: Event>(topic: &str, value: Option<&[u8]>) -> E {
    let Some(value) = value else {
        panic!("a record for {topic} is a tombstone, and no {}", E::TYPE);
    };
    match serde_json::from_slice(value) {
        Ok(event) => event,
        Err(error) => panic!("a record for {topic} is no {}: {error}", E::TYPE),
    }
}

fn message<E: Event, P: Payload>(event: &E) -> Envelope<P> {
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
