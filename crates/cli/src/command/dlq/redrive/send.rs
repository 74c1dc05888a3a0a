//! The second pass: publishes what was planned, in the order of the dead-letter topic, and audits it.

use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use longshore::stop_signal;
use longshore_event::{AnyDeadLetter, OutgoingRecord};
use longshore_kafka::KafkaPublisher;
use longshore_worker::Publisher;
use serde_json::json;

use super::Job;
use super::letter::{edited, outgoing};
use super::plan::Plan;
use crate::command::dlq::audit::{Entry, Phase};
use crate::command::dlq::letters::{Letters, place};
use crate::output::note;

/// Records in one batch: what is at stake when the run is stopped.
const BATCH_RECORDS: usize = 500;
/// Bytes in one batch, so that large records do not fill the producer's queue.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Batches a second when a rate is asked for: smooth enough for whoever has to handle them.
const BATCHES_PER_SECOND: f64 = 10.0;
/// How often the audit is told of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long a stopped run waits for the acks of its last batch, and an audit of a stopped run for its own.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// When the user is told that no acks come.
const STALLED: Duration = Duration::from_secs(5);
/// Letters that could not be sent and are told one by one.
const MAX_FAILURES_TOLD: u64 = 20;

/// Sends every letter of `plan`. `before` were sent by the run until now.
pub(super) async fn all(job: &Job<'_>, plan: &Plan, before: u64) -> anyhow::Result<()> {
    let stop = pin!(stop_signal()?);
    let publisher = KafkaPublisher::connect(&job.global.connection())?;
    let mut sender = Sender {
        job,
        entry: job.entry(plan, before),
        progress: progress(job, plan),
        publisher,
        start: Instant::now(),
        audited: Instant::now(),
        sent: 0,
    };
    // Whoever looks into the redrive topic later finds every run in the audit: the entry comes first.
    sender.audit(Phase::Started).await?;
    let before = plan.letters.len();
    let outcome = sender.letters(plan, stop).await;
    sender.progress.finish_and_clear();
    let is_stopped = !matches!(outcome, Ok(false));
    let entry = &sender.entry;
    let is_done = !is_stopped && sender.sent == before as u64 && entry.failed == 0;
    let phase = if is_done {
        Phase::Ended
    } else {
        Phase::Stopped
    };
    let audited = tokio::time::timeout(LAST_ACKS, sender.audit(phase)).await;
    sender.report(plan, is_stopped, is_done)?;
    outcome?;
    match audited {
        Ok(audited) => audited?,
        Err(_) => bail!("the end of run {} could not be audited in time", job.id),
    }
    sender.verdict(plan, is_stopped)
}

struct Sender<'a> {
    job: &'a Job<'a>,
    entry: Entry,
    progress: ProgressBar,
    publisher: KafkaPublisher,
    start: Instant,
    audited: Instant,
    /// By this process, acknowledged or not.
    sent: u64,
}

type Stop<'a, F> = Pin<&'a mut F>;

