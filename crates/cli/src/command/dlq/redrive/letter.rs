//! One dead letter: whether it goes, and as what.

use bytes::Bytes;
use longshore_event::{
    AnyDeadLetter, OutgoingRecord, Position, Record, Redrive, RedriveAction, TopicPartition,
    attribute,
};

use super::Job;
use crate::command::dlq::letters::place;
use crate::command::dlq::settled::{Settled, owner};

/// What becomes of one record of the dead-letter topic.
pub(super) enum Verdict {
    NotMeant,
    Settled,
    Exhausted,
    /// It does not say where it came from in a way that a worker would believe.
    Unknown,
    Goes,
}

/// Whether a record of the dead-letter topic goes.
pub(super) fn judge(
    job: &Job<'_>,
    settled: &Settled,
    record: &Record,
    letter: Option<&AnyDeadLetter>,
) -> Verdict {
    let until = job.until.get(&record.partition.partition).copied();
    if record.offset.0 >= until.unwrap_or(0) || !job.selection.holds(record, letter) {
        return Verdict::NotMeant;
    }
    let Some(letter) = letter else {
        return Verdict::Unknown;
    };
    // A letter of ours belongs to its group; one of another system is for whom the user says.
    if owner(letter).is_some_and(|owner| owner != job.group) {
        return Verdict::NotMeant;
    }
    if settled.has(place(record), &job.group) {
        return Verdict::Settled;
    }
    if letter.redrive_count >= job.max_redrives {
        return Verdict::Exhausted;
    }
    match outgoing(job, record, letter, None) {
        Some(_) => Verdict::Goes,
        None => Verdict::Unknown,
    }
}

/// The edited value, if it differs, checked against its topic's file.
pub(super) async fn edited(
    job: &Job<'_>,
    record: &Record,
    letter: &AnyDeadLetter,
) -> Result<Option<Bytes>, String> {
    let new = job.edits.apply(record.value.as_ref()).await?;
    if let Some(new) = &new {
        job.schemas.check(&letter.topic, record, new)?;
    }
    Ok(new)
}

/// The record to send; `None` if no worker would believe it.
pub(super) fn outgoing(
    job: &Job<'_>,
    record: &Record,
    letter: &AnyDeadLetter,
    edited: Option<Bytes>,
) -> Option<OutgoingRecord> {
    let known = letter.origin();
    let is_known = known.is_some();
    // Where the dialect does not tell, the letter's own place in the stead of the origin's keeps it apart from others.
    let origin = known.unwrap_or_else(|| Position {
        partition: TopicPartition::new(letter.topic.as_str(), record.partition.partition),
        offset: record.offset,
    });
    let redrive = Redrive {
        origin,
        count: letter.redrive_count.saturating_add(1),
        action: job.action,
        run: job.id.clone(),
        of: Some(record.position()),
    };
    let mut outgoing = match edited {
        Some(value) if job.action == RedriveAction::Handle => {
            redrive.edited_record(&job.group, record, value)
        }
        _ => redrive.record(&job.group, record),
    };
    if !is_known && outgoing.headers.get(attribute::ID).is_none() {
        // Otherwise its identity would be a place in its topic where another message stands.
        let id = record.position().to_string();
        outgoing.headers.push_str(attribute::ID, &id);
    }
    (Redrive::read(&outgoing.headers) == Some(redrive)).then_some(outgoing)
}
