//! `longshore analytics`: orders, revenue and times, as the analytics worker has counted them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use longshore_orders::analytics::{AnalyticsFunnel, AnalyticsHours, AnalyticsSummary, Count, Step};
use reqwest::{Client, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::stuck::of_up;
use crate::arguments::Global;
use crate::moment::Moment;
use crate::output::{Output, note};
use crate::table::Table;

/// Time for the worker to answer.
const ANSWER: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
#[command(after_help = "\
The analytics worker answers where --admin-listen says. Without --worker, the one of the `longshore up` that uses DIR is
asked. Hours are whole ones, of UTC. Amounts are in the minor unit of their currency: cents, pence, yen.

Examples:
  longshore analytics
  longshore analytics hours --since 24h
  longshore analytics funnel --since 2026-11-01 --until 2026-11-30T23:00
  longshore analytics --worker 127.0.0.1:8085 --json | jq .counts")]
pub(crate) struct AnalyticsArguments {
    /// What to tell
    #[arg(value_enum, default_value_t, value_name = "WHAT")]
    what: What,
    /// From the hour of this time on, or of so long ago [default: the beginning]
    #[arg(long, env = "LONGSHORE_SINCE", value_name = "TIME")]
    since: Option<Moment>,
    /// To the hour of this time, included [default: now]
    #[arg(long, env = "LONGSHORE_UNTIL", value_name = "TIME")]
    until: Option<Moment>,
    /// The admin address of the analytics worker
    #[arg(long, env = "LONGSHORE_ANALYTICS_WORKER", value_name = "HOST:PORT", value_parser = crate::parse::host_port)]
    worker: Option<String>,
    /// The directory of `longshore up`
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore",
        value_name = "DIR"
    )]
    data: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum What {
    /// Counts, money and how long the steps of orders took
    #[default]
    Summary,
    /// Counts and money of each hour
    Hours,
    /// How many orders came how far
    Funnel,
}

pub(crate) async fn run(global: &Global, arguments: AnalyticsArguments) -> anyhow::Result<()> {
    let output = global.output();
    match arguments.what {
        What::Summary => {
            let summary: AnalyticsSummary = ask(&arguments, "summary").await?;
            print(output, &summary, print_summary)
        }
        What::Hours => {
            let hours: AnalyticsHours = ask(&arguments, "hours").await?;
            print(output, &hours, print_hours)
        }
        What::Funnel => {
            let funnel: AnalyticsFunnel = ask(&arguments, "funnel").await?;
            print(output, &funnel, print_funnel)
        }
    }
}

fn print<T: Serialize>(
    output: Output,
    found: &T,
    text: impl Fn(Output, &T) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    match output.json {
        true => output.json(found),
        false => Ok(text(output, found)?),
    }
}

/// Asks the worker that was named, or those of `longshore up` until one knows the answer.
async fn ask<T: DeserializeOwned>(arguments: &AnalyticsArguments, what: &str) -> anyhow::Result<T> {
    let workers = match &arguments.worker {
        Some(worker) => vec![worker.clone()],
        None => of_up(&arguments.data)?,
    };
    let client = Client::builder().timeout(ANSWER).no_proxy().build()?;
    let bounds = [("since", arguments.since), ("until", arguments.until)];
    let bounds = bounds
        .iter()
        .filter_map(|(name, moment)| Some(format!("{name}={}", (*moment)?.0)));
    let bounds = bounds.collect::<Vec<_>>().join("&");
    for worker in &workers {
        let url = format!("http://{worker}/analytics/{what}?{bounds}");
        let response = client.get(url).send().await;
        let response = response.with_context(|| format!("no answer from {worker}"))?;
        match response.status() {
            StatusCode::NOT_FOUND => continue,
            status if status.is_success() => {
                let text = response.text().await?;
                return serde_json::from_str(&text)
                    .context("what answers is no analytics worker of this version");
            }
            status => bail!("{worker} says {status}: {}", response.text().await?.trim()),
        }
    }
    bail!(
        "no analytics worker at {}; name it with --worker HOST:PORT",
        workers.join(", ")
    )
}

fn print_summary(output: Output, summary: &AnalyticsSummary) -> std::io::Result<()> {
    let mut counts = Table::new(&["EVENT", "REASON", "ORDERS", "EVENTS", "AMOUNT", "CURRENCY"]);
    for count in &summary.counts {
        counts.row(&cells(count).each_ref().map(String::as_str));
    }
    lines(output, &counts)?;
    if summary.steps.is_empty() {
        return Ok(());
    }
    output.line("")?;
    let mut steps = Table::new(&[
        "STEP", "ORDERS", "MEAN", "SHORTEST", "P50", "P90", "P99", "LONGEST",
    ]);
    for step in &summary.steps {
        let Step {
            step: name,
            orders,
            total_ms,
            shortest_ms,
            longest_ms,
            p50_ms,
            p90_ms,
            p99_ms,
        } = step;
        let mean = total_ms / orders.max(&1);
        let times = [mean, *shortest_ms, *p50_ms, *p90_ms, *p99_ms, *longest_ms].map(readable);
        let [mean, shortest, p50, p90, p99, longest] = times.each_ref().map(String::as_str);
        steps.row(&[
            &name.replace('_', " "),
            &orders.to_string(),
            mean,
            shortest,
            p50,
            p90,
            p99,
            longest,
        ]);
    }
    lines(output, &steps)
}

fn print_hours(output: Output, hours: &AnalyticsHours) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "HOUR", "EVENT", "REASON", "ORDERS", "EVENTS", "AMOUNT", "CURRENCY",
    ]);
    for hour in &hours.hours {
        let began = hour.hour.to_string();
        for count in &hour.counts {
            let cells = cells(count);
            let [event, reason, orders, events, amount, currency] =
                cells.each_ref().map(String::as_str);
            table.row(&[&began, event, reason, orders, events, amount, currency]);
        }
    }
    lines(output, &table)?;
    if hours.has_more {
        note("There are earlier hours; ask for them with --until.");
    }
    Ok(())
}

fn print_funnel(output: Output, funnel: &AnalyticsFunnel) -> std::io::Result<()> {
    let mut table = Table::new(&["REACHED", "ORDERS", "OF CREATED"]);
    let mut row = |name: &str, orders: i64| {
        let share = match funnel.created {
            0 => "-".to_owned(),
            created => format!("{:.1} %", orders as f64 * 100.0 / created as f64),
        };
        table.row(&[name, &orders.to_string(), &share]);
    };
    row("created", funnel.created);
    row("paid", funnel.paid);
    row("shipped", funnel.shipped);
    row("delivered", funnel.delivered);
    for cancelled in &funnel.cancelled {
        row(
            &format!("cancelled: {}", cancelled.reason.replace('_', " ")),
            cancelled.orders,
        );
    }
    lines(output, &table)
}

fn cells(count: &Count) -> [String; 6] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        count.event.clone(),
        text(&count.reason),
        count.orders.to_string(),
        count.events.to_string(),
        count
            .amount
            .map_or_else(String::new, |amount| amount.to_string()),
        text(&count.currency),
    ]
}

fn lines(output: Output, table: &Table) -> std::io::Result<()> {
    table.lines().try_for_each(|line| output.line(line))
}

fn readable(milliseconds: i64) -> String {
    format!("{:?}", Duration::from_millis(milliseconds.unsigned_abs()))
}
