//! The command line that every worker has; each flag is also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{FalseyValueParser, RangedU64ValueParser};
use clap::{ArgMatches, Args, Command, FromArgMatches};
use longshore_kafka::Connection;
use longshore_store::StoreUrl;
use longshore_worker::{Handler, OnDead, Park, Retention, Retry, Settings};

use crate::duration::parse_duration;
use crate::secret::secret;
use crate::{LogFormat, ServiceArgs, WorkerBuilder};

/// The default of `--transaction-timeout`.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a worker runs and how it behaves.
#[derive(Clone, Debug, Args)]
#[non_exhaustive]
pub struct WorkerArgs {
    /// Kafka brokers, `host:port`, separated by commas
    #[arg(
        long,
        env = "KAFKA_BROKERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT"
    )]
    pub brokers: String,
    /// Any librdkafka property, such as `security.protocol=SASL_SSL`; may be repeated. In the environment: one a line
    #[arg(
        long,
        env = "LONGSHORE_KAFKA",
        value_name = "KEY=VALUE",
        value_delimiter = '\n',
        hide_env_values = true,
        value_parser = secret(KafkaProperty::from_str)
    )]
    pub kafka: Vec<KafkaProperty>,
    /// Consumer group; part of the ids of follow-on events, so the same in all instances [default: the worker's name]
    #[arg(long, env = "LONGSHORE_GROUP", value_name = "NAME")]
    pub group: Option<String>,
    /// Where state is kept: `sqlite:PATH`, or `postgres://…` to run several instances [default: sqlite:GROUP.db]
    #[arg(
        long,
        env = "LONGSHORE_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret(StoreUrl::from_str)
    )]
    pub store: Option<StoreUrl>,
    /// Directory of the topic files; the worker refuses to start if they do not describe its topics
    #[arg(long, env = "LONGSHORE_TOPICS_DIR", value_name = "DIR")]
    pub topics_dir: Option<PathBuf>,
    /// Handlers running at once, each on another key
    #[arg(long, env = "LONGSHORE_CONCURRENCY", default_value = "64", value_name = "N", value_parser = count())]
    pub concurrency: usize,
    /// Messages in memory; at the bound no more are read
    #[arg(long, env = "LONGSHORE_MAX_IN_FLIGHT", default_value = "2000", value_name = "N", value_parser = count())]
    pub max_in_flight: usize,
    /// Messages in one transaction
    #[arg(long, env = "LONGSHORE_MAX_BATCH", default_value = "500", value_name = "N", value_parser = count())]
    pub max_batch: usize,
    /// Runs of the handler at once, the first one included; after that the message is parked, and its key with it
    #[arg(long, env = "LONGSHORE_ATTEMPTS", default_value = "4", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub attempts: u32,
    /// Wait before the second run; each later wait is twice as long
    #[arg(long, env = "LONGSHORE_RETRY_FIRST", default_value = "100ms", value_name = "TIME", value_parser = parse_duration)]
    pub retry_first: Duration,
    /// Longest wait between two runs
    #[arg(long, env = "LONGSHORE_RETRY_LONGEST", default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    pub retry_longest: Duration,
    /// Runs of the handler in all, those of a parked message included, before it becomes a dead letter
    #[arg(long, env = "LONGSHORE_PARK_ATTEMPTS", default_value = "16", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub park_attempts: u32,
    /// Wait before a parked message is tried again; each later wait is twice as long
    #[arg(long, env = "LONGSHORE_PARK_FIRST", default_value = "5s", value_name = "TIME", value_parser = parse_duration)]
    pub park_first: Duration,
    /// Longest wait of a parked message
    #[arg(long, env = "LONGSHORE_PARK_LONGEST", default_value = "10m", value_name = "TIME", value_parser = parse_duration)]
    pub park_longest: Duration,
    /// Parked keys in memory, and as many that are held; at the bound nothing but redrives is taken in
    #[arg(long, env = "LONGSHORE_MAX_PARKED_KEYS", default_value = "50000", value_name = "N", value_parser = count())]
    pub max_parked_keys: usize,
    /// Parked messages in the store; at the bound nothing but redrives is taken in
    #[arg(long, env = "LONGSHORE_MAX_PARKED", default_value = "500000", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_parked: u64,
    /// Records that wait in the store until their topic can be written; at the bound nothing is taken in
    #[arg(long, env = "LONGSHORE_MAX_UNPUBLISHED", default_value = "500000", value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub max_unpublished: u64,
    /// Keep the key of a dead message parked until the message is redriven or discarded; needs a store
    #[arg(long, env = "LONGSHORE_STRICT", value_parser = FalseyValueParser::new())]
    pub strict: bool,
    /// Wait and probe when a greater share than this of the recent messages failed; 1 never waits
    #[arg(
        long,
        env = "LONGSHORE_BRAKE",
        default_value = "0.5",
        value_name = "SHARE"
    )]
    pub brake: f64,
    /// How long the inbox remembers messages
    #[arg(long, env = "LONGSHORE_INBOX_RETENTION", default_value = "168h", value_name = "TIME", value_parser = parse_duration)]
    pub inbox_retention: Duration,
    /// How long it remembers dead and redriven ones: longer than dead letters are kept
    #[arg(long, env = "LONGSHORE_REDRIVABLE_RETENTION", default_value = "2400h", value_name = "TIME", value_parser = parse_duration)]
    pub redrivable_retention: Duration,
    /// Time for one run of the handler
    #[arg(long, env = "LONGSHORE_HANDLER_TIMEOUT", default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    pub handler_timeout: Duration,
    /// Time to finish what is in flight when the worker stops or partitions move
    #[arg(long, env = "LONGSHORE_DRAIN", default_value = "25s", value_name = "TIME", value_parser = parse_duration)]
    pub drain: Duration,
    /// Time for one Kafka transaction, of a worker that commits in them; the broker aborts one that takes longer
    #[arg(long, env = "LONGSHORE_TRANSACTION_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub transaction_timeout: Duration,
    /// Serve /healthz, /readyz, /status and /metrics here, as in `127.0.0.1:8080`
    #[arg(long, env = "LONGSHORE_ADMIN_LISTEN", value_name = "ADDR")]
    pub admin_listen: Option<SocketAddr>,
    /// How log lines look; what is logged is up to RUST_LOG
    #[arg(
        long,
        env = "LONGSHORE_LOG_FORMAT",
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// The services that it calls, if it does.
    #[command(flatten, next_help_heading = SERVICES)]
    pub services: ServiceArgs,
}

