//! `longshore broker`: the embedded broker alone, until Ctrl-C or SIGTERM.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::FalseyValueParser;
use longshore::stop_signal;
use longshore_broker::{Broker, BrokerConfig};
use serde_json::json;

use crate::arguments::Global;
use crate::output::{note, warn_on_standard_error};

#[derive(Debug, Args)]
#[command(after_help = "\
The embedded broker is for development: one node, no replication, no authentication. \
Records, topics and committed offsets survive a restart.

Examples:
  longshore broker
  longshore broker --listen 127.0.0.1:19092 --data /tmp/kafka
  longshore broker --listen 0.0.0.0:9092 --allow-remote")]
pub(crate) struct BrokerArguments {
    /// Where clients connect; port 0 takes a free one
    #[arg(
        long,
        env = "LONGSHORE_LISTEN",
        default_value = "127.0.0.1:9092",
        value_name = "ADDR"
    )]
    listen: SocketAddr,
    /// The directory that keeps records, topics and groups
    #[arg(
        long,
        env = "LONGSHORE_DATA",
        default_value = ".longshore/broker",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// Listen on an address that other machines can reach
    #[arg(long, env = "LONGSHORE_ALLOW_REMOTE", value_parser = FalseyValueParser::new())]
    allow_remote: bool,
}

pub(crate) async fn run(global: &Global, arguments: BrokerArguments) -> anyhow::Result<()> {
    warn_on_standard_error();
    let stop = stop_signal()?;
    let mut config = BrokerConfig::new(&arguments.data);
    config.listen = arguments.listen;
    config.allow_remote = arguments.allow_remote;
    let broker = Broker::start(config).await?;
    let output = global.output();
    let brokers = broker.bootstrap();
    if output.json {
        output.json(&json!({"brokers": brokers, "data": arguments.data}))?;
    } else {
        output.line(format_args!("listening on {brokers}"))?;
    }
    note(format_args!(
        "For development only: one node, no replication, no authentication. Data in {}; Ctrl-C stops.",
        arguments.data.display()
    ));
    stop.await;
    broker.shutdown().await;
    Ok(())
}