impl Sender<'_> {
    /// Whether it was stopped before it had sent everything.
    async fn letters<F: Future<Output = ()>>(
        &mut self,
        plan: &Plan,
        mut stop: Stop<'_, F>,
    ) -> anyhow::Result<bool> {
        let most = self.job.rate.map_or(BATCH_RECORDS, |rate| {
            ((rate / BATCHES_PER_SECOND) as usize).clamp(1, BATCH_RECORDS)
        });
        let since = self.job.selection.since.map(|since| since.0);
        let mut letters = Letters::open_silently(self.job.global, &self.job.topic, since).await?;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let record = tokio::select! {
                biased;
                () = &mut stop => return Ok(true),
                record = letters.next() => record?,
            };
            let Some(record) = record else { break };
            if !plan.letters.contains(&place(&record)) {
                continue;
            }
            let Some(letter) = AnyDeadLetter::read(&record) else {
                continue;
            };
            // It worked a moment ago; a command may have changed its mind.
            let edited = match edited(self.job, &record, &letter).await {
                Ok(edited) => edited,
                Err(fault) => {
                    self.failed(format_args!("{}: {fault}", record.position()));
                    continue;
                }
            };
            if let Some(outgoing) = outgoing(self.job, &record, &letter, edited) {
                bytes += outgoing.size();
                batch.push(outgoing);
            }
            if batch.len() >= most || bytes >= BATCH_BYTES {
                bytes = 0;
                if self.batch(std::mem::take(&mut batch), &mut stop).await? {
                    return Ok(true);
                }
            }
        }
        if batch.is_empty() {
            return Ok(false);
        }
        self.batch(batch, &mut stop).await
    }

    /// Sends one batch when its time has come, and waits for its acks. Whether it was stopped meanwhile.
    async fn batch<F: Future<Output = ()>>(
        &mut self,
        batch: Vec<OutgoingRecord>,
        stop: &mut Stop<'_, F>,
    ) -> anyhow::Result<bool> {
        if let Some(rate) = self.job.rate {
            let due = Duration::try_from_secs_f64(self.sent as f64 / rate);
            let due = self.start + due.unwrap_or(Duration::MAX / 4);
            tokio::select! {
                biased;
                () = stop.as_mut() => return Ok(true),
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
        self.sent += batch.len() as u64;
        let publisher = self.publisher.clone();
        let mut publishing = pin!(publisher.publish(&batch));
        let mut is_stopped = false;
        let results = tokio::select! {
            biased;
            results = &mut publishing => results,
            () = stop.as_mut() => {
                is_stopped = true;
                match tokio::time::timeout(LAST_ACKS, &mut publishing).await {
                    Ok(results) => results,
                    // They may arrive or not; the redrive topic will tell.
                    Err(_) => return Ok(true),
                }
            }
            results = async {
                tokio::time::sleep(STALLED).await;
                self.progress.suspend(|| {
                    note("No acks for 5 s; still trying. Ctrl-C stops the run, which can be resumed.");
                });
                std::future::pending().await
            } => results,
        };
        for result in results {
            match result {
                Ok(()) => self.entry.acknowledged += 1,
                Err(error) => self.failed(format_args!("{error}: {}", error.source)),
            }
        }
        self.progress.set_position(self.sent);
        if self.audited.elapsed() >= PROGRESS {
            self.audit(Phase::Progress).await?;
        }
        Ok(is_stopped)
    }

    fn failed(&mut self, text: std::fmt::Arguments<'_>) {
        self.entry.failed += 1;
        if self.entry.failed <= MAX_FAILURES_TOLD {
            self.progress.suspend(|| note(text));
        }
    }

    async fn audit(&mut self, phase: Phase) -> anyhow::Result<()> {
        self.audited = Instant::now();
        self.entry.phase = phase;
        self.entry.at = Timestamp::now();
        self.entry.write(&self.publisher).await
    }

    fn report(&self, plan: &Plan, is_stopped: bool, is_done: bool) -> anyhow::Result<()> {
        let (job, entry) = (self.job, &self.entry);
        let output = job.global.output();
        if output.json {
            return output.json(&json!({
                "action": job.verb(),
                "done": is_done,
                "stopped": is_stopped,
                "run": job.id,
                "topic": job.topic,
                "group": job.group,
                "selected": entry.selected,
                "acknowledged": entry.acknowledged,
                "failed": entry.failed,
            }));
        }
        output.line(format_args!(
            "{}: {} of {} dead letters {} for consumer group {} (run {})",
            job.topic,
            entry.acknowledged,
            entry.selected,
            match job.verb() {
                "discard" => "discarded",
                _ => "redriven",
            },
            job.group,
            job.id
        ))?;
        plan.tell_details(job);
        Ok(())
    }

    fn verdict(&self, plan: &Plan, is_stopped: bool) -> anyhow::Result<()> {
        let (job, entry) = (self.job, &self.entry);
        let with = match job.edits.command {
            Some(_) => " --edit-with COMMAND",
            None => "",
        };
        let again = format!(
            "longshore dlq {} {} --exact --resume {}{with} --yes",
            job.verb(),
            job.topic,
            job.id
        );
        if is_stopped {
            bail!("stopped; go on with: {again}");
        }
        if entry.failed > 0 {
            bail!(
                "{} dead letters could not be sent; try them again with: {again}",
                entry.failed
            );
        }
        let gone = plan.letters.len() as u64 - self.sent;
        if gone > 0 {
            bail!(
                "{gone} dead letters are gone since the run was planned: their retention is over"
            );
        }
        Ok(())
    }
}

impl Job<'_> {
    fn entry(&self, plan: &Plan, before: u64) -> Entry {
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

/// On a terminal; hidden where the output is for a program.
fn progress(job: &Job<'_>, plan: &Plan) -> ProgressBar {
    if job.global.json {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} sent  {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(plan.letters.len() as u64).with_style(style)
}
