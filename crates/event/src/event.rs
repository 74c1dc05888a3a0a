//! What a Rust type must say of itself to travel as an event.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::envelope::{self, DecodeError};
use crate::{Record, attribute};

/// A domain event: one type, one `ce_type`, one topic.
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// `ce_type`, such as `order.created`. A later version of the payload is another type: `order.created.v2`.
    const TYPE: &'static str;

    /// The topic it is published to.
    const TOPIC: &'static str = Self::TYPE;

    /// The id of the aggregate it happened to. It is the record's key, so it decides what is kept in order.
    fn key(&self) -> &str;

    /// What the JSON shape alone cannot say, such as "not empty".
    ///
    /// # Errors
    /// A sentence that names the field; the record is then undecodable.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// What a handler takes: any [`Event`], or an enum of several that chooses by [`Record`].
pub trait Payload: Sized + Send + Sync + 'static {
    /// Decodes a record that has passed its [`Limits`](crate::Limits).
    ///
    /// # Errors
    /// [`DecodeError`] sends the record to the dead-letter topic as the bytes it was.
    fn decode(record: &Record) -> Result<Self, DecodeError>;
}

impl<E: Event> Payload for E {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        if let Some(found) = record.headers.get(attribute::TYPE) {
            envelope::check_type(found, E::TYPE)?;
        }
        let value = record.value.as_deref().ok_or(DecodeError::Tombstone)?;
        if value.is_empty() {
            return Err(DecodeError::Empty);
        }
        let event: E = serde_json::from_slice(value).map_err(|source| DecodeError::Json {
            event: E::TYPE,
            source,
        })?;
        event.check().map_err(|reason| DecodeError::Invalid {
            event: E::TYPE,
            reason,
        })?;
        Ok(event)
    }
}
