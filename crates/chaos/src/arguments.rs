//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use longshore::{WorkerArgs, parse_duration};
use longshore_testkit::broker::BrokerKind;

/// Disturb worker processes on Apache Kafka and PostgreSQL for a while, then judge what is left.
///
/// Worker processes are killed with -9, stopped until their partitions have moved and woken again, cut off from Kafka,
/// from the database or from both; Kafka and PostgreSQL are restarted and killed. At the end every message must have
/// exactly one end, every effect must be there once, and each key's effects in order. With `--strategy transaction`
/// there is no database, and readers of committed records must see each message's output exactly once.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  longshore-chaos --for 60s
  longshore-chaos --for 30m --workers 5 --rate 1000
  longshore-chaos --seed 17 --json
  longshore-chaos --strategy transaction --protocol consumer
  longshore-chaos --no-network

Exit codes: 0 all promises kept, 1 a promise broken or the run failed, 2 wrong usage. TIME is a number with ms, s, m or h."
)]
pub(crate) struct Arguments {
    /// How long to disturb; then everything is mended and must come to an end
    #[arg(long = "for", default_value = "60s", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lasts: Duration,
    /// Decides what is disturbed when, and what is produced; drawn and printed if not given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// What makes effects true
    #[arg(long, value_enum, default_value_t)]
    pub(crate) strategy: Strategy,
    /// How the workers are a group
    #[arg(long, value_enum, default_value_t)]
    pub(crate) protocol: Protocol,
    /// Worker processes
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) workers: u8,
    /// Partitions of each topic
    #[arg(long, default_value_t = 12, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) partitions: u8,
    /// Different keys
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) keys: u32,
    /// Messages a second
    #[arg(long, default_value_t = 300, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,
    /// How long it may take until all is finished once all is mended
    #[arg(long, default_value = "2m", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) settle: Duration,
    /// What stands in for Kafka
    #[arg(long, value_enum, default_value_t)]
    pub(crate) broker: Broker,
    /// Do not cut the network, which needs root
    #[arg(long)]
    pub(crate) no_network: bool,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Directory for the workers' logs and what the judge read; kept if given, and after a failure
    #[arg(long, value_name = "DIR")]
    pub(crate) scratch: Option<PathBuf>,
    /// Set by the program itself: it runs inside the namespaces of this name
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) inside: Option<String>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// One of the worker processes
    #[command(hide = true)]
    Worker(Box<WorkerCommand>),
}

/// What a worker process is started with.
#[derive(Clone, Debug, Args)]
pub(crate) struct WorkerCommand {
    /// Its name in the rows that it writes
    #[arg(long)]
    pub(crate) instance: String,
    /// What makes effects true
    #[arg(long, value_enum)]
    pub(crate) strategy: Strategy,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
}

/// How the workers make a message's effects true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// A transaction in PostgreSQL, published from the outbox
    #[default]
    Store,
    /// A transaction in Kafka, without PostgreSQL; a message that outlasts its immediate runs is dead
    Transaction,
}

impl Strategy {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Transaction => "transaction",
        }
    }

    /// Whether a message that outlasts its immediate runs waits for later ones, instead of being dead.
    pub(crate) fn parks(self) -> bool {
        self == Self::Store
    }

    /// Whether a crash may publish again what was published, under the same id. Otherwise readers of committed records
    /// see what a record of the log causes exactly once.
    pub(crate) fn repeats_outputs(self) -> bool {
        self == Self::Store
    }
}

/// How the workers are a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Protocol {
    /// Its members divide the partitions among themselves
    #[default]
    Classic,
    /// The broker assigns them (KIP-848)
    Consumer,
}

impl Protocol {
    /// Its name on the command line, and as librdkafka's `group.protocol`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Consumer => "consumer",
        }
    }
}

/// Which broker is disturbed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Broker {
    /// Apache Kafka, fetched by Maven, on the machine's Java
    #[default]
    Apache,
    /// `longshore-broker`; it is restarted but not killed
    Embedded,
}

impl Broker {
    pub(crate) fn kind(self) -> BrokerKind {
        match self {
            Self::Apache => BrokerKind::Apache,
            Self::Embedded => BrokerKind::Embedded,
        }
    }
}

impl Arguments {
    /// Whether this process has yet to make the namespaces, and to run itself inside them.
    pub(crate) fn needs_network(&self) -> bool {
        !self.no_network && self.inside.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
