//! `longshore up`: a broker, the topics, sandbox services, the order workers, the API and sample orders, in one process.

mod feed;
mod metrics;
mod progress;
mod sample;
mod summary;
mod topics;
mod view;
mod workers;

use std::future::pending;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use longshore_broker::{Broker, BrokerConfig, StartError};
use longshore_kafka::{Connection, From, Reader, ReaderEvent};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::produce::rate;
use super::sandbox;
use crate::arguments::Global;
use crate::output::note;
use feed::Feed;
use progress::{Progress, Stage};
use view::View;
use workers::Workers;

/// How often the view is brought up to date.
const REFRESH: Duration = Duration::from_millis(100);
/// Orders that are named when they did not end in time; the rest are counted.
const MAX_NAMED: usize = 20;

pub(crate) use workers::workers_file;

#[derive(Debug, Args)]
#[command(after_help = "\
Without --brokers, an embedded broker is started, on 127.0.0.1:9092 if that is free, so that the other commands find it.
The sample orders are mostly ordinary; a few are sold out, declined, flaky, slow or poisonous, by the test SKUs of the
sandbox. The workers call its services over HTTP, on 127.0.0.1:8091 if that is free; `longshore sandbox --help` tells how to
make them fail. The logs of the workers are in DIR/up.log.

Examples:
  longshore up
  longshore up --orders 200 --once
  longshore up --brokers kafka-1:9092 --orders 1000 --rate 200 --once --timeout 120")]
pub(crate) struct UpArguments {
    /// Sample orders to feed
    #[arg(
        long,
        env = "LONGSHORE_ORDERS",
        default_value = "100",
        value_name = "N"
    )]
    orders: NonZeroUsize,
    /// Orders a second, such as 50 or 50/s
    #[arg(long, env = "LONGSHORE_RATE", default_value = "50", value_name = "N", value_parser = rate)]
    rate: f64,
    /// Leave when every order has reached its end, or fail if some do not
    #[arg(long, env = "LONGSHORE_ONCE", value_parser = FalseyValueParser::new())]
    once: bool,
    /// With --once: seconds to wait for the last orders once all are fed
    #[arg(
        long,
        env = "LONGSHORE_TIMEOUT",
        default_value = "60",
        value_name = "SECONDS"
    )]
    timeout: u64,
    /// The directory that keeps the broker's data and the workers' stores from one run to the next
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// The directory of the topic files [default: topics, or those built in if there is no such directory]
    #[arg(long, env = "LONGSHORE_TOPICS_DIR", value_name = "DIR")]
    topics_dir: Option<PathBuf>,
}

/// The wish to stop, given once.
type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How following the orders ended.
enum End {
    AllEnded,
    Interrupted,
    TimedOut,
}

