//! `longshore dlq stats`: dead letters by what went wrong.

use std::collections::{BTreeSet, HashMap};

use clap::Args;
use jiff::Timestamp;
use longshore_event::{AnyDeadLetter, Record};
use serde_json::json;

use super::TopicArguments;
use super::letters::{Letters, place};
use super::selection::{Selection, error_text, failed_at};
use super::settled::{Settled, State};
use crate::arguments::Global;
use crate::output::{Colour, Output, counted, note};
use crate::record::printable;
use crate::table::Table;

/// Fingerprints that are told apart; letters with one more are counted together.
const MAX_FINGERPRINTS: usize = 10_000;
/// Characters of the sample error that are shown; with --json, all of it.
const MAX_ERROR_CHARS: usize = 100;

#[derive(Debug, Args)]
pub(crate) struct StatsArguments {
    #[command(flatten)]
    topic: TopicArguments,
    #[command(flatten)]
    selection: Selection,
    /// The consumer group in which it failed
    #[arg(long, env = "LONGSHORE_DLQ_GROUP", value_name = "GROUP", value_parser = crate::parse::name)]
    group: Option<String>,
}

/// Failures that have the same cause.
#[derive(Debug, Default)]
struct Cause {
    count: u64,
    open: u64,
    redriven: u64,
    discarded: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    groups: BTreeSet<String>,
    sample: String,
}

#[derive(Debug, Default)]
struct Causes {
    all: HashMap<String, Cause>,
    /// Letters whose fingerprint is one too many.
    others: Cause,
    /// Records that are no dead letters of a dialect that is understood.
    unknown: u64,
}

pub(super) async fn run(global: &Global, arguments: &StatsArguments) -> anyhow::Result<()> {
    let topic = arguments.topic.dead_letters();
    let selection = &arguments.selection;
    selection.refuse_nonsense()?;
    let since = selection.since.map(|since| since.0);
    let mut letters = Letters::open(global, &topic, since).await?;
    let settled = Settled::of(global, &topic).await?;
    let mut causes = Causes::default();
    while let Some(record) = letters.next().await? {
        let letter = AnyDeadLetter::read(&record);
        if selection.holds(&record, letter.as_ref()) && in_group(&arguments.group, letter.as_ref())
        {
            let state = settled.state(place(&record), letter.as_ref());
            causes.add(&record, letter, state);
        }
    }
    causes.print(global.output(), &topic)
}

/// Whether it failed in that group, if one is asked for.
pub(super) fn in_group(asked: &Option<String>, letter: Option<&AnyDeadLetter>) -> bool {
    asked
        .as_ref()
        .is_none_or(|asked| letter.and_then(|letter| letter.group.as_ref()) == Some(asked))
}

impl Causes {
    fn add(&mut self, record: &Record, letter: Option<AnyDeadLetter>, state: State) {
        let Some(letter) = letter else {
            self.unknown += 1;
            return;
        };
        let full = self.all.len() >= MAX_FINGERPRINTS;
        let cause = match self.all.get_mut(&letter.fingerprint) {
            Some(cause) => cause,
            None if full => &mut self.others,
            None => self.all.entry(letter.fingerprint.clone()).or_default(),
        };
        cause.add(failed_at(record, Some(&letter)), letter, state);
    }

    fn print(self, output: Output, topic: &str) -> anyhow::Result<()> {
        let mut causes: Vec<_> = self.all.into_iter().collect();
        causes.sort_by(|(a, x), (b, y)| y.count.cmp(&x.count).then_with(|| a.cmp(b)));
        if self.others.count > 0 {
            causes.push(("(others)".to_owned(), self.others));
        }
        let total: u64 = causes.iter().map(|(_, cause)| cause.count).sum();
        let open: u64 = causes.iter().map(|(_, cause)| cause.open).sum();
        if output.json {
            let all: Vec<_> = causes
                .iter()
                .map(|(fingerprint, cause)| cause.as_json(fingerprint))
                .collect();
            return output.json(&json!({
                "topic": topic,
                "letters": total,
                "open": open,
                "unknown": self.unknown,
                "causes": all,
            }));
        }
        if total > 0 {
            table(output, &causes)?;
            let open = output.paint(Colour::Red, format_args!("{open} open"));
            output.line(format_args!(
                "\n{topic}: {}, {open}, {}",
                counted(total, "dead letter", "dead letters"),
                counted(causes.len() as u64, "cause", "causes")
            ))?;
        } else {
            note(format_args!("There are no such dead letters in {topic}."));
        }
        if self.unknown > 0 {
            note(format_args!(
                "{} of a dialect that is understood.",
                counted(
                    self.unknown,
                    "record is no dead letter",
                    "records are no dead letters"
                )
            ));
        }
        Ok(())
    }
}

impl Cause {
    fn add(&mut self, at: Option<Timestamp>, letter: AnyDeadLetter, state: State) {
        self.count += 1;
        match state {
            State::Open => self.open += 1,
            State::Redriven => self.redriven += 1,
            State::Discarded => self.discarded += 1,
        }
        self.first = self.first.into_iter().chain(at).min();
        self.last = self.last.into_iter().chain(at).max();
        if self.sample.is_empty() {
            self.sample = error_text(&letter);
        }
        self.groups.extend(letter.group);
    }

    fn as_json(&self, fingerprint: &str) -> serde_json::Value {
        json!({
            "fingerprint": fingerprint,
            "count": self.count,
            "open": self.open,
            "redriven": self.redriven,
            "discarded": self.discarded,
            "first": self.first,
            "last": self.last,
            "groups": self.groups,
            "sample": self.sample,
        })
    }
}

fn table(output: Output, causes: &[(String, Cause)]) -> anyhow::Result<()> {
    let mut table = Table::new(&[
        "FINGERPRINT",
        "COUNT",
        "OPEN",
        "REDRIVEN",
        "DISCARDED",
        "FIRST",
        "LAST",
        "GROUPS",
        "ERROR",
    ]);
    let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!("{at:.0}"));
    for (fingerprint, cause) in causes {
        let groups: Vec<&str> = cause.groups.iter().map(String::as_str).collect();
        table.row(&[
            fingerprint,
            &cause.count.to_string(),
            &cause.open.to_string(),
            &cause.redriven.to_string(),
            &cause.discarded.to_string(),
            &time(cause.first),
            &time(cause.last),
            &groups.join(" "),
            &shortened(&cause.sample, MAX_ERROR_CHARS),
        ]);
    }
    table.lines().try_for_each(|line| output.line(line))?;
    Ok(())
}

/// Printable, and of so many characters at most, and one for what is left out in the middle: messages with the same
/// beginning often differ at their end.
pub(super) fn shortened(text: &str, chars: usize) -> String {
    let text = printable(text);
    let all = text.chars().count();
    if all <= chars {
        return text.into_owned();
    }
    let tail = chars / 3;
    let head = text.chars().take(chars - tail);
    let tail = text.chars().skip(all - tail);
    head.chain(['…']).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shortened_keeps_its_beginning_and_its_end() {
        assert_eq!(shortened("refused", 7), "refused");
        assert_eq!(shortened("payment ü 17 refused", 9), "paymen…sed");
        assert_eq!(shortened("a\nb", 9), "a\\nb");
    }
}
