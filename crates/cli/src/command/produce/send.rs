//! Sends checked lines in batches: one thread reads and encodes ahead while the batch before it is being acked.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};
use jiff::Timestamp;
use longshore::stop_signal;
use longshore_event::OutgoingRecord;
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_worker::{PublishError, Publisher};
use serde_json::json;
use tokio::sync::mpsc;

use super::attributes::Attributes;
use super::check::Rules;
use super::input::{Input, Line};
use crate::arguments::Global;
use crate::output::{Output, note};

/// Records in one batch.
const BATCH_RECORDS: usize = 5_000;
/// Bytes in one batch, so that large records do not fill the producer's queue.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Batches encoded ahead of the one being sent.
const BATCHES_AHEAD: usize = 2;
/// Batches a second when a rate is asked for: smooth enough to watch.
const BATCHES_PER_SECOND: f64 = 20.0;
/// When the user is told that no acks come.
const STALLED: Duration = Duration::from_secs(5);
/// Records that failed and are told one by one.
const MAX_FAILURES_TOLD: u64 = 20;

/// What to send, and how fast.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) rules: Rules,
    pub(super) attributes: Attributes,
    pub(super) total: u64,
    pub(super) rate: Option<f64>,
}

/// What became of it.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) topic: String,
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) seconds: f64,
}

#[derive(Debug, Default)]
struct Batch {
    records: Vec<OutgoingRecord>,
    /// The line of each record.
    lines: Vec<u64>,
    bytes: usize,
}

/// Sends everything, or as much as there is time for until the user stops it.
pub(super) async fn all(
    global: &Global,
    connection: &Connection,
    job: Job,
) -> anyhow::Result<Summary> {
    let mut stop = pin!(stop_signal()?);
    let mut sender = Sender {
        publisher: KafkaPublisher::connect(connection)?,
        brokers: global.brokers(),
        input: job.input.name().to_owned(),
        rate: job.rate,
        progress: progress(global.json, job.total),
        start: Instant::now(),
        failed: 0,
        summary: Summary {
            topic: job.attributes.topic().to_owned(),
            sent: 0,
            acked: 0,
            seconds: 0.0,
        },
    };
    let (to_send, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let reader = tokio::task::spawn_blocking(move || encode(&job, &to_send));
    let mut stopped = false;
    while !stopped && let Some(batch) = batches.recv().await {
        stopped = tokio::select! {
            biased;
            () = &mut stop => true,
            () = sender.send(batch) => false,
        };
    }
    drop(batches);
    let Sender {
        progress,
        mut summary,
        start,
        ..
    } = sender;
    summary.seconds = start.elapsed().as_secs_f64();
    progress.finish_and_clear();
    if stopped {
        note("Stopped; records that were sent but not acked may be in the topic or not.");
    } else {
        reader
            .await
            .context("the thread that reads the lines failed")??;
    }
    Ok(summary)
}

impl Summary {
    pub(super) fn print(&self, output: Output) -> anyhow::Result<()> {
        let Self {
            topic,
            sent,
            acked,
            seconds,
        } = self;
        if output.json {
            return output
                .json(&json!({"topic": topic, "sent": sent, "acked": acked, "seconds": seconds}));
        }
        let rate = *acked as f64 / seconds.max(f64::EPSILON);
        output.line(format_args!(
            "{topic}: {sent} sent, {acked} acked in {seconds:.2} s ({rate:.0}/s)"
        ))?;
        Ok(())
    }
}

/// The side that talks to the broker.
struct Sender<'a> {
    publisher: KafkaPublisher,
    brokers: &'a str,
    input: String,
    rate: Option<f64>,
    progress: ProgressBar,
    start: Instant,
    failed: u64,
    summary: Summary,
}

impl Sender<'_> {
    /// Sends one batch when its time has come, and waits for its acks. When dropped, its records may be sent or not.
    async fn send(&mut self, batch: Batch) {
        if let Some(rate) = self.rate {
            let due = Duration::try_from_secs_f64(self.summary.sent as f64 / rate);
            let due = self.start + due.unwrap_or(Duration::MAX / 4);
            tokio::time::sleep_until(due.into()).await;
        }
        self.summary.sent += batch.records.len() as u64;
        let results = {
            let publishing = self.publisher.publish(&batch.records);
            tokio::pin!(publishing);
            match tokio::time::timeout(STALLED, &mut publishing).await {
                Ok(results) => results,
                Err(_) => {
                    let (brokers, seconds) = (self.brokers, STALLED.as_secs());
                    let text = format!(
                        "No acks from {brokers} for {seconds} s; still trying. Ctrl-C gives up."
                    );
                    self.progress.suspend(|| note(text));
                    publishing.await
                }
            }
        };
        for (line, result) in batch.lines.iter().zip(results) {
            match result {
                Ok(()) => self.summary.acked += 1,
                Err(error) => self.tell(*line, &error),
            }
        }
        self.progress.set_position(self.summary.acked);
    }

    fn tell(&mut self, line: u64, error: &PublishError) {
        self.failed += 1;
        let text = match self.failed {
            MAX_FAILURES_TOLD => "More records failed; they are counted, not told.".to_owned(),
            1..MAX_FAILURES_TOLD => {
                format!("{}:{line}: {error}: {}", self.input, error.source)
            }
            _ => return,
        };
        self.progress.suspend(|| note(text));
    }
}

/// The side that reads: lines to records to batches, until all are sent or nobody takes them any more.
fn encode(job: &Job, to_send: &mpsc::Sender<Batch>) -> anyhow::Result<()> {
    let most = job.rate.map_or(BATCH_RECORDS, |rate| {
        ((rate / BATCHES_PER_SECOND) as usize).clamp(1, BATCH_RECORDS)
    });
    let topic: Arc<str> = job.attributes.topic().into();
    let mut batch = Batch::default();
    job.input.for_each(|Line { number, bytes }| {
        let Ok(found) = job.rules.check(bytes) else {
            bail!(
                "{}:{number}: the line has changed since it was checked; the lines before it were sent",
                job.input.name()
            );
        };
        let key = found.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
        let headers = job.attributes.headers(found.id, key, Timestamp::now());
        let record = OutgoingRecord {
            topic: topic.clone(),
            key: found.key,
            value: Some(Bytes::copy_from_slice(bytes)),
            headers,
        };
        batch.bytes += record.size();
        batch.records.push(record);
        batch.lines.push(number);
        if batch.records.len() >= most || batch.bytes >= BATCH_BYTES {
            to_send.blocking_send(std::mem::take(&mut batch)).context(NOBODY_SENDS)?;
        }
        Ok(())
    })?;
    if !batch.records.is_empty() {
        to_send.blocking_send(batch).context(NOBODY_SENDS)?;
    }
    Ok(())
}

const NOBODY_SENDS: &str = "sending ended before all lines were read";

/// On a terminal; hidden where the output is for a program.
fn progress(json: bool, total: u64) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} acked  {rate}  {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style.with_key("rate", rate))
}

fn rate(state: &ProgressState, out: &mut dyn fmt::Write) {
    // The progress bar has no place for an error, and writes to a string.
    write!(out, "{:.0}/s", state.per_sec()).ok();
}
