//! How a run ended: its last word in the audit and to the user, and how to go on with it.

use std::borrow::Cow;
use std::fmt::Display;

use anyhow::{anyhow, bail};
use jiff::Timestamp;
use longshore_kafka::KafkaError;
use serde_json::json;

use super::{LAST_ACKS, Sender};
use crate::command::dlq::audit::{self, Entry, Phase};
use crate::command::dlq::redrive::Job;
use crate::command::dlq::redrive::plan::{Plan, dead_letters};
use crate::command::dlq::redrive::writer::TRANSACTION;
use crate::output::{counted, note};

/// How the letters were passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Of each that is still there it is known what became of it.
    Through,
    Stopped,
    /// By another run for the group.
    Fenced,
}

impl Sender<'_> {
    /// Audits and reports the end, which is an error unless everything is done.
    pub(super) async fn end(
        mut self,
        plan: &Plan,
        outcome: anyhow::Result<End>,
    ) -> anyhow::Result<()> {
        if let Ok(End::Fenced) = outcome {
            // What was under way is decided by now, but nobody told this run which way.
            let counted = tokio::time::timeout(LAST_ACKS, self.count()).await;
            if !matches!(counted, Ok(Ok(()))) {
                note("What the run has sent could not be counted again; it may be more.");
            }
        }
        let is_done = matches!(outcome, Ok(End::Through))
            && self.letters.is_empty()
            && self.entry.failed == 0;
        let phase = if is_done {
            Phase::Ended
        } else {
            Phase::Stopped
        };
        let is_fenced = matches!(outcome, Ok(End::Fenced));
        let audited = tokio::time::timeout(LAST_ACKS, async {
            // If it was resumed elsewhere, the last word is with whoever did.
            if is_fenced && self.is_resumed_elsewhere().await? {
                return Ok(());
            }
            self.audit(phase).await
        });
        let audited = audited.await;
        self.report(plan, outcome.as_ref().ok().copied(), is_done)?;
        if !is_done {
            self.note_untold();
        }
        let end = outcome.map_err(|error| anyhow!("{error:#}; go on with: {}", self.again()))?;
        match audited {
            Ok(audited) => audited?,
            Err(_) => bail!(
                "the end of run {} could not be audited in time",
                self.job.id
            ),
        }
        self.verdict(end)
    }

    async fn count(&mut self) -> Result<(), KafkaError> {
        let settled = self.writer.settled().await?;
        self.entry.acknowledged = settled.of_run(&self.job.id);
        Ok(())
    }

    async fn is_resumed_elsewhere(&self) -> Result<bool, KafkaError> {
        let last = audit::last(self.job.global, &self.job.id).await?;
        Ok(last.is_some_and(|last| last.at != self.entry.at))
    }

    fn report(&self, plan: &Plan, end: Option<End>, is_done: bool) -> anyhow::Result<()> {
        let (job, entry) = (self.job, &self.entry);
        let output = job.global.output();
        if output.json {
            return output.json(&json!({
                "action": job.verb(),
                "done": is_done,
                "stopped": end != Some(End::Through),
                "fenced": end == Some(End::Fenced),
                "run": job.id,
                "topic": job.topic,
                "group": job.group,
                "selected": entry.selected,
                "acknowledged": entry.acknowledged,
                "elsewhere": self.elsewhere,
                "failed": entry.failed,
            }));
        }
        output.line(format_args!(
            "{}: {} of {} {} for consumer group {} (run {})",
            job.topic,
            entry.acknowledged,
            dead_letters(entry.selected),
            match job.verb() {
                "discard" => "discarded",
                _ => "redriven",
            },
            job.group,
            job.id
        ))?;
        if self.elsewhere > 0 {
            note(format_args!(
                "{} redriven or discarded by another run meanwhile",
                counted(self.elsewhere, "was", "were")
            ));
        }
        plan.tell_details(job);
        if is_done {
            // Otherwise it is not known which of them were sent.
            plan.tell_edits();
        }
        Ok(())
    }

    /// The command that goes on with the run.
    fn again(&self) -> String {
        let job = self.job;
        let mut again = format!(
            "longshore dlq {} {} --exact --resume {}",
            job.verb(),
            quoted(&job.topic),
            job.id
        );
        let mut give = |flag: &str, value: &dyn Display| {
            again.push_str(&format!(" {flag} {}", quoted(&value.to_string())));
        };
        if job.edits.command.is_some() {
            give("--edit-with", &"COMMAND");
        }
        if let Some(rate) = job.rate {
            give("--rate", &rate);
        }
        if let Some(dir) = &job.topics_dir {
            give("--topics-dir", &dir.display());
        }
        if let Some(brokers) = &job.global.given_brokers {
            give("--brokers", brokers);
        }
        again + " --yes"
    }

    /// What the command that goes on with the run does not say.
    fn note_untold(&self) {
        let kafka = &self.job.global.kafka;
        if kafka.iter().any(|property| property.0.is_some()) {
            note(
                "The properties of --kafka may hold a password and are not repeated below: give them as before.",
            );
        }
    }

    fn verdict(&self, end: End) -> anyhow::Result<()> {
        let (job, entry) = (self.job, &self.entry);
        let again = self.again();
        match end {
            End::Through => {}
            End::Stopped => bail!("stopped; go on with: {again}"),
            End::Fenced => bail!(
                "fenced: another run for consumer group {} has begun, or a transaction of this one took over {} s; nothing is lost or sent twice; when the other run has ended, go on with: {again}",
                job.group,
                TRANSACTION.as_secs()
            ),
        }
        if entry.failed > 0 {
            bail!(
                "{} could not be sent; try again with: {again}",
                dead_letters(entry.failed)
            );
        }
        if !self.letters.is_empty() {
            bail!(
                "{} gone since the run was planned: the retention is over",
                counted(
                    self.letters.len() as u64,
                    "dead letter is",
                    "dead letters are"
                )
            );
        }
        Ok(())
    }
}

/// As a shell reads it back.
fn quoted(text: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:,@+".contains(letter);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.into(),
        false => format!("'{}'", text.replace('\'', "'\\''")).into(),
    }
}

impl Job<'_> {
    pub(super) fn entry(&self, plan: &Plan, before: u64) -> Entry {
        Entry {
            run: self.id.clone(),
            phase: Phase::Started,
            at: Timestamp::now(),
            by: self.by.clone(),
            action: self.action.into(),
            topic: self.topic.clone(),
            group: self.group.clone(),
            filter: self.selection.clone(),
            edits: self
                .edits
                .edits
                .iter()
                .map(|edit| edit.text().to_owned())
                .collect(),
            edit_with: self.edits.command.clone(),
            limit: self.limit,
            max_redrives: self.max_redrives,
            until: self.until.clone(),
            selected: plan.letters.len() as u64 + before,
            acknowledged: before,
            failed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_back_what_is_quoted() {
        for (text, expected) in [
            ("order.created.dlq", "order.created.dlq"),
            ("k-1:9092,k-2:9092", "k-1:9092,k-2:9092"),
            ("my topics", "'my topics'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }
}
