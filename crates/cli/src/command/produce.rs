//! `longshore produce`: checks every line of a file, then publishes it and waits for the acks.

mod attributes;
mod check;
mod input;
mod send;

use std::num::NonZeroU64;
use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use longshore_kafka::Admin;

use crate::arguments::{Global, TopicsDir, key_value};
use crate::output::note;
use crate::parse::{name, whole_number};
use attributes::Attributes;
use check::Rules;
use input::Input;

#[derive(Debug, Args)]
#[command(after_help = "\
The input is read twice: every line is checked against the topic's JSON Schema before the first one is sent, and \
every bad line is told with its number. What cannot be read twice (standard input, a pipe) is kept in a temporary \
file meanwhile, so it must end. Blank lines are skipped. A value is sent as the bytes of its line.

Every record gets CloudEvents headers (ce_id, ce_source longshore-cli, ce_type, ce_time, ce_subject), correlation-id \
and timestamp; a --header of the same name replaces one. Without --id-field, sending a file again publishes new \
events; with it, the same events, which workers that have handled them skip.

Examples:
  longshore produce order.created --file orders.jsonl
  longshore produce order.created --file orders.jsonl --id-field orderId --rate 500
  generate | longshore produce order.created --file - --header correlation-id=test")]
pub(crate) struct ProduceArguments {
    /// The topic to publish to
    #[arg(value_parser = name)]
    topic: String,
    /// A file of JSON lines; `-` is standard input
    #[arg(long, short, env = "LONGSHORE_FILE", value_name = "PATH")]
    file: PathBuf,
    #[command(flatten)]
    directory: TopicsDir,
    /// The field that is the record's key, instead of the one that the topic's file names
    #[arg(long, env = "LONGSHORE_KEY_FIELD", value_name = "FIELD")]
    key_field: Option<String>,
    /// Derive ce_id from this field: the same topic and value always give the same id
    #[arg(long, env = "LONGSHORE_ID_FIELD", value_name = "FIELD")]
    id_field: Option<String>,
    /// A header of every record; may be repeated. In the environment: one a line
    #[arg(long = "header", short = 'H', env = "LONGSHORE_HEADER", value_name = "KEY=VALUE", value_parser = key_value, value_delimiter = '\n')]
    headers: Vec<(String, String)>,
    /// Records a second, such as 500 or 500/s; as fast as they are acked if not given
    #[arg(long, env = "LONGSHORE_RATE", value_name = "N", value_parser = rate, allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Send only the first records
    #[arg(long, env = "LONGSHORE_COUNT", value_name = "N", value_parser = whole_number, allow_negative_numbers = true)]
    count: Option<NonZeroU64>,
}

pub(crate) async fn run(global: &Global, arguments: ProduceArguments) -> anyhow::Result<()> {
    let rules = Rules::of(&arguments)?;
    let limit = arguments.count.map_or(u64::MAX, NonZeroU64::get);
    let input = Input::open(&arguments.file, limit)?;
    let checked = check::all(&input, &rules)?;
    if checked.bad > 0 {
        bail!(
            "nothing was sent: {} of {} lines are not what {} takes; mend them and try again",
            checked.bad,
            checked.bad + checked.good,
            arguments.topic
        );
    }
    let connection = global.connection();
    let topic = Admin::connect(&connection)?.topic(&arguments.topic).await?;
    let attributes = Attributes::new(&topic.name, arguments.headers);
    let job = send::Job {
        input,
        rules,
        attributes,
        total: checked.good,
        rate: arguments.rate,
    };
    let summary = send::all(global, &connection, job).await?;
    summary.print(global.output())?;
    if summary.acked < checked.good {
        bail!(
            "{} of {} records were not confirmed to be in {}",
            checked.good - summary.acked,
            checked.good,
            summary.topic
        );
    }
    Ok(())
}

pub(super) fn rate(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("/s").unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("write how many records a second, more than 0, such as 500 or 0.5".into()),
    }
}

/// Says that lines go unchecked, so that nobody takes silence for approval.
fn note_unchecked(topic: &str, dir: &std::path::Path, has_key: bool) {
    let dir = dir.display();
    let key = if has_key {
        ""
    } else {
        ", and without a key (--key-field names one)"
    };
    note(format_args!(
        "No file in {dir} describes {topic} with a schema: the lines are sent unchecked, save that they are JSON{key}."
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number_of_records_a_second() {
        assert_eq!(rate("500"), Ok(500.0));
        assert_eq!(rate("500/s"), Ok(500.0));
        assert_eq!(rate("0.5"), Ok(0.5));
        for text in ["0", "-1", "fast", "", "inf", "NaN"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
