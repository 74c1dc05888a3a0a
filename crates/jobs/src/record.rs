//! The record that adds a job of any queue, for those who know its payload as JSON alone.

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{Headers, OutgoingRecord, attribute};
use serde_json::Value;

use crate::NewJob;

/// As [`longshore_event::encode_new`] makes it for an event type. `id` is what the inbox knows it by.
///
/// # Errors
/// When the payload does not serialise.
pub(crate) fn adding(
    job: &NewJob<Value>,
    topic: &str,
    id: &str,
    source: &str,
    correlation_id: &str,
    now: Timestamp,
) -> Result<OutgoingRecord, serde_json::Error> {
    let now = now.to_string();
    let mut headers = Headers::new();
    for (name, value) in [
        (attribute::SPEC_VERSION, "1.0"),
        (attribute::ID, id),
        (attribute::SOURCE, source),
        (attribute::TYPE, topic),
        (attribute::TIME, &now),
        (attribute::SUBJECT, &job.job_id),
        (attribute::CONTENT_TYPE, "application/json"),
        (attribute::CORRELATION_ID, correlation_id),
        (attribute::TIMESTAMP, &now),
    ] {
        headers.push_str(name, value);
    }
    Ok(OutgoingRecord {
        topic: topic.into(),
        key: Some(Bytes::copy_from_slice(job.job_id.as_bytes())),
        value: Some(serde_json::to_vec(job)?.into()),
        headers,
    })
}
