//! `longshore dlq list`: one line for every dead letter.

use std::io::{self, BufWriter, Write};

use longshore_event::{DeadLetter, Record};
use longshore_kafka::{From, Reader, ReaderEvent};
use serde_json::json;

use crate::arguments::Global;
use crate::output::note;
use crate::record::{printable, printable_bytes};

/// Columns with the width that most of their cells keep to; lines are printed as they are read, whatever their number.
const COLUMNS: [(&str, usize); 8] = [
    ("PLACE", 9),
    ("FAILED", 24),
    ("KEY", 16),
    ("KIND", 11),
    ("HANDLER", 16),
    ("GROUP", 16),
    ("ATTEMPTS", 8),
    ("ERROR", 0),
];

/// Characters of the error that are shown; `longshore dlq show` has all of it.
const MAX_ERROR_CHARS: usize = 120;

pub(super) async fn run(global: &Global, topic: &str) -> anyhow::Result<()> {
    let mut reader = Reader::open(&global.connection(), &[topic], From::Beginning).await?;
    let mut out = BufWriter::new(io::stdout());
    let mut count = 0;
    while let ReaderEvent::Record(record) = reader.next().await? {
        if global.json {
            serde_json::to_writer(&mut out, &as_json(&record))?;
            writeln!(out)?;
        } else {
            if count == 0 {
                write_row(&mut out, COLUMNS.map(|(name, _)| name.to_owned()))?;
            }
            write_row(&mut out, cells(&record))?;
        }
        count += 1;
    }
    out.flush()?;
    if count == 0 && !global.json {
        note(format_args!("There are no dead letters in {topic}."));
    }
    Ok(())
}

fn cells(record: &Record) -> [String; 8] {
    let place = format!("{}/{}", record.partition.partition, record.offset);
    let key = record
        .key
        .as_deref()
        .map_or("-".into(), printable_bytes)
        .into_owned();
    let letter = DeadLetter::read(&record.headers);
    let Some(letter) = letter else {
        let time = record.timestamp.map_or("-".into(), |time| time.to_string());
        let none = || "-".to_owned();
        return [
            place,
            time,
            key,
            none(),
            none(),
            none(),
            none(),
            "no dead letter of Longshore; see `longshore dlq show`".into(),
        ];
    };
    let mut error = printable(&letter.message).into_owned();
    if let Some((end, _)) = error.char_indices().nth(MAX_ERROR_CHARS) {
        error.truncate(end);
        error.push('…');
    }
    [
        place,
        format!("{:.3}", letter.last_failed_at),
        key,
        letter.kind.as_str().to_owned(),
        printable(&letter.handler).into_owned(),
        printable(&letter.group).into_owned(),
        letter.delivery_count.to_string(),
        format!("{}: {error}", printable(&letter.error_type)),
    ]
}

fn write_row(out: &mut impl Write, cells: [String; 8]) -> io::Result<()> {
    let padded = cells
        .iter()
        .zip(COLUMNS)
        .map(|(cell, (_, width))| format!("{cell:<width$}"));
    writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// What is no UTF-8 in a key appears as U+FFFD; `longshore tail --json` loses nothing.
fn as_json(record: &Record) -> serde_json::Value {
    let letter = DeadLetter::read(&record.headers);
    json!({
        "topic": record.partition.topic.as_ref(),
        "partition": record.partition.partition,
        "offset": record.offset.0,
        "key": record.key.as_deref().map(String::from_utf8_lossy),
        "failure": letter.as_ref().map(super::show::failure),
    })
}
