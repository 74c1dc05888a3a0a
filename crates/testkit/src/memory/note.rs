//! Two small events for tests: a note, and the echo that a handler may publish of it.

use jiff::Timestamp;
use longshore_event::{Event, Identity, OutgoingRecord, encode_new};
use serde::{Deserialize, Serialize};

/// A text under a key, on topic `notes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What is kept in order.
    pub key: String,
    /// Anything.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(key: &str, text: &str) -> Self {
        Self {
            key: key.to_owned(),
            text: text.to_owned(),
        }
    }

    /// Its record, with `id` as the `ce_id`, `test` as the source, and a fixed time.
    ///
    /// # Panics
    /// Never: a note always serialises.
    pub fn outgoing(&self, id: &str) -> OutgoingRecord {
        let identity = Identity {
            source: "test".into(),
            id: id.into(),
        };
        encode_new(self, &identity, None, Timestamp::UNIX_EPOCH).expect("a note serialises")
    }
}

impl Event for Note {
    const TYPE: &'static str = "note";
    const TOPIC: &'static str = "notes";

    fn key(&self) -> &str {
        &self.key
    }
}

/// What follows from a note, on topic `echoes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// The note's key.
    pub key: String,
    /// The note's text.
    pub text: String,
}

impl From<&Note> for Echo {
    fn from(note: &Note) -> Self {
        Self {
            key: note.key.clone(),
            text: note.text.clone(),
        }
    }
}

impl Event for Echo {
    const TYPE: &'static str = "echo";
    const TOPIC: &'static str = "echoes";

    fn key(&self) -> &str {
        &self.key
    }
}
