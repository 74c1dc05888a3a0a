//! The second pass: publishes what was planned, in the order of the dead-letter topic, and audits it.
//!
//! Each batch is one transaction. Whatever interrupts one, the run begins again as if it were resumed: what stands in the
//! redrive topic then tells what is left.

mod end;

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::time::{Duration, Instant};

use anyhow::anyhow;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use longshore::stop_signal;
use longshore_event::{AnyDeadLetter, OutgoingRecord};
use longshore_kafka::{KafkaError, KafkaPublisher, NotPublished};
use longshore_worker::{PublishError, PublishErrorKind};

use super::Job;
use super::letter::{edited, outgoing};
use super::plan::Plan;
use super::writer::Writer;
use crate::command::dlq::Place;
use crate::command::dlq::audit::{Entry, Phase};
use crate::command::dlq::letters::{Letters, place};
use crate::output::note;
use end::End;

/// Records in one batch: what is at stake when the run is stopped.
const BATCH_RECORDS: usize = 500;
/// The same once records go in a request each, so that slow acks do not use up the time of a transaction.
const ONE_BY_ONE: usize = 25;
/// Bytes in one batch, so that large records do not fill the producer's queue.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Batches a second when a rate is asked for: smooth enough for whoever has to handle them.
const BATCHES_PER_SECOND: f64 = 10.0;
/// How often the audit is told of progress.
const PROGRESS: Duration = Duration::from_secs(5);
/// How long a stopped run waits for the acks of its last batch, and an audit of a stopped run for its own.
const LAST_ACKS: Duration = Duration::from_secs(5);
/// How long it waits for the transaction of that batch to be aborted, if they did not come.
const LAST_ABORT: Duration = Duration::from_secs(5);
/// When the user is told that no acks come.
const STALLED: Duration = Duration::from_secs(5);
/// The wait before an interrupted run begins again.
const AGAIN: Duration = Duration::from_secs(1);
/// Letters that could not be sent and are told one by one.
const MAX_FAILURES_TOLD: u64 = 20;

/// Sends every letter of `plan`. `before` were sent by the run until now.
pub(super) async fn all(
    job: &Job<'_>,
    writer: Writer<'_>,
    mut plan: Plan,
    before: u64,
) -> anyhow::Result<()> {
    let stop = pin!(stop_signal()?);
    let mut sender = Sender {
        job,
        entry: job.entry(&plan, before),
        progress: progress(job, &plan),
        letters: std::mem::take(&mut plan.letters),
        writer,
        auditor: KafkaPublisher::connect(&job.global.connection())?,
        most: BATCH_RECORDS,
        due: Instant::now(),
        audited: Instant::now(),
        done: 0,
        elsewhere: 0,
        is_stopped: false,
    };
    // Whoever looks into the redrive topic later finds every run in the audit: the entry comes first.
    sender.audit(Phase::Started).await?;
    // A process that is killed tells nothing at its end.
    note(format_args!("Run {} begins.", job.id));
    let outcome = sender.run(stop).await;
    sender.progress.finish_and_clear();
    sender.end(&plan, outcome).await
}

struct Sender<'a> {
    job: &'a Job<'a>,
    entry: Entry,
    progress: ProgressBar,
    /// What is left to send.
    letters: BTreeSet<Place>,
    writer: Writer<'a>,
    auditor: KafkaPublisher,
    /// Records in one batch at most.
    most: usize,
    /// When the next batch may go, if a rate is asked for.
    due: Instant,
    audited: Instant,
    /// Letters of which this process knows what became.
    done: u64,
    /// Those of them that another run has redriven or discarded.
    elsewhere: u64,
    is_stopped: bool,
}

type Stop<'a, F> = Pin<&'a mut F>;
type Batch = Vec<(Place, OutgoingRecord)>;

/// Why a pass over the dead letters ended early.
enum Halt {
    Stopped,
    Fenced,
    /// What became of the last batch is not known.
    Interrupted,
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> std::convert::From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Sender<'_> {
    /// Passes over the dead letters until all are sent or it ends otherwise.
    async fn run<F: Future<Output = ()>>(&mut self, mut stop: Stop<'_, F>) -> anyhow::Result<End> {
        loop {
            match self.pass(&mut stop).await {
                Ok(()) => return Ok(End::Through),
                Err(Halt::Stopped) => return Ok(End::Stopped),
                Err(Halt::Fenced) => return Ok(End::Fenced),
                Err(Halt::Failed(error)) => return Err(error),
                Err(Halt::Interrupted) => {}
            }
            tokio::select! {
                biased;
                () = &mut stop => return Ok(End::Stopped),
                begun = async {
                    tokio::time::sleep(AGAIN).await;
                    self.begin_again().await
                } => begun?,
            }
        }
    }

