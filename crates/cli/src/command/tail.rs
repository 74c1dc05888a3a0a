//! `longshore tail`: shows the records of topics, from where the user says, as they come.

use std::future;
use std::io::{self, BufWriter, Write};
use std::pin::pin;
use std::str::FromStr;

use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use longshore::stop_signal;
use longshore_event::Record;
use longshore_kafka::{From, Reader, ReaderEvent};

use crate::arguments::Global;
use crate::moment::{Moment, WRITTEN};
use crate::output::{Output, warn_on_standard_error};
use crate::record::{FILTER_GRAMMAR, Filter, write_json, write_text};

#[derive(Debug, Args)]
#[command(after_help = examples())]
pub(crate) struct TailArguments {
    /// The topics to show
    #[arg(required = true, value_parser = crate::parse::name)]
    topics: Vec<String>,
    /// Where to begin: `beginning`, `end`, `-N` (the last N records of each partition), a time
    /// (2026-11-23T08:00:00Z, 2026-11-23; UTC if it has no offset), or how long ago (15m, 2h, 7d)
    #[arg(
        long,
        env = "LONGSHORE_FROM",
        default_value = "end",
        value_name = "WHERE",
        allow_hyphen_values = true
    )]
    from: Start,
    /// Leave at the end, as it was when this began
    #[arg(long, env = "LONGSHORE_EXIT", value_parser = FalseyValueParser::new())]
    exit: bool,
    /// Show only records for which this holds; may be repeated. In the environment: one a line
    #[arg(
        long = "filter",
        env = "LONGSHORE_FILTER",
        value_name = "EXPR",
        value_delimiter = '\n'
    )]
    filters: Vec<Filter>,
}

fn examples() -> String {
    format!(
        "\
{FILTER_GRAMMAR}

With --json, one object a line: topic, partition, offset, timestamp, key, headers (a list of name and value), and one \
of value (JSON as it is), valueText (other text), valueBase64 (bytes that are no UTF-8), tombstone (true: no value). \
Keys and header values that are no UTF-8 are in keyBase64 and valueBase64.

Examples:
  longshore tail order.created
  longshore tail order.created order.paid --from beginning --exit
  longshore tail order.paid --from 15m --filter orderId=o-1 --json
  longshore tail order.created --from -10 --exit --filter header.ce_source=shop"
    )
}

pub(crate) async fn run(global: &Global, arguments: TailArguments) -> anyhow::Result<()> {
    // Outages are waited for, and told by the log.
    warn_on_standard_error();
    let mut stop = pin!(stop_signal()?);
    let topics: Vec<&str> = arguments.topics.iter().map(String::as_str).collect();
    let connection = global.connection();
    let mut reader = tokio::select! {
        opened = Reader::open(&connection, &topics, arguments.from.0) => opened?,
        () = &mut stop => return Ok(()),
    };
    let mut printer = Printer {
        out: BufWriter::new(io::stdout()),
        output: global.output(),
        filters: arguments.filters,
        unflushed: false,
    };
    loop {
        let event = tokio::select! {
            biased;
            () = &mut stop => break,
            event = reader.next() => event?,
            // Nothing is there at once: show what there was before waiting.
            () = future::ready(()), if printer.unflushed => {
                printer.flush()?;
                continue;
            }
        };
        match event {
            ReaderEvent::Record(record) => printer.record(&record)?,
            ReaderEvent::CaughtUp if arguments.exit => break,
            ReaderEvent::CaughtUp => {}
        }
    }
    printer.flush()?;
    Ok(())
}

struct Printer {
    out: BufWriter<io::Stdout>,
    output: Output,
    filters: Vec<Filter>,
    unflushed: bool,
}

impl Printer {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        if !Filter::all(&self.filters, record) {
            return Ok(());
        }
        self.unflushed = true;
        if self.output.json {
            write_json(&mut self.out, record)
        } else {
            write_text(&mut self.out, self.output, record)
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unflushed = false;
        self.out.flush()
    }
}

/// Where to begin to read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Start(pub(super) From);

impl FromStr for Start {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let now = Timestamp::now();
        parse(text, now)
            .map(Self)
            .ok_or_else(|| format!("write beginning, end, -N, {WRITTEN}"))
    }
}

fn parse(text: &str, now: Timestamp) -> Option<From> {
    match text {
        "beginning" => return Some(From::Beginning),
        "end" => return Some(From::End),
        _ => {}
    }
    if let Some(count) = text.strip_prefix('-') {
        return count.parse().ok().map(From::Last);
    }
    let moment = Moment::parse(text, now)?;
    Some(From::Time(moment.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_a_place_a_count_or_a_time() {
        let time = |text: &str| From::Time(text.parse().expect("a time"));
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().expect("a time");
        for (text, from) in [
            ("beginning", From::Beginning),
            ("end", From::End),
            ("-10", From::Last(10)),
            ("2026-11-23T07:00:00Z", time("2026-11-23T07:00:00Z")),
            ("2026-11-23T07:00:00+02:00", time("2026-11-23T05:00:00Z")),
            ("2026-11-23", time("2026-11-23T00:00:00Z")),
            ("2026-11-23T07:30", time("2026-11-23T07:30:00Z")),
            ("15m", time("2026-11-23T07:45:00Z")),
            ("1h30m", time("2026-11-23T06:30:00Z")),
        ] {
            assert_eq!(parse(text, now), Some(from), "{text}");
        }
        for text in ["", "-", "--1", "soon", "10", "-x", "0s"] {
            assert_eq!(parse(text, now), None, "{text}");
        }
    }
}
