//! One run, from the first process to the verdict.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use longshore::stop_signal;
use longshore_kafka::KafkaPublisher;
use tempfile::TempDir;

use crate::arguments::Arguments;
use crate::disturb::disturb;
use crate::evidence::Evidence;
use crate::judge::{Verdict, judge};
use crate::plan::{Plan, Targets};
use crate::producer::{Ledger, Producer};
use crate::report::{Ends, Journal, Report, note, seconds};
use crate::settle::settle;
use crate::site::Site;

/// Where logs and evidence go: a directory of the user's, or one that only outlives a failure.
enum Scratch {
    Given(PathBuf),
    Temporary(TempDir),
}

/// Runs, prints the report, and returns whether all promises were kept.
pub(crate) fn main(arguments: &Arguments) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Runtime::new()?;
    let scratch = Scratch::open(arguments)?;
    let passed = runtime.block_on(async {
        let stop = stop_signal()?;
        tokio::select! {
            passed = run(arguments, &scratch) => passed,
            () = stop => bail!("stopped by a signal; everything that was started is ended"),
        }
    });
    runtime.shutdown_background();
    if !matches!(passed, Ok(true)) {
        note(format_args!(
            "logs and evidence are in {}",
            scratch.keep().display()
        ));
    }
    passed
}

async fn run(arguments: &Arguments, scratch: &Scratch) -> anyhow::Result<bool> {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    note(format_args!(
        "seed {seed}; logs in {}",
        scratch.path().display()
    ));
    let site = Site::build(arguments, scratch.path()).await?;
    let plan = Plan::draw(
        seed,
        arguments.lasts,
        Targets {
            workers: site.fleet.len(),
            network: site.network.is_some(),
            database: site.database.is_some(),
        },
    );
    print(&plan);

    let journal = Journal::begin();
    let sent = tokio::select! {
        sent = work(arguments, seed, &site, &plan, &journal) => sent?,
        watched = site.fleet.supervise(&journal) => {
            watched?;
            bail!("nobody watches the workers any more");
        }
    };
    let took = journal.began().elapsed();
    site.fleet.stop(&journal).await?;

    let evidence = Evidence::collect(&site, arguments.strategy, sent).await?;
    let verdict = judge(&evidence, arguments.strategy);
    let broker = site.kafka.lock().await.kind().to_string();
    let mut report = Report {
        seed,
        strategy: arguments.strategy.name(),
        protocol: arguments.protocol.name(),
        broker,
        network: site.network.is_some(),
        seconds: took.as_secs_f64(),
        messages: evidence.sent.ids.len() + evidence.sent.unreadable.len(),
        copies: evidence.sent.copies,
        aborted: evidence.aborted,
        ..Report::of(&journal, verdict)
    };
    if !report.passed {
        evidence.keep(scratch.path())?;
        report.scratch = Some(scratch.path().to_owned());
    }
    report.print(arguments.json)?;
    Ok(report.passed)
}

/// Produces and disturbs at the same time, then waits until all is finished.
async fn work(
    arguments: &Arguments,
    seed: u64,
    site: &Site,
    plan: &Plan,
    journal: &Journal,
) -> anyhow::Result<Ledger> {
    let publisher = KafkaPublisher::connect(&site.connection)?;
    let producer = Producer::new(publisher, seed, arguments.keys, arguments.rate);
    let (sent, ()) = tokio::try_join!(producer.run(arguments.lasts), disturb(site, plan, journal))?;
    journal.line(format_args!("all is mended; waiting for the end"));
    settle(site, arguments.settle, journal).await?;
    journal.line(format_args!("all is finished"));
    Ok(sent)
}

fn print(plan: &Plan) {
    note(format_args!("{} disturbances:", plan.steps.len()));
    for step in &plan.steps {
        let (at, lasts) = (seconds(step.at), seconds(step.lasts));
        note(format_args!(
            "{at:>7} s  {} for {lasts} s",
            step.disturbance
        ));
    }
    note(format_args!(""));
}

impl Report {
    fn of(journal: &Journal, verdict: Verdict) -> Self {
        let mut violations = journal.take_violations();
        violations.extend(verdict.violations);
        Self {
            passed: violations.is_empty(),
            seed: 0,
            strategy: "",
            protocol: "",
            broker: String::new(),
            network: false,
            seconds: 0.0,
            disturbances: journal.counts(),
            messages: 0,
            copies: 0,
            ends: verdict.summary.map(|summary| Ends {
                done: summary.follow_ons,
                dead: summary.dead_letters,
                repeats: summary.repeats,
            }),
            aborted: None,
            effects: verdict.effects,
            violations: violations.iter().map(ToString::to_string).collect(),
            scratch: None,
        }
    }
}

impl Scratch {
    fn open(arguments: &Arguments) -> anyhow::Result<Self> {
        let Some(path) = &arguments.scratch else {
            let temporary = tempfile::Builder::new()
                .prefix("longshore-chaos-")
                .tempdir()?;
            return Ok(Self::Temporary(temporary));
        };
        std::fs::create_dir_all(path)
            .with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self::Given(path.clone()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }

    fn keep(self) -> PathBuf {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.keep(),
        }
    }
}
