//! Values as the tables hold them: times, names of any length, texts from outside.

use std::error::Error;

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::TopicPartition;
use longshore_worker::TimerName;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row as _};
use uuid::Uuid;

/// Why a row cannot be read: it was written by something else.
pub(crate) type Unreadable = Box<dyn Error + Send + Sync>;

/// Bytes that are kept of a text from outside, such as an error's message.
const MAX_TEXT_BYTES: usize = 4096;

/// A time to the microsecond; what is below is cut off.
pub(crate) fn time(time: Timestamp) -> i64 {
    time.as_microsecond()
}

pub(crate) fn time_at(row: &AnyRow, column: usize) -> Result<Timestamp, Unreadable> {
    Ok(Timestamp::from_microsecond(row.try_get(column)?)?)
}

pub(crate) fn optional_time_at(
    row: &AnyRow,
    column: usize,
) -> Result<Option<Timestamp>, Unreadable> {
    let time: Option<i64> = row.try_get(column)?;
    Ok(time.map(Timestamp::from_microsecond).transpose()?)
}

pub(crate) fn bytes_at(row: &AnyRow, column: usize) -> sqlx::Result<Option<Bytes>> {
    Ok(row.try_get::<Option<Vec<u8>>, _>(column)?.map(Bytes::from))
}

/// A number that was put in as a smaller type.
pub(crate) fn number_at<T>(row: &AnyRow, column: usize) -> Result<T, Unreadable>
where
    T: TryFrom<i64>,
    T::Error: Error + Send + Sync + 'static,
{
    Ok(T::try_from(row.try_get::<i64, _>(column)?)?)
}

/// A topic and, in the next column, a partition.
pub(crate) fn partition_at(row: &AnyRow, column: usize) -> Result<TopicPartition, Unreadable> {
    let topic: &str = row.try_get(column)?;
    Ok(TopicPartition::new(
        topic,
        number_at::<i32>(row, column + 1)?,
    ))
}

pub(crate) fn bind_partition<'q>(
    query: Query<'q, Any, AnyArguments>,
    partition: &'q TopicPartition,
) -> Query<'q, Any, AnyArguments> {
    query
        .bind(&*partition.topic)
        .bind(i64::from(partition.partition))
}

/// Stands for a lane in an index.
pub(crate) fn lane_hash(lane: &[u8]) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_OID, lane)
}

/// Stands for the name of a timer, lane included.
pub(crate) fn name_hash(name: &TimerName) -> Uuid {
    Uuid::new_v5(&lane_hash(&name.lane), name.name.as_bytes())
}

/// As much of a text from outside as is kept. PostgreSQL takes no NUL in a text.
pub(crate) fn outside_text(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT_BYTES);
    text[..end].replace('\0', "\u{fffd}")
}
