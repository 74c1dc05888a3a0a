//! Events on the wire: records as Kafka carries them, CloudEvents attributes, identities, and the codec between
//! bytes and Rust types. No I/O happens here.
//!
//! Reading order: a [`Record`] arrives at a [`Position`]; [`Envelope::decode`] checks it against [`Limits`] and turns
//! it into an [`Event`]; [`encode`] makes the [`OutgoingRecord`] of a follow-on event; [`DeadLetter`] is what becomes
//! of a record that failed for good, and [`Redrive`] what takes it back.

mod position;
pub use position::{NextOffset, Offset, Position, TopicPartition};

mod headers;
pub use headers::{Headers, HeadersError};

mod record;
pub use record::{OutgoingRecord, Record};

mod limits;
pub use limits::{LimitError, Limits};

mod identity;
pub use identity::{Identity, derived_id};

pub mod attribute;

mod trace;
pub use trace::TraceParent;

mod event;
pub use event::{Event, Payload};

mod envelope;
pub use envelope::{DecodeError, Envelope, Undecodable};

mod encode;
pub use encode::{Cause, encode, encode_new};

mod dead_letter;
pub use dead_letter::{
    AnyDeadLetter, DeadLetter, Dialect, ErrorKind, dead_letter_topic, fingerprint,
};

mod redrive;
pub use redrive::{MAX_ORIGINAL_VALUE_BYTES, Redrive, RedriveAction, redrive_topic};
