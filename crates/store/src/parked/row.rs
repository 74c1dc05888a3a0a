//! The columns of a parked message, in and out.

use longshore_event::{ErrorKind, Headers, Offset, Position, Record};
use longshore_worker::{ParkedFailure, ParkedHead, ParkedRow, ParkedState};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _};

use crate::column::{
    Unreadable, bind_partition, bytes_at, lane_hash, number_at, optional_time_at, outside_text,
    partition_at, time, time_at,
};

pub(super) type AnyQuery<'q> = Query<'q, Any, AnyArguments>;

/// What [`bind_row`] binds and [`parked_row`] reads.
pub(super) const COLUMNS: &str = "lane, source_topic, source_partition, source_offset, topic, partition, record_offset, \
     held, attempts, due_at, failure_kind, failure_type, failure_message, first_failed_at, last_failed_at, \
     lane_hash, sequence, identity_source, identity_id, redrive, recorded_at, key, value, headers";

/// How many [`COLUMNS`] there are.
pub(super) const COUNT: usize = 24;

/// What [`parked_head`] reads, but for the number of rows and the last sequence, which follow: the first of [`COLUMNS`].
pub(super) const HEAD_COLUMNS: &str = "lane, source_topic, source_partition, source_offset, topic, partition, \
     record_offset, held, attempts, due_at, failure_kind, failure_type, failure_message, first_failed_at, last_failed_at";

/// What [`bind_again`] binds, with types: the position of a row, and what changes of it when its message fails again.
pub(super) const AGAIN: [(&str, &str); 11] = [
    ("source_topic", "text"),
    ("source_partition", "bigint"),
    ("source_offset", "bigint"),
    ("held", "bigint"),
    ("attempts", "bigint"),
    ("due_at", "bigint"),
    ("failure_kind", "text"),
    ("failure_type", "text"),
    ("failure_message", "text"),
    ("first_failed_at", "bigint"),
    ("last_failed_at", "bigint"),
];

pub(super) fn bind_row<'q>(query: AnyQuery<'q>, row: &'q ParkedRow) -> AnyQuery<'q> {
    let query = bind_position(query.bind(&row.lane[..]), row);
    let query = bind_partition(query, &row.record.partition).bind(row.record.offset.0);
    bind_failure(query, row)
        .bind(lane_hash(&row.lane).as_bytes().to_vec())
        .bind(row.sequence)
        .bind(&*row.identity.source)
        .bind(&*row.identity.id)
        .bind(i64::from(row.redrive))
        .bind(row.record.timestamp.map(time))
        .bind(row.record.key.as_deref())
        .bind(row.record.value.as_deref())
        .bind(row.record.headers.to_bytes())
}

pub(super) fn bind_again<'q>(query: AnyQuery<'q>, row: &'q ParkedRow) -> AnyQuery<'q> {
    bind_failure(bind_position(query, row), row)
}

fn bind_position<'q>(query: AnyQuery<'q>, row: &'q ParkedRow) -> AnyQuery<'q> {
    bind_partition(query, &row.position.partition).bind(row.position.offset.0)
}

/// What it waits for, and why.
fn bind_failure<'q>(query: AnyQuery<'q>, row: &'q ParkedRow) -> AnyQuery<'q> {
    let failure = row.failure.as_ref();
    query
        .bind(i64::from(row.state == ParkedState::Held))
        .bind(i64::from(row.attempts))
        .bind(time(row.due_at))
        .bind(failure.map(|failure| failure.kind.as_str()))
        .bind(failure.map(|failure| outside_text(&failure.error_type)))
        .bind(failure.map(|failure| outside_text(&failure.message)))
        .bind(failure.map(|failure| time(failure.first_failed_at)))
        .bind(failure.map(|failure| time(failure.last_failed_at)))
}

pub(super) fn parked_row(row: &AnyRow) -> Result<ParkedRow, Unreadable> {
    let origin = position_at(row, 4)?;
    Ok(ParkedRow {
        position: position_at(row, 1)?,
        sequence: row.try_get(16)?,
        lane: bytes_at(row, 0)?.unwrap_or_default(),
        identity: longshore_event::Identity {
            source: row.try_get::<&str, _>(17)?.into(),
            id: row.try_get::<&str, _>(18)?.into(),
        },
        record: Record {
            partition: origin.partition,
            offset: origin.offset,
            timestamp: optional_time_at(row, 20)?,
            key: bytes_at(row, 21)?,
            value: bytes_at(row, 22)?,
            headers: Headers::from_bytes(row.try_get(23)?)?,
        },
        redrive: number_at(row, 19)?,
        state: state(row)?,
        attempts: number_at(row, 8)?,
        due_at: time_at(row, 9)?,
        failure: failure(row)?,
    })
}

pub(super) fn parked_head(row: &AnyRow) -> Result<ParkedHead, Unreadable> {
    Ok(ParkedHead {
        lane: bytes_at(row, 0)?.unwrap_or_default(),
        position: position_at(row, 1)?,
        origin: position_at(row, 4)?,
        state: state(row)?,
        attempts: number_at(row, 8)?,
        due_at: time_at(row, 9)?,
        failure: failure(row)?,
        rows: number_at(row, 15)?,
        last: row.try_get(16)?,
    })
}

fn position_at(row: &AnyRow, column: usize) -> Result<Position, Unreadable> {
    Ok(Position {
        partition: partition_at(row, column)?,
        offset: Offset(row.try_get(column + 2)?),
    })
}

fn state(row: &AnyRow) -> Result<ParkedState, Unreadable> {
    let held: i64 = row.try_get(7)?;
    Ok(match held {
        0 => ParkedState::Waiting,
        _ => ParkedState::Held,
    })
}

fn failure(row: &AnyRow) -> Result<Option<ParkedFailure>, Unreadable> {
    let Some(kind) = row.try_get::<Option<&str>, _>(10)? else {
        return Ok(None);
    };
    Ok(Some(ParkedFailure {
        kind: ErrorKind::parse(kind).ok_or_else(|| format!("unknown kind of failure `{kind}`"))?,
        error_type: row.try_get(11)?,
        message: row.try_get(12)?,
        first_failed_at: time_at(row, 13)?,
        last_failed_at: time_at(row, 14)?,
    }))
}
