//! From an event to the record that carries it, with the headers that tie it to its cause.

use bytes::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Envelope, Event, Headers, Identity, OutgoingRecord, attribute, derived_id};

/// What a follow-on event is caused by, and by whom it is published.
#[derive(Debug)]
pub struct Cause<'a, P> {
    /// The message being handled.
    pub envelope: &'a Envelope<P>,
    /// The consumer group handling it: the follow-on's source, and part of its derived id.
    pub group: &'a str,
    /// How many follow-ons of this cause came before.
    pub ordinal: usize,
}

/// The record of a follow-on event and its id, which is derived; correlation id and trace are its cause's.
///
/// # Errors
/// When the event does not serialise to JSON.
pub fn encode<E: Event, P>(
    event: &E,
    cause: &Cause<'_, P>,
    now: Timestamp,
) -> Result<(Uuid, OutgoingRecord), serde_json::Error> {
    let identity = cause.envelope.identity();
    let id = derived_id(cause.group, identity, cause.ordinal);
    let mut headers = attributes(event, id, cause.group, cause.envelope.correlation_id(), now);
    headers.push_str(attribute::CAUSATION_ID, &identity.id);
    if let Some(parent) = cause.envelope.trace_parent() {
        let span = id.as_u64_pair().1;
        headers.push_str(attribute::TRACE_PARENT, &parent.child(span).to_string());
        if let Some(state) = cause.envelope.record().headers.get(attribute::TRACE_STATE) {
            headers.push(attribute::TRACE_STATE, Some(state));
        }
    }
    Ok((id, record(event, headers)?))
}

/// The record of an event that nothing caused: `identity` is what the inbox of its readers knows it by, and its
/// correlation id is its own id unless one is given.
///
/// # Errors
/// When the event does not serialise to JSON.
pub fn encode_new<E: Event>(
    event: &E,
    identity: &Identity,
    correlation_id: Option<&str>,
    now: Timestamp,
) -> Result<OutgoingRecord, serde_json::Error> {
    let correlation_id = correlation_id.unwrap_or(&identity.id);
    let headers = attributes(event, &identity.id, &identity.source, correlation_id, now);
    record(event, headers)
}

fn attributes<E: Event>(
    event: &E,
    id: impl ToString,
    source: &str,
    correlation_id: &str,
    now: Timestamp,
) -> Headers {
    let mut headers = Headers::with_capacity(12, 384);
    let now = now.to_string();
    headers.push_str(attribute::SPEC_VERSION, "1.0");
    headers.push_str(attribute::ID, &id.to_string());
    headers.push_str(attribute::SOURCE, source);
    headers.push_str(attribute::TYPE, E::TYPE);
    headers.push_str(attribute::TIME, &now);
    headers.push_str(attribute::SUBJECT, event.key());
    headers.push_str(attribute::CONTENT_TYPE, "application/json");
    headers.push_str(attribute::CORRELATION_ID, correlation_id);
    headers.push_str(attribute::TIMESTAMP, &now);
    headers
}

fn record<E: Event>(event: &E, headers: Headers) -> Result<OutgoingRecord, serde_json::Error> {
    Ok(OutgoingRecord {
        topic: E::TOPIC.into(),
        key: Some(Bytes::copy_from_slice(event.key().as_bytes())),
        value: Some(serde_json::to_vec(event)?.into()),
        headers,
    })
}
