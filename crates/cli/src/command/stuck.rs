//! `longshore stuck`: what workers wait for, partition by partition and key by key, as they tell it themselves.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::Timestamp;
use longshore::StatusPage;
use longshore_services::{BreakerState, ServiceReport};
use longshore_worker::{BrakeState, OldestReport, OldestState, PartitionReport};
use serde_json::json;

use super::up::workers_file;
use crate::arguments::Global;
use crate::output::{Colour, Output, counted, note};
use crate::table::Table;

/// Time for a worker to answer.
const ANSWER: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
#[command(after_help = "\
Workers answer where --admin-listen says. Without --worker, those of the `longshore up` that uses DIR are asked.
A worker that waits for nothing is told in one line. Exit code 1 if a worker does not answer.

Examples:
  longshore stuck
  longshore stuck --worker 127.0.0.1:8080 --worker 127.0.0.1:8081
  longshore stuck --json | jq '.[].parked'")]
pub(crate) struct StuckArguments {
    /// A worker's admin address; may be repeated
    #[arg(
        long = "worker",
        env = "LONGSHORE_WORKERS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = crate::parse::host_port
    )]
    workers: Vec<String>,
    /// The directory of `longshore up`
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore",
        value_name = "DIR"
    )]
    data: PathBuf,
}

pub(crate) async fn run(global: &Global, arguments: StuckArguments) -> anyhow::Result<()> {
    let workers = match arguments.workers.is_empty() {
        false => arguments.workers,
        true => of_up(&arguments.data)?,
    };
    let client = reqwest::Client::builder()
        .timeout(ANSWER)
        .no_proxy()
        .build()?;
    let mut pages = Vec::new();
    let (mut silent, mut strangers) = (Vec::new(), Vec::new());
    for worker in workers {
        match ask(&client, &worker).await {
            Ok(page) => pages.push(page),
            Err(NoPage::Silent(error)) => {
                note(format_args!("no answer from {worker}: {error:#}"));
                silent.push(worker);
            }
            Err(NoPage::Stranger(why)) => {
                note(format_args!("{worker} is no Longshore worker: {why}"));
                strangers.push(worker);
            }
        }
    }
    if global.json {
        global.output().json(&json!(pages))?;
    } else {
        for page in &pages {
            print(global.output(), page).context("cannot print")?;
        }
    }
    if !strangers.is_empty() {
        bail!(
            "no Longshore worker of this version answers at {}; --worker takes what a worker's --admin-listen says",
            strangers.join(", ")
        );
    }
    if !silent.is_empty() {
        bail!(
            "{} did not answer; is the worker running, and started with --admin-listen?",
            silent.join(", ")
        );
    }
    Ok(())
}