    /// Finds out what became of everything that was sent. A run that has begun meanwhile is fenced; what it has sent is
    /// no longer left to this one.
    async fn begin_again(&mut self) -> anyhow::Result<()> {
        let settled = loop {
            let begun = self.writer.begin_again().await;
            let Err(error) = begun else { break begun? };
            match error.downcast_ref() {
                Some(KafkaError::NoAnswer { .. }) => tokio::time::sleep(AGAIN).await,
                _ => return Err(error),
            }
        };
        let before = self.letters.len() as u64;
        self.letters
            .retain(|place| !settled.has(*place, &self.job.group));
        let found = before - self.letters.len() as u64;
        // Saturating, since retention may have taken from the topic what was counted.
        let own = settled.of_run(&self.job.id);
        let own = own.saturating_sub(self.entry.acknowledged);
        self.entry.acknowledged += own;
        self.elsewhere += found.saturating_sub(own);
        self.done += found;
        self.progress.set_position(self.done);
        Ok(())
    }

    /// Reads the dead letters, and sends those that are left.
    async fn pass<F: Future<Output = ()>>(&mut self, stop: &mut Stop<'_, F>) -> Result<(), Halt> {
        let most = self.job.rate.map_or(self.most, |rate| {
            ((rate / BATCHES_PER_SECOND) as usize).clamp(1, self.most)
        });
        let since = self.job.selection.since.map(|since| since.0);
        let mut letters = Letters::open_silently(self.job.global, &self.job.topic, since).await?;
        let (mut batch, mut bytes) = (Batch::new(), 0);
        loop {
            let record = tokio::select! {
                biased;
                () = stop.as_mut() => return Err(Halt::Stopped),
                record = letters.next() => record?,
            };
            let Some(record) = record else { break };
            let place = place(&record);
            if !self.letters.contains(&place) {
                continue;
            }
            let Some(letter) = AnyDeadLetter::read(&record) else {
                continue;
            };
            // It worked a moment ago; a command may have changed its mind.
            let edited = match edited(self.job, &record, &letter).await {
                Ok(edited) => edited,
                Err(fault) => {
                    self.failed(place, format_args!("{}: {fault}", record.position()));
                    continue;
                }
            };
            if let Some(outgoing) = outgoing(self.job, &record, &letter, edited) {
                bytes += outgoing.size();
                batch.push((place, outgoing));
            }
            if batch.len() >= most || bytes >= BATCH_BYTES {
                bytes = 0;
                self.batch(std::mem::take(&mut batch), stop).await?;
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.batch(batch, stop).await
    }

    /// Sends one batch when its time has come: in one transaction, or each letter in one of its own if one of them
    /// cannot be written.
    async fn batch<F: Future<Output = ()>>(
        &mut self,
        batch: Batch,
        stop: &mut Stop<'_, F>,
    ) -> Result<(), Halt> {
        if let Some(rate) = self.job.rate {
            tokio::select! {
                biased;
                () = stop.as_mut() => return Err(Halt::Stopped),
                () = tokio::time::sleep_until(self.due.into()) => {}
            }
            // From now on: what an outage held up does not come in a burst.
            let wait = Duration::try_from_secs_f64(batch.len() as f64 / rate);
            self.due = self.due.max(Instant::now()) + wait.unwrap_or(Duration::MAX / 4);
        }
        match self.transaction(&batch, stop).await? {
            // None of them could be written: each would wait for the topic again.
            Err(error) if batch.len() == 1 || error.kind == PublishErrorKind::UnknownTopic => {
                for (place, _) in &batch {
                    self.failed(*place, format_args!("{error}: {}", error.source));
                }
            }
            Err(_) => {
                for letter in batch.chunks(1) {
                    if self.is_stopped {
                        break;
                    }
                    if let Err(error) = self.transaction(letter, stop).await? {
                        self.failed(letter[0].0, format_args!("{error}: {}", error.source));
                    }
                }
            }
            Ok(()) => {}
        }
        if self.audited.elapsed() >= PROGRESS {
            // Brokers that are away are told of by the next batch, which hears a stop.
            match tokio::time::timeout(LAST_ACKS, self.audit(Phase::Progress)).await {
                Ok(audited) => audited?,
                Err(_) => {
                    note("The audit does not answer; the run goes on.");
                    self.audited = Instant::now();
                }
            }
        }
        if self.is_stopped {
            return Err(Halt::Stopped);
        }
        Ok(())
    }

    /// Writes letters in one transaction. The inner error is about one of them, and none was written then. A stop lets it
    /// end, or aborts it, before that is said.
    async fn transaction<F: Future<Output = ()>>(
        &mut self,
        letters: &[(Place, OutgoingRecord)],
        stop: &mut Stop<'_, F>,
    ) -> Result<Result<(), PublishError>, Halt> {
        let records = letters.iter().map(|(_, record)| record.clone()).collect();
        let mut writing = pin!(self.writer.write(records));
        let outcome = tokio::select! {
            biased;
            outcome = &mut writing => outcome,
            () = stop.as_mut() => {
                self.is_stopped = true;
                let acked = tokio::time::timeout(LAST_ACKS, &mut writing).await;
                let ended = match acked {
                    Ok(outcome) => Ok(outcome),
                    Err(_) => {
                        self.writer.give_up();
                        tokio::time::timeout(LAST_ABORT, &mut writing).await
                    }
                };
                match ended {
                    Ok(outcome) => outcome,
                    // The next run ends it; the redrive topic tells which way.
                    Err(_) => return Err(Halt::Stopped),
                }
            }
            outcome = async {
                tokio::time::sleep(STALLED).await;
                self.progress.suspend(|| {
                    note("No acks for 5 s; still trying. Ctrl-C stops the run, which can be resumed.");
                });
                std::future::pending().await
            } => outcome,
        };
        match outcome {
            Ok(()) => {
                for (place, _) in letters {
                    self.letters.remove(place);
                }
                self.entry.acknowledged += letters.len() as u64;
                self.done += letters.len() as u64;
                self.progress.set_position(self.done);
                Ok(Ok(()))
            }
            Err(NotPublished::Refused(error)) => Ok(Err(error)),
            Err(NotPublished::Fenced { .. }) => Err(Halt::Fenced),
            Err(NotPublished::Interrupted { .. }) if self.is_stopped => Err(Halt::Stopped),
            Err(NotPublished::Interrupted { source }) => {
                let refused = source.downcast_ref::<PublishError>();
                if refused.is_some_and(|error| error.kind == PublishErrorKind::TooLarge) {
                    self.most = ONE_BY_ONE;
                }
                Err(self.interrupted(&*source))
            }
        }
    }

    /// Whether a transaction that was interrupted is worth another.
    fn interrupted(&self, reason: &(dyn std::error::Error + Send + Sync + 'static)) -> Halt {
        match reason.downcast_ref::<PublishError>() {
            // It goes one by one the next time, and nobody need know.
            Some(error) if error.kind == PublishErrorKind::TooLarge => {}
            // Nothing will go before somebody has granted what the cause says.
            Some(error) if error.kind != PublishErrorKind::Unavailable => {
                return Halt::Failed(anyhow!("{error}: {}", error.source));
            }
            error => {
                let cause = error.map_or_else(|| reason.to_string(), |e| e.source.to_string());
                self.progress.suspend(|| {
                    note(format_args!(
                        "The transaction was interrupted; once more. {cause}"
                    ));
                });
            }
        }
        Halt::Interrupted
    }

    fn failed(&mut self, place: Place, text: std::fmt::Arguments<'_>) {
        self.letters.remove(&place);
        self.done += 1;
        self.entry.failed += 1;
        if self.entry.failed <= MAX_FAILURES_TOLD {
            self.progress.suspend(|| note(text));
        }
        self.progress.set_position(self.done);
    }

    async fn audit(&mut self, phase: Phase) -> anyhow::Result<()> {
        self.audited = Instant::now();
        self.entry.phase = phase;
        self.entry.at = Timestamp::now();
        self.entry.write(&self.auditor).await
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
