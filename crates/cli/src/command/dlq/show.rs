//! `longshore dlq show`: everything about one dead letter.

use std::io::{self, Write};

use anyhow::bail;
use longshore_event::{AnyDeadLetter, ErrorKind, Record};
use longshore_kafka::{Admin, From, Reader, ReaderEvent};
use serde_json::{Value, json};

use super::Place;
use super::selection::error_text;
use super::settled::{Settled, State};
use crate::arguments::Global;
use crate::output::{Colour, Output};
use crate::record::{printable, printable_bytes, write_json_with};

pub(super) async fn run(global: &Global, topic: &str, place: Place) -> anyhow::Result<()> {
    let record = find(global, topic, place).await?;
    let settled = Settled::of(global, topic).await?;
    let letter = AnyDeadLetter::read(&record);
    let state = settled.state(place, letter.as_ref());
    let mut out = io::stdout().lock();
    if global.json {
        let of_letter = [
            ("state", json!(state.as_str())),
            ("failure", json!(letter.as_ref().map(failure))),
        ];
        write_json_with(&mut out, &record, &of_letter)?;
    } else {
        write(&mut out, global.output(), &record, letter.as_ref(), state)?;
    }
    Ok(())
}

/// The failure as a program reads it. What the dialect does not tell is null.
pub(super) fn failure(letter: &AnyDeadLetter) -> Value {
    json!({
        "dialect": letter.dialect.as_str(),
        "fingerprint": letter.fingerprint,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "group": letter.group,
        "handler": letter.handler,
        "kind": letter.kind.map(ErrorKind::as_str),
        "errorType": letter.error_type,
        "message": letter.message,
        "attempts": letter.delivery_count,
        "firstFailedAt": letter.first_failed_at,
        "lastFailedAt": letter.failed_at,
        "redriveCount": letter.redrive_count,
    })
}

async fn find(global: &Global, topic: &str, place: Place) -> anyhow::Result<Record> {
    let Place { partition, offset } = place;
    let connection = global.connection();
    let bounds = Admin::connect(&connection)?.offsets(topic).await?;
    let found = bounds
        .iter()
        .find(|bounds| bounds.partition.partition == partition);
    let Some(bounds) = found else {
        bail!("{topic} has no partition {partition}; see `longshore dlq list {topic}`");
    };
    let (begin, end) = (bounds.begin, bounds.end);
    if offset.0 < begin.0 || offset.0 >= end.0 {
        bail!(
            "there is no record at {topic}/{partition}/{offset}: the partition holds {begin} up to below {end}; see `longshore dlq list {topic}`"
        );
    }
    let from = From::Last(u64::try_from(end.0 - offset.0)?);
    let mut reader = Reader::open(&connection, &[topic], from).await?;
    while let ReaderEvent::Record(record) = reader.next().await? {
        if record.partition.partition == partition && record.offset >= offset {
            if record.offset == offset {
                return Ok(record);
            }
            break;
        }
    }
    bail!(
        "there is no record at {topic}/{partition}/{offset} any more: it was compacted away or is no data; see `longshore dlq list {topic}`"
    )
}

fn write(
    out: &mut impl Write,
    output: Output,
    record: &Record,
    letter: Option<&AnyDeadLetter>,
    state: State,
) -> io::Result<()> {
    let title = |text: &str| output.paint(Colour::Cyan, text);
    writeln!(out, "{}", title(&record.position().to_string()))?;
    if let Some(time) = record.timestamp {
        writeln!(out, "  written     {time}")?;
    }
    let key = record
        .key
        .as_deref()
        .map_or("(no key)".into(), printable_bytes);
    writeln!(out, "  key         {key}")?;
    writeln!(out, "  state       {}", state.as_str())?;
    if let Some(letter) = letter {
        writeln!(out, "\n{}", title("Failure"))?;
        write_failure(out, output, letter)?;
    }
    writeln!(out, "\n{}", title("Headers"))?;
    for (name, value) in record.headers.iter() {
        let value = value.map_or("(null)".into(), printable_bytes);
        writeln!(out, "  {} = {value}", printable(name))?;
    }
    writeln!(out, "\n{}", title("Value"))?;
    match record.value.as_deref() {
        None => writeln!(out, "(tombstone)"),
        Some([]) => writeln!(out, "(empty)"),
        Some(value) => match serde_json::from_slice::<Value>(value) {
            Ok(json) => {
                serde_json::to_writer_pretty(&mut *out, &json)?;
                writeln!(out)
            }
            Err(_) => writeln!(out, "{}", printable_bytes(value)),
        },
    }
}

fn write_failure(out: &mut impl Write, output: Output, letter: &AnyDeadLetter) -> io::Result<()> {
    let place = match letter.origin() {
        Some(origin) => origin.to_string(),
        None => letter.topic.clone(),
    };
    let attempts = letter.delivery_count.map(|count| count.to_string());
    let redriven = letter.redrive_count.to_string();
    let first = letter.first_failed_at.map(|at| at.to_string());
    let last = letter.failed_at.map(|at| at.to_string());
    for (name, value) in [
        ("written by", Some(letter.dialect.as_str())),
        ("kind", letter.kind.map(ErrorKind::as_str)),
        ("handler", letter.handler.as_deref()),
        ("group", letter.group.as_deref()),
        ("came from", Some(&*place)),
        ("attempts", attempts.as_deref()),
        ("first", first.as_deref()),
        ("last", last.as_deref()),
        ("redriven", Some(&redriven)),
        ("fingerprint", Some(&letter.fingerprint)),
    ] {
        if let Some(value) = value {
            writeln!(out, "  {name:<11} {}", printable(value))?;
        }
    }
    let error = error_text(letter);
    writeln!(
        out,
        "  {:<11} {}",
        "error",
        output.paint(Colour::Red, printable(&error))
    )
}