/// Where the workers of the `longshore up` that uses `data` answer.
pub(crate) fn of_up(data: &std::path::Path) -> anyhow::Result<Vec<String>> {
    let file = workers_file(data);
    let text = std::fs::read_to_string(&file).with_context(|| {
        format!(
            "no `longshore up` runs with {}; name the workers with --worker HOST:PORT",
            data.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("cannot read {}", file.display()))
}

/// Why nothing is told of a worker.
enum NoPage {
    /// It did not answer, or not with what it was asked for.
    Silent(anyhow::Error),
    /// Whoever answers knows of no such page.
    Stranger(String),
}

async fn ask(client: &reqwest::Client, worker: &str) -> Result<StatusPage, NoPage> {
    let silent = |error: reqwest::Error| NoPage::Silent(error.into());
    let asked = client.get(format!("http://{worker}/status")).send().await;
    let response = asked.map_err(silent)?;
    let status = response.status();
    let text = response.text().await.map_err(silent)?;
    if status.is_server_error() {
        return Err(NoPage::Silent(anyhow!("{status}: {}", text.trim())));
    }
    if !status.is_success() {
        return Err(NoPage::Stranger(format!("/status is {status}")));
    }
    serde_json::from_str(&text)
        .map_err(|error| NoPage::Stranger(format!("/status is no status page ({error})")))
}

fn print(output: Output, page: &StatusPage) -> std::io::Result<()> {
    let report = &page.report;
    let name = output.paint(Colour::Cyan, &report.group);
    let waits = report
        .partitions
        .iter()
        .filter(|partition| partition.oldest.is_some() || is_behind(partition));
    output.line(format_args!(
        "{name}: {}, {} in flight, {} parked, {}",
        counted(report.partitions.len() as u64, "partition", "partitions"),
        report.in_flight,
        counted(report.parked_keys as u64, "key", "keys"),
        match report.ready {
            true => output.paint(Colour::Green, "ready"),
            false => output.paint(Colour::Red, "not ready"),
        }
    ))?;
    if report.partitions.is_empty() && !report.stopping {
        output.line(
            "  no partitions: the group has given it none yet; a member that died is missed when its session.timeout.ms is over",
        )?;
    }
    for (what, reason) in [
        ("paused", &report.paused),
        ("brokers not reachable", &report.broker_unavailable),
        ("effects cannot be committed", &report.commits_unavailable),
    ] {
        if let Some(reason) = reason {
            output.line(format_args!(
                "  {}: {reason}",
                output.paint(Colour::Yellow, what)
            ))?;
        }
    }
    for unwritten in &report.unwritten {
        output.line(format_args!(
            "  topic {} refuses what is published, first {}: {}",
            output.paint(Colour::Yellow, &unwritten.topic),
            back(report.at, unwritten.since),
            unwritten.last_error
        ))?;
    }
    if report.brake.state != BrakeState::Closed {
        let next = report.brake.next_probe.map(|next| ahead(report.at, next));
        output.line(format_args!(
            "  brake: {} of {} failed; next probe {}",
            report.brake.failed,
            report.brake.of,
            next.unwrap_or_else(|| "under way".to_owned())
        ))?;
    }
    for service in &page.services {
        if let Some(told) = not_asked(service) {
            let name = output.paint(Colour::Yellow, service.service);
            output.line(format_args!("  service {name}: {told}"))?;
        }
    }
    if let Some(store) = page.store {
        output.line(format_args!(
            "  store: {} in the inbox, {} in the outbox, {} timers, {} parked",
            store.inbox, store.outbox, store.timers, store.parked
        ))?;
    }
    let mut table = Table::new(&[
        "PARTITION",
        "COMMITTED",
        "WATERMARK",
        "END",
        "IN FLIGHT",
        "OLDEST",
        "KEY",
        "STATE",
        "SINCE",
        "TRIES",
        "NEXT",
        "ERROR",
    ]);
    let mut rows = 0;
    for partition in waits {
        table.row(&row(report.at, partition).each_ref().map(String::as_str));
        rows += 1;
    }
    print_table(output, &table, rows)?;
    let mut table = Table::new(&[
        "PARKED KEY",
        "PARTITION",
        "OFFSET",
        "MESSAGES",
        "TRIES",
        "SINCE",
        "NEXT",
        "ERROR",
    ]);
    for parked in &report.parked {
        let next = match parked.next_try {
            Some(next) => ahead(report.at, next),
            None => "when redriven".to_owned(),
        };
        let since = parked.first_failed_at.map(|since| back(report.at, since));
        table.row(&[
            parked.key.as_deref().unwrap_or("-"),
            &format!("{}/{}", parked.topic, parked.partition),
            &parked.offset.to_string(),
            &parked.messages.to_string(),
            &parked.attempts.to_string(),
            &since.unwrap_or_else(dash),
            &next,
            parked.last_error.as_deref().unwrap_or("-"),
        ]);
    }
    print_table(output, &table, report.parked.len())?;
    let untold = report.parked_keys - report.parked.len().min(report.parked_keys);
    if untold > 0 {
        let untold = counted(untold as u64, "more parked key", "more parked keys");
        output.line(format_args!("  and {untold}"))?;
    }
    Ok(())
}

/// What is to be said of a service, if its breaker is not closed.
fn not_asked(service: &ServiceReport) -> Option<String> {
    match service.breaker {
        BreakerState::Closed => None,
        BreakerState::HalfOpen => Some(format!(
            "breaker half-open, a probe decides; {}",
            service.url
        )),
        BreakerState::Open => {
            let next = Duration::from_millis(service.next_probe_ms.unwrap_or(0));
            let next = next.as_secs();
            Some(format!(
                "breaker open, next probe in {next} s; {}",
                service.url
            ))
        }
    }
}

/// Whether the log has more than was finished, though nothing of it is here.
fn is_behind(partition: &PartitionReport) -> bool {
    let (end, watermark) = (partition.end, partition.watermark);
    end.zip(watermark)
        .is_some_and(|(end, watermark)| end > watermark)
}

fn row(at: Timestamp, partition: &PartitionReport) -> [String; 12] {
    let number = |number: Option<i64>| number.map_or_else(dash, |number| number.to_string());
    let oldest = partition.oldest.as_ref();
    let told =
        |tell: &dyn Fn(&OldestReport) -> Option<String>| oldest.and_then(tell).unwrap_or_else(dash);
    let state = |oldest: &OldestReport| match oldest.state {
        OldestState::Arriving => "arriving",
        OldestState::Waiting => "waiting",
        OldestState::Handling => "handling",
    };
    [
        format!("{}/{}", partition.topic, partition.partition),
        number(partition.committed),
        number(partition.watermark),
        number(partition.end),
        partition.in_flight.to_string(),
        told(&|oldest| Some(oldest.offset.to_string())),
        told(&|oldest| oldest.key.clone()),
        told(&|oldest| Some(state(oldest).to_owned())),
        told(&|oldest| oldest.since.map(|since| back(at, since))),
        told(&|oldest| Some(oldest.attempts.to_string())),
        told(&|oldest| oldest.next_try.map(|next| ahead(at, next))),
        told(&|oldest| oldest.last_error.clone()),
    ]
}

fn print_table(output: Output, table: &Table, rows: usize) -> std::io::Result<()> {
    if rows > 0 {
        for line in table.lines() {
            output.line(format_args!("  {line}"))?;
        }
    }
    Ok(())
}

fn dash() -> String {
    "-".to_owned()
}

/// How long ago `moment` was at `now`.
fn back(now: Timestamp, moment: Timestamp) -> String {
    format!("{:#} ago", rounded(now.duration_since(moment)))
}

/// How far ahead `moment` is at `now`.
fn ahead(now: Timestamp, moment: Timestamp) -> String {
    let wait = moment.duration_since(now);
    if wait.is_positive() {
        format!("in {:#}", rounded(wait))
    } else {
        "now".to_owned()
    }
}

fn rounded(duration: jiff::SignedDuration) -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(duration.as_secs())
}
