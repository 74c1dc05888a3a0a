//! Everything that a run has left: all records of all topics, the tables, the group's offsets.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use longshore_event::{Headers, Record};
use longshore_kafka::{From, Reader, ReaderEvent};
use longshore_testkit::history::History;
use serde_json::json;

use crate::arguments::Strategy;
use crate::message::GROUP;
use crate::producer::Ledger;
use crate::settle::{Progress, Waiting, progress, waiting};
use crate::site::{Database, Site, topics};

/// What the judge looks at.
#[derive(Debug)]
pub(crate) struct Evidence {
    pub(crate) sent: Ledger,
    /// What readers of committed records see.
    pub(crate) history: History,
    /// Records of transactions that were aborted, which only others see; `None` if there were no transactions.
    pub(crate) aborted: Option<usize>,
    /// `None` if the workers have no store.
    pub(crate) tables: Option<Tables>,
    pub(crate) progress: Vec<Progress>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// In the order in which they were written.
    pub(crate) effects: Vec<Effect>,
    /// Source and id.
    pub(crate) inbox: BTreeSet<(String, String)>,
    pub(crate) waiting: Waiting,
}

/// A row that a handler wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Effect {
    /// The id of its message.
    pub(crate) id: String,
    pub(crate) key: String,
    /// Which worker wrote it.
    pub(crate) instance: String,
}

impl Evidence {
    pub(crate) async fn collect(
        site: &Site,
        strategy: Strategy,
        sent: Ledger,
    ) -> anyhow::Result<Self> {
        let tables = match &site.database {
            Some(database) => Some(Tables::read(database).await?),
            None => None,
        };
        let committed = records(site, "read_committed").await?;
        let aborted = match strategy {
            Strategy::Store => None,
            Strategy::Transaction => {
                let all = records(site, "read_uncommitted").await?;
                Some(all.len() - committed.len())
            }
        };
        Ok(Self {
            sent,
            history: History::new(committed),
            aborted,
            tables,
            progress: progress(site).await?,
        })
    }

    /// Writes it to a file in `directory`, one JSON value a line, for whoever looks into a failure.
    pub(crate) fn keep(&self, directory: &Path) -> anyhow::Result<()> {
        let path = directory.join("evidence.jsonl");
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::new(file);
        for record in topics().iter().flat_map(|topic| self.history.topic(topic)) {
            writeln!(out, "{}", as_json(record))?;
        }
        for (number, effect) in self
            .tables
            .iter()
            .flat_map(|tables| &tables.effects)
            .enumerate()
        {
            let Effect { id, key, instance } = effect;
            let line = json!({"effect": number, "id": id, "key": key, "instance": instance});
            writeln!(out, "{line}")?;
        }
        for progress in &self.progress {
            writeln!(out, "{}", json!({"offsets": progress.to_string()}))?;
        }
        out.flush()?;
        Ok(())
    }
}

impl Tables {
    async fn read(database: &Database) -> anyhow::Result<Self> {
        let effects = format!("select id, key, instance from {GROUP}.effect order by number");
        let effects = database.rows(&effects).await?.into_iter().map(|row| {
            let [id, key, instance] = columns(row)?;
            Ok(Effect { id, key, instance })
        });
        let inbox = format!("select source, id from {GROUP}.inbox");
        let inbox = database.rows(&inbox).await?.into_iter().map(|row| {
            let [source, id] = columns(row)?;
            Ok((source, id))
        });
        Ok(Self {
            effects: effects.collect::<anyhow::Result<_>>()?,
            inbox: inbox.collect::<anyhow::Result<_>>()?,
            waiting: waiting(database).await?,
        })
    }
}

fn columns<const N: usize>(row: Vec<String>) -> anyhow::Result<[String; N]> {
    let columns: Result<[String; N], _> = row.try_into();
    columns.map_err(|row| anyhow::anyhow!("a row with {} columns: {row:?}", row.len()))
}

/// Every record that a reader of this isolation level sees. No transaction is open any more.
async fn records(site: &Site, isolation: &str) -> anyhow::Result<Vec<Record>> {
    let topics = topics();
    let names = topics.each_ref().map(String::as_str);
    let connection = site.connection.clone();
    let connection = connection.property("isolation.level", isolation);
    let mut reader = Reader::open(&connection, &names, From::Beginning).await?;
    let mut records = Vec::new();
    loop {
        match reader.next().await? {
            ReaderEvent::Record(record) => records.push(record),
            ReaderEvent::CaughtUp => return Ok(records),
        }
    }
}

fn as_json(record: &Record) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    json!({
        "record": record.position().to_string(),
        "key": record.key.as_deref().map(text),
        "value": record.value.as_deref().map(text),
        "headers": headers(&record.headers),
    })
}

fn headers(headers: &Headers) -> serde_json::Value {
    let pairs = headers.iter().map(|(name, value)| {
        let value = value.map(|value| String::from_utf8_lossy(value).into_owned());
        (name.to_owned(), value.into())
    });
    serde_json::Value::Object(pairs.collect())
}