pub(crate) async fn run(global: &Global, arguments: UpArguments) -> anyhow::Result<()> {
    let stop: Stop = Box::pin(longshore::stop_signal()?);
    let data = &arguments.data;
    std::fs::create_dir_all(data).with_context(|| format!("cannot create {}", data.display()))?;
    let log = data.join("up.log");
    longshore::log_to_file(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let broker = match &global.given_brokers {
        Some(_) => None,
        None => Some(start_broker(&data.join("broker")).await?),
    };
    let mut connection = global.connection();
    if let Some(broker) = &broker {
        connection.brokers = broker.bootstrap();
        connection = alone(connection);
        let address = &connection.brokers;
        note(format_args!(
            "Embedded broker on {address}, for development only. Logs in {}.",
            log.display()
        ));
    }
    let result = with_brokers(global, &arguments, &connection, stop).await;
    if let Some(broker) = broker {
        broker.shutdown().await;
    }
    result
}

/// Nobody else is in these groups, so each worker is a static member (KIP-345): after a crash it takes its old place at
/// once instead of waiting until the broker has given the old one up.
fn alone(connection: Connection) -> Connection {
    let has = |name: &str| connection.properties.iter().any(|(key, _)| key == name);
    let ours = [("group.instance.id", "up"), ("session.timeout.ms", "6000")];
    let missing: Vec<_> = ours.into_iter().filter(|(name, _)| !has(name)).collect();
    missing
        .into_iter()
        .fold(connection, |connection, (name, value)| {
            connection.property(name, value)
        })
}

/// On the port where the other commands look, or another one if that is taken.
async fn start_broker(data: &Path) -> anyhow::Result<Broker> {
    let anywhere = BrokerConfig::new(data);
    let mut usual = anywhere.clone();
    usual.listen.set_port(9092);
    match Broker::start(usual).await {
        Err(StartError::Bind { .. }) => Ok(Broker::start(anywhere).await?),
        started => Ok(started?),
    }
}

async fn with_brokers(
    global: &Global,
    arguments: &UpArguments,
    connection: &Connection,
    stop: Stop,
) -> anyhow::Result<()> {
    let output = global.output();
    let specs = topics::specs(arguments.topics_dir.as_deref(), &arguments.data)?;
    topics::make(connection, &specs).await?;
    let reader = Reader::open(connection, &Stage::topics(), From::End).await?;
    let sandbox = sandbox::start_somewhere(&arguments.data.join("sandbox")).await?;
    note(format_args!(
        "Sandbox services on http://{}.",
        sandbox.address()
    ));
    let services = sandbox::services(&sandbox);
    let workers = Workers::start(connection, &arguments.data, &services).await?;
    if let Some(address) = workers.api() {
        note(format_args!(
            "API on http://{address}, for orders of your own."
        ));
    }
    let mut progress = Progress::new(arguments.orders.get(), Timestamp::now());
    let feed = Feed::start(connection, &progress, arguments.rate, workers.ready())?;
    let mut session = Session {
        arguments,
        view: View::open(output, &progress, workers.names()),
        reader,
        workers,
        feed,
        stop,
    };

    let end = session.follow(&mut progress).await;

    session.close(&progress).await?;
    // After the workers, which call it to their end.
    sandbox.stop().await;
    let end = end?;
    summary::print(output, &progress)?;
    verdict(arguments, &end, &progress)
}

/// Everything that runs.
struct Session<'a> {
    arguments: &'a UpArguments,
    reader: Reader,
    workers: Workers,
    feed: Feed,
    view: View,
    stop: Stop,
}

impl Session<'_> {
    /// Reads what becomes of the orders until there is nothing more to see.
    async fn follow(&mut self, progress: &mut Progress) -> anyhow::Result<End> {
        let mut refresh = interval(REFRESH);
        refresh.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let once = self.arguments.once;
        let timeout = Duration::from_secs(self.arguments.timeout);
        let mut deadline: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = self.stop.as_mut() => return Ok(End::Interrupted),
                failed = self.workers.failed() => return Err(failed),
                fed = self.feed.done(), if !self.feed.is_done() => {
                    fed?;
                    deadline = once.then(|| Instant::now() + timeout);
                }
                _ = refresh.tick() => self.view.show(progress, &self.workers.numbers())?,
                () = at(deadline) => return Ok(End::TimedOut),
                event = self.reader.next() => {
                    if let ReaderEvent::Record(record) = event? {
                        progress.heard(&record);
                    }
                }
            }
            if once && progress.all_ended() {
                return Ok(End::AllEnded);
            }
        }
    }

    /// Feeds no more, and lets the workers finish what they have.
    async fn close(mut self, progress: &Progress) -> anyhow::Result<()> {
        drop(self.feed);
        self.view.show(progress, &self.workers.numbers())?;
        let stopped = self.workers.stop().await;
        self.view.close();
        stopped
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}

fn verdict(arguments: &UpArguments, end: &End, progress: &Progress) -> anyhow::Result<()> {
    match end {
        End::TimedOut => {
            let open = progress.open();
            bail!(
                "{} orders did not end within {} s: {}; see up.log in {}",
                open.len(),
                arguments.timeout,
                named(&open),
                arguments.data.display()
            )
        }
        End::Interrupted if arguments.once => {
            let open = progress.on_their_way();
            let (fed, total) = (progress.count(Stage::Created), progress.total());
            if open.is_empty() {
                bail!("stopped with {fed} of {total} orders fed, all of them at their end");
            }
            bail!(
                "stopped with {fed} of {total} orders fed and {} of them on their way: {}; they go on when this is run again",
                open.len(),
                named(&open)
            )
        }
        End::AllEnded | End::Interrupted => Ok(()),
    }
}

fn named(orders: &[String]) -> String {
    let named = orders.get(..MAX_NAMED).unwrap_or(orders).join(", ");
    match orders.len().saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}
