//! `longshore dlq list`: one line for every dead letter.

use std::io::{self, BufWriter, IsTerminal, Write};

use clap::Args;
use longshore_event::{AnyDeadLetter, Record};
use serde_json::json;

use super::TopicArguments;
use super::letters::{Letters, place};
use super::selection::{Selection, error_text, failed_at};
use super::settled::{Settled, State};
use super::stats::{in_group, shortened};
use crate::arguments::Global;
use crate::output::{Colour, Output, note};
use crate::record::{printable, printable_bytes};

/// Columns with the width that most of their cells keep to; lines are printed as they are read, whatever their number.
const COLUMNS: [(&str, usize); 10] = [
    ("PLACE", 9),
    ("FAILED", 24),
    ("STATE", 9),
    ("FINGERPRINT", 16),
    ("KEY", 16),
    ("KIND", 11),
    ("HANDLER", 16),
    ("GROUP", 16),
    ("ATTEMPTS", 8),
    ("ERROR", 0),
];

/// The columns that have a colour of their own.
const STATE: usize = 2;
const ERROR: usize = 9;

/// Characters of the error that are shown; `longshore dlq show` has all of it.
const MAX_ERROR_CHARS: usize = 120;

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    topic: TopicArguments,
    #[command(flatten)]
    selection: Selection,
    /// The consumer group in which it failed
    #[arg(long, env = "LONGSHORE_DLQ_GROUP", value_name = "GROUP", value_parser = crate::parse::name)]
    group: Option<String>,
    /// What became of it
    #[arg(long, env = "LONGSHORE_DLQ_STATE", value_name = "STATE")]
    state: Option<State>,
}

pub(super) async fn run(global: &Global, arguments: &ListArguments) -> anyhow::Result<()> {
    let topic = arguments.topic.dead_letters();
    let selection = &arguments.selection;
    selection.refuse_nonsense()?;
    let since = selection.since.map(|since| since.0);
    let mut letters = if io::stdout().is_terminal() {
        Letters::open_silently(global, &topic, since).await?
    } else {
        Letters::open(global, &topic, since).await?
    };
    let settled = Settled::of(global, &topic).await?;
    let output = global.output();
    let mut out = BufWriter::new(io::stdout());
    let mut count = 0;
    while let Some(record) = letters.next().await? {
        let letter = AnyDeadLetter::read(&record);
        let letter = letter.as_ref();
        let state = settled.state(place(&record), letter);
        let is_meant = selection.holds(&record, letter)
            && in_group(&arguments.group, letter)
            && arguments.state.is_none_or(|asked| asked == state);
        if !is_meant {
            continue;
        }
        if global.json {
            serde_json::to_writer(&mut out, &as_json(&record, letter, state))?;
            writeln!(out)?;
        } else {
            if count == 0 {
                let heading = COLUMNS.map(|(name, _)| name.to_owned());
                write_row(&mut out, output, heading, None)?;
            }
            write_row(&mut out, output, cells(&record, letter, state), Some(state))?;
        }
        count += 1;
    }
    out.flush()?;
    if count == 0 && !global.json {
        note(format_args!("There are no such dead letters in {topic}."));
    }
    Ok(())
}

fn cells(record: &Record, letter: Option<&AnyDeadLetter>, state: State) -> [String; 10] {
    let none = || "-".to_owned();
    let text = |text: Option<&str>| text.map_or_else(none, |text| printable(text).into_owned());
    let place = format!("{}/{}", record.partition.partition, record.offset);
    let time = failed_at(record, letter).map_or_else(none, |time| format!("{time:.3}"));
    let key = record.key.as_deref().map(printable_bytes);
    let key = key.map_or_else(none, |key| key.into_owned());
    let Some(letter) = letter else {
        let error = "no dead letter of a known system; see `longshore dlq show`".to_owned();
        let state = state.as_str().to_owned();
        return [
            place,
            time,
            state,
            none(),
            key,
            none(),
            none(),
            none(),
            none(),
            error,
        ];
    };
    let kind = letter.kind.map(|kind| kind.as_str());
    let attempts = letter.delivery_count.map(|count| count.to_string());
    [
        place,
        time,
        state.as_str().to_owned(),
        letter.fingerprint.clone(),
        key,
        text(Some(kind.unwrap_or(letter.dialect.as_str()))),
        text(letter.handler.as_deref()),
        text(letter.group.as_deref()),
        attempts.unwrap_or_else(none),
        shortened(&error_text(letter), MAX_ERROR_CHARS),
    ]
}

/// A row with a state is in colour, if there is any.
fn write_row(
    out: &mut impl Write,
    output: Output,
    cells: [String; 10],
    state: Option<State>,
) -> io::Result<()> {
    let cells = cells.iter().zip(COLUMNS).enumerate();
    let padded = cells.map(|(column, (cell, (_, width)))| {
        let cell = format!("{cell:<width$}");
        match (column, state) {
            (STATE, Some(State::Open)) => output.paint(Colour::Yellow, cell),
            (STATE, Some(_)) => output.paint(Colour::Green, cell),
            (ERROR, Some(_)) => output.paint(Colour::Red, cell),
            _ => cell,
        }
    });
    writeln!(out, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())
}

/// What is no UTF-8 in a key appears as U+FFFD; `longshore tail --json` loses nothing.
fn as_json(record: &Record, letter: Option<&AnyDeadLetter>, state: State) -> serde_json::Value {
    json!({
        "topic": record.partition.topic.as_ref(),
        "partition": record.partition.partition,
        "offset": record.offset.0,
        "key": record.key.as_deref().map(String::from_utf8_lossy),
        "state": state.as_str(),
        "failure": letter.map(super::show::failure),
    })
}
