//! The first pass: which letters go, which do not and why, and whether the edits work. Nothing is sent here.

use std::collections::{BTreeSet, HashMap};

use anyhow::bail;
use bytes::Bytes;
use longshore_event::{AnyDeadLetter, MAX_ORIGINAL_VALUE_BYTES, Record};
use serde_json::{Value, json};

use super::Job;
use super::example::Example;
use super::letter::{Verdict, edited, judge};
use crate::command::dlq::Place;
use crate::command::dlq::letters::{Letters, place};
use crate::command::dlq::selection::error_text;
use crate::command::dlq::settled::Settled;
use crate::command::dlq::stats::shortened;
use crate::output::{counted, note};
use crate::table::Table;

/// Letters that cannot be edited and are told one by one.
const MAX_FAULTS_TOLD: usize = 20;
/// Causes that are told apart in the output; those of the most letters come first.
const MAX_CAUSES_TOLD: usize = 20;
/// Causes that are told apart at all.
const MAX_CAUSES: usize = 10_000;
/// Characters of the sample error.
const MAX_ERROR_CHARS: usize = 100;

/// What a run is about to do. Holds 12 bytes a letter.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) letters: BTreeSet<Place>,
    causes: HashMap<String, (u64, String)>,
    skipped: Skipped,
    faults: Vec<String>,
    faulty: u64,
    edited: u64,
    example: Option<Example>,
    /// Old values that are too large for a header.
    large: u64,
    /// Whether there are more letters than the limit allows.
    is_limited: bool,
}

/// Letters that are meant but do not go.
#[derive(Debug, Default)]
struct Skipped {
    settled: u64,
    exhausted: u64,
    unknown: u64,
}

impl Plan {
    pub(super) async fn make(job: &Job<'_>, settled: &Settled) -> anyhow::Result<Self> {
        let mut plan = Self::default();
        let limit = job
            .limit
            .map(|limit| limit.saturating_sub(settled.of_run(&job.id)));
        let since = job.selection.since.map(|since| since.0);
        let mut letters = Letters::open(job.global, &job.topic, since).await?;
        while let Some(record) = letters.next().await? {
            let letter = AnyDeadLetter::read(&record);
            match judge(job, settled, &record, letter.as_ref()) {
                Verdict::NotMeant => {}
                Verdict::Settled => plan.skipped.settled += 1,
                Verdict::Exhausted => plan.skipped.exhausted += 1,
                Verdict::Unknown => plan.skipped.unknown += 1,
                Verdict::Goes if limit.is_some_and(|limit| plan.letters.len() as u64 >= limit) => {
                    plan.is_limited = true;
                }
                Verdict::Goes => {
                    plan.add(job, &record, letter.as_ref()).await;
                }
            }
        }
        Ok(plan)
    }

