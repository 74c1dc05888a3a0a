//! The command line of the API; each flag is also an environment variable.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use clap::Parser;
use clap::builder::{FalseyValueParser, RangedU64ValueParser};
use longshore::{KafkaProperty, LogFormat, WorkerArgs, parse_duration, secret};
use longshore_kafka::Connection;
use longshore_services::ClientError;
use longshore_store::StoreUrl;
use reqwest::Url;

use crate::AnalyticsWorker;
use crate::analytics::parse_url;
use crate::http::Limits;

/// The HTTP API of the order system: users and orders
#[derive(Clone, Debug, Parser)]
#[command(
    name = "api",
    version,
    after_help = "\
Nobody is asked who he is: keep it behind what does that.

Examples:
  api --brokers 127.0.0.1:9092 --store sqlite:data/api.db --view-store sqlite:data/order-view.db
  api --brokers kafka-1:9092 --store postgres://user:password@db/shop --listen 0.0.0.0:8090
  api --store postgres://user:password@db/shop --no-projection --read-store postgres://user:password@replica/shop

Exit codes: 0 stopped as it was told, 1 failed, 2 wrong usage. TIME is a number with ms, s, m or h."
)]
#[non_exhaustive]
pub struct ApiArgs {
    /// Where to listen
    #[arg(long, env = "LONGSHORE_API_LISTEN", default_value_t = SocketAddr::from((Ipv4Addr::LOCALHOST, Self::PORT)), value_name = "ADDR")]
    pub listen: SocketAddr,
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
    /// Where users and orders are kept: `sqlite:PATH`, or `postgres://…` to run several instances [default: sqlite:api.db]
    #[arg(
        long,
        env = "LONGSHORE_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret(StoreUrl::from_str)
    )]
    pub store: Option<StoreUrl>,
    /// Where the projection is kept [default: --store if that is PostgreSQL, or sqlite:order-view.db]
    #[arg(
        long,
        env = "LONGSHORE_VIEW_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret(StoreUrl::from_str)
    )]
    pub view_store: Option<StoreUrl>,
    /// Do not keep the projection in this process: workers `order-view` do. Needs PostgreSQL
    #[arg(long, env = "LONGSHORE_NO_PROJECTION", value_parser = FalseyValueParser::new())]
    pub no_projection: bool,
    /// Read the projection from a replica of --view-store
    #[arg(
        long,
        env = "LONGSHORE_READ_STORE",
        value_name = "URL",
        hide_env_values = true,
        value_parser = secret(StoreUrl::from_str)
    )]
    pub read_store: Option<StoreUrl>,
    /// Where the analytics worker serves its --admin-listen, as in http://host:8080; without it, /analytics answers 503
    #[arg(long, env = "ANALYTICS_URL", value_name = "URL", hide_env_values = true, value_parser = secret(parse_url))]
    pub analytics_url: Option<Url>,
    /// Requests that are answered at once; beyond that they are refused with 503
    #[arg(long, env = "LONGSHORE_API_CONCURRENCY", default_value_t = Limits::default().concurrency, value_name = "N", value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub concurrency: usize,
    /// Time for one request
    #[arg(long, env = "LONGSHORE_API_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Duration,
    /// Time to finish what is in flight when the API stops
    #[arg(long, env = "LONGSHORE_DRAIN", default_value = "25s", value_name = "TIME", value_parser = parse_duration)]
    pub drain: Duration,
    /// Serve /healthz, /readyz, /status and /metrics of the worker that keeps the projection here
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
}

impl ApiArgs {
    /// The port unless told otherwise.
    pub const PORT: u16 = 8090;

    /// The defaults, for an API inside another process, on any free port. The environment is not looked at.
    pub fn new(brokers: impl Into<String>) -> Self {
        let limits = Limits::default();
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            brokers: brokers.into(),
            kafka: Vec::new(),
            store: None,
            view_store: None,
            no_projection: false,
            read_store: None,
            analytics_url: None,
            concurrency: limits.concurrency,
            timeout: limits.timeout,
            drain: WorkerArgs::new("").drain,
            admin_listen: None,
            log_format: LogFormat::default(),
        }
    }

    /// Where the brokers are.
    pub fn connection(&self) -> Connection {
        self.worker().connection()
    }

    /// Where users and orders are kept.
    pub(crate) fn store(&self) -> StoreUrl {
        let store = self.store.clone();
        store.unwrap_or_else(|| StoreUrl::sqlite(format!("{}.db", crate::GROUP)))
    }

    /// Where the projection is kept.
    pub(crate) fn view_store(&self) -> StoreUrl {
        let shared = self.store.clone().filter(StoreUrl::is_shared);
        let given = self.view_store.clone().or(shared);
        given.unwrap_or_else(|| StoreUrl::sqlite(format!("{}.db", crate::VIEW_GROUP)))
    }

    /// The worker that keeps the projection.
    pub(crate) fn worker(&self) -> WorkerArgs {
        let mut args = WorkerArgs::new(&self.brokers);
        args.kafka = self.kafka.clone();
        args.store = Some(self.view_store());
        args.drain = self.drain;
        args.admin_listen = self.admin_listen;
        args
    }

    /// Who counts orders and revenue.
    pub(crate) fn analytics(&self) -> Result<AnalyticsWorker, ClientError> {
        let worker = self.analytics_url.clone().map(AnalyticsWorker::at);
        Ok(worker.transpose()?.unwrap_or_default())
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            concurrency: self.concurrency,
            timeout: self.timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_every_flag_has_a_variable() {
        let command = ApiArgs::command();
        command.clone().debug_assert();
        for argument in command.get_arguments() {
            let id = argument.get_id().as_str();
            assert!(argument.get_env().is_some(), "{id}");
            let may_have_password = ["store", "kafka", "url"]
                .iter()
                .any(|end| id.ends_with(end));
            assert_eq!(argument.is_hide_env_values_set(), may_have_password, "{id}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for arguments in [
            ["--concurrency", "0"],
            ["--timeout", "soon"],
            ["--listen", "here"],
            ["--read-store", "mysql://s3cret@host"],
            ["--analytics-url", "analytics:8080"],
            ["--analytics-url", "ftp://user:s3cret@analytics"],
        ] {
            let parsed = ApiArgs::try_parse_from(["api"].into_iter().chain(arguments));
            let error = parsed.expect_err(arguments[0]);
            assert_eq!(error.exit_code(), 2, "{arguments:?}");
            let text = error.to_string();
            assert!(!text.contains("s3cret"), "{text}");
        }
    }

    #[test]
    fn the_projection_is_beside_the_users_where_that_can_be() {
        let mut args = ApiArgs::new("k:1");
        assert!(!args.view_store().is_shared());
        args.store = "postgres://u@h/d".parse().ok();
        assert_eq!(args.view_store().to_string(), args.store().to_string());
    }
}
