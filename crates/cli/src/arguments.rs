//! What every command takes: where the brokers are, and how to print.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser};
use longshore::{KafkaProperty, secret};
use longshore_kafka::Connection;

use crate::command::Command;
use crate::output::Output;

/// Kafka event workers: topics, events, dead letters and consumer groups from the command line.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  longshore up                                       all of it on this machine, with sample orders
  longshore broker                                   a Kafka for this machine, on 127.0.0.1:9092
  longshore sandbox                                  services that stand in for real ones, on 127.0.0.1:8091
  longshore topics apply                             make the topics as topics/*.toml say
  longshore produce order.created --file orders.jsonl
  longshore tail order.created order.paid --from beginning --exit
  longshore dlq stats order.created                  what failed for good, by its cause
  longshore dlq redrive order.created --yes          back to the consumer group that failed
  longshore jobs list                                what is to be done, and what failed
  longshore groups describe order-created

Exit codes: 0 done, 1 failed, 2 wrong usage. Every flag can also be given as the environment variable that its help \
names.";

/// Options that every command has.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Kafka brokers, `host:port`, separated by commas [default: 127.0.0.1:9092]
    #[arg(
        long = "brokers",
        global = true,
        env = "KAFKA_BROKERS",
        value_name = "HOST:PORT"
    )]
    pub(crate) given_brokers: Option<String>,
    /// Any librdkafka property, such as `security.protocol=SASL_SSL`; may be repeated. In the environment: one a line.
    #[arg(
        long,
        global = true,
        env = "LONGSHORE_KAFKA",
        value_name = "KEY=VALUE",
        value_delimiter = '\n',
        hide_env_values = true,
        value_parser = secret(KafkaProperty::from_str)
    )]
    pub(crate) kafka: Vec<KafkaProperty>,
    /// Print JSON instead of text.
    #[arg(long, global = true, env = "LONGSHORE_JSON", value_parser = FalseyValueParser::new())]
    pub(crate) json: bool,
}

impl Global {
    /// Where the brokers are, or would be by default.
    pub(crate) fn brokers(&self) -> &str {
        self.given_brokers.as_deref().unwrap_or("127.0.0.1:9092")
    }

    pub(crate) fn connection(&self) -> Connection {
        let properties = self.kafka.iter().filter_map(|property| property.0.clone());
        properties.fold(
            Connection::new(self.brokers()),
            |connection, (name, value)| connection.property(name, value),
        )
    }

    pub(crate) fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// Where the topic files are.
#[derive(Clone, Debug, Args)]
pub(crate) struct TopicsDir {
    /// The directory of the topic files (`*.toml`) [default: topics]
    #[arg(long = "topics-dir", env = "LONGSHORE_TOPICS_DIR", value_name = "DIR", value_parser = directory)]
    pub(crate) given_topics_dir: Option<PathBuf>,
}

impl TopicsDir {
    /// The directory that was named, which is there, or the default, which may not be.
    pub(crate) fn path(&self) -> &Path {
        self.given_topics_dir
            .as_deref()
            .unwrap_or(Path::new("topics"))
    }
}

/// Whoever names a directory means one that is there; what it would check must not go unchecked for a slip.
fn directory(text: &str) -> Result<PathBuf, String> {
    match Path::new(text).is_dir() {
        true => Ok(text.into()),
        false => Err("there is no such directory".into()),
    }
}

/// Splits `key=value` at the first `=`.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().into(), value.into())),
        _ => Err("write KEY=VALUE".into()),
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

    #[test]
    fn every_command_has_examples_and_every_flag_an_environment_variable() {
        fn check(command: &clap::Command) {
            let name = command.get_name();
            assert!(
                command
                    .get_after_help()
                    .is_some_and(|help| help.to_string().contains("Example")),
                "{name} has no examples"
            );
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let has_variable = argument.get_env().is_some() || argument.is_positional();
                assert!(has_variable, "{name} --{id} has no variable");
                let may_have_password = matches!(id, "store" | "kafka");
                let hides = argument.is_hide_env_values_set();
                assert_eq!(hides, may_have_password, "{name} --{id} in --help");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Arguments::command());
    }

    #[test]
    fn properties_keep_what_follows_the_first_equals_sign() {
        let arguments = Arguments::parse_from([
            "longshore",
            "groups",
            "list",
            "--kafka",
            "sasl.password=a=b;c,d",
            "--brokers",
            "k:1",
        ]);
        let connection = arguments.global.connection();
        assert_eq!(connection.brokers, "k:1");
        assert_eq!(
            connection.properties,
            [("sasl.password".into(), "a=b;c,d".into())]
        );
    }
}