/// Above the flags of [`ServiceArgs`], which `--help` shows where they mean something.
const SERVICES: &str = "Services";

/// A librdkafka property; nothing, where the environment has an empty line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaProperty(pub Option<(String, String)>);

impl WorkerArgs {
    /// The defaults, for a worker inside another process. The environment is not looked at.
    pub fn new(brokers: impl Into<String>) -> Self {
        let settings = Settings::new("");
        let retention = Retention::default();
        Self {
            brokers: brokers.into(),
            kafka: Vec::new(),
            group: None,
            store: None,
            topics_dir: None,
            concurrency: settings.concurrency,
            max_in_flight: settings.max_in_flight,
            max_batch: settings.max_batch,
            attempts: settings.retry.attempts,
            retry_first: settings.retry.first,
            retry_longest: settings.retry.longest,
            park_attempts: settings.park.attempts,
            park_first: settings.park.first,
            park_longest: settings.park.longest,
            max_parked_keys: settings.park.max_keys,
            max_parked: settings.park.max_messages,
            max_unpublished: settings.max_unpublished,
            strict: false,
            brake: settings.brake.share,
            inbox_retention: retention.inbox,
            redrivable_retention: retention.redrivable,
            handler_timeout: settings.handler_timeout,
            drain: settings.drain,
            transaction_timeout: TRANSACTION_TIMEOUT,
            admin_listen: None,
            log_format: LogFormat::default(),
            services: ServiceArgs::default(),
        }
    }

    /// Reads the command line and the environment of this process, with the flags `A` that are the worker's own. What is
    /// wrong with it is told, and ends the process with exit code 2.
    pub(crate) fn parse_for<A: Args, H: Handler>(worker: &WorkerBuilder<H>) -> (Self, A) {
        let matches = Self::command::<A, H>(worker).get_matches();
        Self::read(&matches).unwrap_or_else(|error| error.exit())
    }

    fn read<A: Args>(matches: &ArgMatches) -> Result<(Self, A), clap::Error> {
        Ok((
            Self::from_arg_matches(matches)?,
            A::from_arg_matches(matches)?,
        ))
    }

    pub(crate) fn command<A: Args, H: Handler>(worker: &WorkerBuilder<H>) -> Command {
        let name = worker.name;
        let command = Command::new(name)
            .about(worker.about)
            .version(worker.version)
            .after_help(format!(
                "Examples:\n  \
                 {name} --brokers 127.0.0.1:9092 --store sqlite:data/{name}.db\n  \
                 {name} --brokers kafka-1:9092,kafka-2:9092 --store postgres://user:password@db/shop --admin-listen 0.0.0.0:8080\n  \
                 {name} --kafka security.protocol=SASL_SSL --kafka sasl.mechanism=SCRAM-SHA-512\n\n\
                 Exit codes: 0 stopped as it was told, 1 failed, 2 wrong usage. TIME is a number with ms, s, m or h."
            ));
        // The doc comments of the structs are not the worker's description.
        let command = A::augment_args(Self::augment_args(command)).about(worker.about);
        let calls_none = !worker.calls_services;
        command.mut_args(|argument| match argument.get_help_heading() {
            Some(SERVICES) => argument.hide(calls_none),
            _ => argument,
        })
    }

    /// Where the brokers are.
    pub fn connection(&self) -> Connection {
        let properties = self.kafka.iter().filter_map(|property| property.0.clone());
        properties.fold(
            Connection::new(&self.brokers),
            |connection, (name, value)| connection.property(name, value),
        )
    }

    /// The settings of the runtime for the group `group`.
    pub fn settings(&self, group: &str) -> Settings {
        let mut settings = Settings::new(group);
        settings.concurrency = self.concurrency;
        settings.max_in_flight = self.max_in_flight;
        settings.max_batch = self.max_batch;
        settings.max_unpublished = self.max_unpublished;
        settings.handler_timeout = self.handler_timeout;
        settings.drain = self.drain;
        settings.retry = Retry {
            attempts: self.attempts,
            first: self.retry_first,
            longest: self.retry_longest,
            ..settings.retry
        };
        settings.park = Park {
            attempts: self.park_attempts,
            first: self.park_first,
            longest: self.park_longest,
            max_keys: self.max_parked_keys,
            max_messages: self.max_parked,
        };
        if self.strict {
            settings.on_dead = OnDead::HoldKey;
        }
        settings.brake.share = self.brake;
        settings
    }

    /// How long the inbox remembers messages.
    pub fn retention(&self) -> Retention {
        Retention {
            inbox: self.inbox_retention,
            redrivable: self.redrivable_retention,
        }
    }
}

impl FromStr for KafkaProperty {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self(Some((key.trim().into(), value.into()))))
            }
            _ => Err("write KEY=VALUE".into()),
        }
    }
}

fn count() -> impl clap::builder::TypedValueParser<Value = usize> {
    use clap::builder::TypedValueParser;
    RangedU64ValueParser::<u64>::new()
        .range(1..=u32::MAX.into())
        .map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
