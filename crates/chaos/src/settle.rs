//! Waits for the end: everything read, everything published, nothing parked, no transaction open.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use longshore_event::{Event, NextOffset, TopicPartition};
use tokio::time::{Instant, sleep};

use crate::message::{GROUP, Work};
use crate::report::Journal;
use crate::site::{Database, Site, topics};
use crate::violation::Violation;

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A partition of the messages' topic: what the group has committed, and where it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) partition: TopicPartition,
    pub(crate) committed: Option<NextOffset>,
    pub(crate) end: NextOffset,
}

/// Rows that are there only as long as something is to be done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) outbox: u64,
    pub(crate) parked: u64,
}

/// Returns when nothing is left to do; what is still left after `within` is a violation.
pub(crate) async fn settle(site: &Site, within: Duration, journal: &Journal) -> anyhow::Result<()> {
    let deadline = Instant::now() + within;
    loop {
        // What does not answer may do so later, as long as there is time.
        let looked = unfinished(site).await;
        let unfinished = looked.unwrap_or_else(|error| vec![format!("{error:#}")]);
        if unfinished.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            journal.violation(Violation::Unsettled { within, unfinished });
            return Ok(());
        }
        sleep(LOOK_EVERY).await;
    }
}

/// What there is still to do, in words.
async fn unfinished(site: &Site) -> anyhow::Result<Vec<String>> {
    let progress = progress(site).await?;
    let behind = progress.iter().filter(|progress| !progress.is_finished());
    let mut unfinished: Vec<String> = behind.map(ToString::to_string).collect();
    for topic in topics() {
        unfinished.extend(in_open_transactions(site, &topic).await?);
    }
    if let Some(database) = &site.database {
        let Waiting { outbox, parked } = waiting(database).await?;
        for (rows, table) in [(outbox, "outbox"), (parked, "parked")] {
            if rows > 0 {
                unfinished.push(format!("{rows} rows in {table}"));
            }
        }
    }
    Ok(unfinished)
}

/// Partitions whose end is held back by a transaction, in words: not all that is committed can be read there yet.
async fn in_open_transactions(site: &Site, topic: &str) -> anyhow::Result<Vec<String>> {
    // In this order: what comes in between is no transaction.
    let high_watermarks: BTreeMap<_, _> = site
        .admin
        .high_watermarks(topic)
        .await?
        .into_iter()
        .collect();
    let bounds = site.admin.offsets(topic).await?;
    let open = bounds.into_iter().filter_map(|bounds| {
        let high_watermark = high_watermarks.get(&bounds.partition)?;
        let behind = high_watermark.0 - bounds.end.0;
        (behind > 0).then(|| {
            format!(
                "{}: a transaction is open, {behind} records",
                bounds.partition
            )
        })
    });
    Ok(open.collect())
}

pub(crate) async fn progress(site: &Site) -> anyhow::Result<Vec<Progress>> {
    let group = site.admin.describe_group(GROUP).await?;
    let bounds = site.admin.offsets(Work::TOPIC).await?;
    let progress = bounds.into_iter().map(|bounds| Progress {
        committed: group
            .partitions
            .iter()
            .find(|lag| lag.partition == bounds.partition)
            .and_then(|lag| lag.committed),
        end: bounds.end,
        partition: bounds.partition,
    });
    Ok(progress.collect())
}

pub(crate) async fn waiting(database: &Database) -> anyhow::Result<Waiting> {
    Ok(Waiting {
        outbox: count(database, "outbox").await?,
        parked: count(database, "parked").await?,
    })
}

/// Rows of a table of the workers' store.
async fn count(database: &Database, table: &str) -> anyhow::Result<u64> {
    let rows = database
        .rows(&format!("select count(*) from {GROUP}.{table}"))
        .await?;
    let count = rows.first().and_then(|row| row.first());
    count
        .and_then(|count| count.parse().ok())
        .with_context(|| format!("{table} cannot be counted"))
}

impl Progress {
    pub(crate) fn is_finished(&self) -> bool {
        match self.committed {
            Some(committed) => committed == self.end,
            None => self.end == NextOffset(0),
        }
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { partition, end, .. } = self;
        match self.committed {
            Some(committed) => write!(f, "{partition}: {} committed of {}", committed.0, end.0),
            None => write!(f, "{partition}: nothing committed of {}", end.0),
        }
    }
}
