//! Reads a topic from its beginning to its end as of now, with progress where it takes long.

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use longshore_event::Record;
use longshore_kafka::{Admin, Connection, From, KafkaError, Reader, ReaderEvent};

use super::Place;
use crate::arguments::Global;

/// The committed records of a topic that are there when it is opened.
#[derive(Debug)]
pub(super) struct Letters {
    reader: Reader,
    progress: ProgressBar,
}

impl Letters {
    /// All records, or those from a time on. Progress is shown on a terminal.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], and when the brokers do not answer.
    pub(super) async fn open(
        global: &Global,
        topic: &str,
        since: Option<Timestamp>,
    ) -> Result<Self, KafkaError> {
        let connection = connection(global);
        let from = since.map_or(From::Beginning, From::Time);
        let total = if global.json {
            None
        } else {
            Some(count(&Admin::connect(&connection)?, topic, since).await?)
        };
        Ok(Self {
            reader: Reader::open(&connection, &[topic], from).await?,
            progress: progress(topic, total),
        })
    }

    /// The same without progress, which lines on the same terminal would tear apart.
    pub(super) async fn open_silently(
        global: &Global,
        topic: &str,
        since: Option<Timestamp>,
    ) -> Result<Self, KafkaError> {
        let from = since.map_or(From::Beginning, From::Time);
        Ok(Self {
            reader: Reader::open(&connection(global), &[topic], from).await?,
            progress: ProgressBar::hidden(),
        })
    }

    /// The next record; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Record>, KafkaError> {
        match self.reader.next().await? {
            ReaderEvent::Record(record) => {
                self.progress.inc(1);
                Ok(Some(record))
            }
            ReaderEvent::CaughtUp => {
                self.progress.finish_and_clear();
                Ok(None)
            }
        }
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        self.progress.finish_and_clear();
    }
}

/// Where a record stands in its topic.
pub(super) fn place(record: &Record) -> Place {
    Place {
        partition: record.partition.partition,
        offset: record.offset,
    }
}

/// Whatever the user says, a record of an aborted transaction is none: it would pass for a dead letter that somebody
/// wrote, or for a redrive that happened.
fn connection(global: &Global) -> Connection {
    global
        .connection()
        .property("isolation.level", "read_committed")
}

async fn count(admin: &Admin, topic: &str, since: Option<Timestamp>) -> Result<u64, KafkaError> {
    let bounds = admin.offsets(topic).await?;
    let ends: i64 = bounds.iter().map(|bounds| bounds.end.0).sum();
    let starts: i64 = match since {
        None => bounds.iter().map(|bounds| bounds.begin.0).sum(),
        Some(at) => {
            let starts = admin.offsets_at(topic, at).await?;
            starts.iter().map(|(_, next)| next.0).sum()
        }
    };
    Ok(u64::try_from(ends - starts).unwrap_or(0))
}

/// On a terminal; hidden where standard error is none.
fn progress(topic: &str, total: Option<u64>) -> ProgressBar {
    let Some(total) = total else {
        return ProgressBar::hidden();
    };
    let style =
        ProgressStyle::with_template("{msg} {bar:30} {human_pos}/{human_len} read  {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(total).with_style(style);
    bar.set_message(topic.to_owned());
    bar
}