    async fn add(&mut self, job: &Job<'_>, record: &Record, letter: Option<&AnyDeadLetter>) {
        let Some(letter) = letter else { return };
        match edited(job, record, letter).await {
            Ok(None) => {}
            Ok(Some(edited)) => {
                self.edited += 1;
                self.example
                    .get_or_insert_with(|| Example::new(record, &edited));
                let old = record.value.as_ref().map_or(0, Bytes::len);
                self.large += u64::from(old > MAX_ORIGINAL_VALUE_BYTES);
            }
            Err(fault) => {
                self.faulty += 1;
                if self.faults.len() < MAX_FAULTS_TOLD {
                    self.faults.push(format!("{}: {fault}", record.position()));
                }
            }
        }
        self.letters.insert(place(record));
        let full = self.causes.len() >= MAX_CAUSES;
        match self.causes.get_mut(&letter.fingerprint) {
            Some((count, _)) => *count += 1,
            None if full => {}
            None => {
                let sample = (1, error_text(letter));
                self.causes.insert(letter.fingerprint.clone(), sample);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// An edit that does not work for one letter is most likely wrong for all.
    pub(super) fn refuse_faults(&self) -> anyhow::Result<()> {
        if self.faulty == 0 {
            return Ok(());
        }
        self.faults.iter().for_each(note);
        bail!(
            "nothing was sent: {} of {} cannot be edited so",
            self.faulty,
            dead_letters(self.letters.len() as u64)
        )
    }

    /// Tells what would be done, or why there is nothing to do.
    pub(super) fn print(
        &self,
        job: &Job<'_>,
        yes: bool,
        refusal: Option<&str>,
    ) -> anyhow::Result<()> {
        let output = job.global.output();
        if output.json {
            let group = Some(&*job.group);
            return output.json(&self.as_json(job.verb(), yes, &job.topic, group, refusal));
        }
        let causes = self.causes();
        if !self.is_empty() {
            let mut table = Table::new(&["FINGERPRINT", "COUNT", "ERROR"]);
            for (fingerprint, (count, sample)) in causes.iter().take(MAX_CAUSES_TOLD) {
                let sample = shortened(sample, MAX_ERROR_CHARS);
                table.row(&[fingerprint, &count.to_string(), &sample]);
            }
            table.lines().try_for_each(|line| output.line(line))?;
            if causes.len() > MAX_CAUSES_TOLD {
                let untold = (causes.len() - MAX_CAUSES_TOLD) as u64;
                let untold = counted(untold, "more cause", "more causes");
                output.line(format_args!("and {untold}"))?;
            }
            output.line("")?;
        }
        output.line(format_args!(
            "{}: {} to {} for consumer group {}",
            job.topic,
            dead_letters(self.letters.len() as u64),
            job.verb(),
            job.group
        ))?;
        self.tell_details(job);
        self.tell_edits();
        if let Some(example) = &self.example {
            example.tell();
        }
        match refusal {
            _ if self.is_empty() => note("There is nothing to do."),
            Some(refusal) => note(format_args!(
                "Nothing was sent, and --yes would be refused: {refusal}."
            )),
            None => note("Nothing was sent; --yes does it."),
        }
        Ok(())
    }

    /// The same for programs. The group is not known where no letters say it.
    pub(super) fn as_json(
        &self,
        action: &str,
        yes: bool,
        topic: &str,
        group: Option<&str>,
        refusal: Option<&str>,
    ) -> Value {
        let causes = self.causes().into_iter();
        let causes = causes.map(|(fingerprint, (count, sample))| {
            json!({"fingerprint": fingerprint, "count": count, "sample": sample})
        });
        json!({
            "action": action,
            "done": yes,
            "topic": topic,
            "group": group,
            "selected": self.letters.len(),
            "edited": self.edited,
            "example": self.example.as_ref().map(Example::as_json),
            "skipped": {
                "settled": self.skipped.settled,
                "exhausted": self.skipped.exhausted,
                "unknown": self.skipped.unknown,
            },
            "causes": causes.collect::<Vec<_>>(),
            "refusal": refusal,
        })
    }

    /// Those of the most letters first.
    fn causes(&self) -> Vec<(&String, &(u64, String))> {
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by(|(a, (x, _)), (b, (y, _))| y.cmp(x).then_with(|| a.cmp(b)));
        causes
    }

    /// What is left out.
    pub(super) fn tell_details(&self, job: &Job<'_>) {
        tell(
            self.skipped.settled,
            "skipped: redriven or discarded already",
        );
        let most = job.max_redrives;
        tell(
            self.skipped.exhausted,
            &format!("refused: redriven {most} times or more and dead again (--max-redrives)"),
        );
        tell(
            self.skipped.unknown,
            "skipped: no dead letters of a known system, or they do not say where they come from",
        );
        if self.is_limited {
            note("More are left for another time (--limit).");
        }
    }

    /// How many of all letters of the plan are edited.
    pub(super) fn tell_edits(&self) {
        tell(self.edited, "edited");
        tell(
            self.large,
            "edited whose old value is too large for a header: it stays in the dead letter alone",
        );
    }
}

pub(super) fn dead_letters(count: u64) -> String {
    counted(count, "dead letter", "dead letters")
}

fn tell(count: u64, what: &str) {
    if count > 0 {
        note(format_args!("{count} {what}"));
    }
}
