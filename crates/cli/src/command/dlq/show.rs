//! `longshore dlq show`: everything about one dead letter.

use std::io::{self, Write};

use anyhow::bail;
use longshore_event::{DeadLetter, Record};
use longshore_kafka::{Admin, From, Reader, ReaderEvent};
use serde_json::{Value, json};

use super::Place;
use crate::arguments::Global;
use crate::output::{Colour, Output};
use crate::record::{printable, printable_bytes, write_json};

pub(super) async fn run(global: &Global, topic: &str, place: Place) -> anyhow::Result<()> {
    let record = find(global, topic, place).await?;
    let mut out = io::stdout().lock();
    if global.json {
        write_json(&mut out, &record)?;
    } else {
        write(&mut out, global.output(), &record)?;
    }
    Ok(())
}

/// The failure as a program reads it.
pub(super) fn failure(letter: &DeadLetter) -> Value {
    json!({
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "group": letter.group,
        "handler": letter.handler,
        "kind": letter.kind.as_str(),
        "errorType": letter.error_type,
        "message": letter.message,
        "attempts": letter.delivery_count,
        "firstFailedAt": letter.first_failed_at,
        "lastFailedAt": letter.last_failed_at,
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

fn write(out: &mut impl Write, output: Output, record: &Record) -> io::Result<()> {
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
    if let Some(letter) = DeadLetter::read(&record.headers) {
        writeln!(out, "\n{}", title("Failure"))?;
        write_failure(out, output, &letter)?;
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

fn write_failure(out: &mut impl Write, output: Output, letter: &DeadLetter) -> io::Result<()> {
    let place = format!("{}/{}/{}", letter.topic, letter.partition, letter.offset);
    let error = format!("{}: {}", letter.error_type, letter.message);
    let attempts = letter.delivery_count.to_string();
    let redriven = letter.redrive_count.to_string();
    let (first, last) = (
        letter.first_failed_at.to_string(),
        letter.last_failed_at.to_string(),
    );
    for (name, value) in [
        ("kind", letter.kind.as_str()),
        ("handler", &letter.handler),
        ("group", &letter.group),
        ("came from", &place),
        ("attempts", &attempts),
        ("first", &first),
        ("last", &last),
        ("redriven", &redriven),
    ] {
        writeln!(out, "  {name:<11} {}", printable(value))?;
    }
    writeln!(
        out,
        "  {:<11} {}",
        "error",
        output.paint(Colour::Red, printable(&error))
    )
}
