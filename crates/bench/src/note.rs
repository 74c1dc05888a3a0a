//! The event that is worked through, and the one that follows from it: 300 bytes on the wire, more or less.

use longshore_event::{DecodeError, Event, Payload, Record};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) key: String,
    pub(crate) text: String,
}

impl Event for Note {
    const TYPE: &'static str = "bench.note";

    fn key(&self) -> &str {
        &self.key
    }
}

impl Note {
    pub(crate) fn number(n: usize, keys: usize) -> Self {
        Self {
            key: format!("k-{}", n % keys),
            text: format!("{n:0>120}"),
        }
    }

    pub(crate) fn number_of(&self) -> usize {
        self.text.parse().unwrap_or_default()
    }
}

/// A note, whatever its topic is called in this run.
pub(crate) struct AnyTopic(pub(crate) Note);

impl Payload for AnyTopic {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        Note::decode(record).map(Self)
    }
}

/// What every contestant publishes for a note.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Echo {
    pub(crate) key: String,
    pub(crate) length: usize,
}

impl Event for Echo {
    const TYPE: &'static str = "bench.echo";

    fn key(&self) -> &str {
        &self.key
    }
}

impl From<&Note> for Echo {
    fn from(note: &Note) -> Self {
        Self {
            key: note.key.clone(),
            length: note.text.len(),
        }
    }
}

/// The write that every contestant with a store makes for a note.
pub(crate) const COUNT: &str = "insert into counts (name, count) values ($1, 1) on conflict (name) do update set count = counts.count + 1";

pub(crate) const TABLE: &str =
    "create table counts (name text not null primary key, count bigint not null)";
