//! The flags that the worker of notifications has beside those of every worker.

use std::time::Duration;

use clap::Args;
use longshore::parse_duration;

use super::AddressPattern;

/// Longer than a group that begins anew needs to read the users.
const PATIENCE: Duration = Duration::from_secs(5 * 60);
/// A week. Mails that are older tell nobody anything new.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What to do about mails whose user is not known.
#[derive(Clone, Debug, Args)]
pub struct NotificationArguments {
    /// How long a mail waits for the events that say whom it is for; at most a week
    #[arg(long, env = "LONGSHORE_MAIL_PATIENCE", default_value = "5m", value_name = "TIME", value_parser = patience)]
    pub patience: Duration,
    /// Where it goes if they have not come by then, as in `{userId}@example.com` [default: nowhere]
    #[arg(long, env = "LONGSHORE_UNKNOWN_ADDRESS", value_name = "ADDRESS")]
    pub unknown_address: Option<AddressPattern>,
}

impl Default for NotificationArguments {
    fn default() -> Self {
        Self {
            patience: PATIENCE,
            unknown_address: None,
        }
    }
}

fn patience(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time <= LONGEST => Ok(time),
        _ => Err("at most a week, which is 168h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn parse(arguments: &[&str]) -> Result<NotificationArguments, clap::Error> {
        let command = NotificationArguments::augment_args(Command::new("notifications"));
        let arguments = ["notifications"].iter().chain(arguments);
        NotificationArguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn the_defaults_are_the_same_on_the_command_line_and_off_it() {
        let (parsed, default) = (parse(&[]).expect("valid"), NotificationArguments::default());
        assert_eq!(parsed.patience, default.patience);
        assert_eq!(parsed.unknown_address, default.unknown_address);
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for arguments in [["--patience", "169h"], ["--unknown-address", "nobody"]] {
            let error = parse(&arguments).expect_err(arguments[0]);
            assert_eq!(error.exit_code(), 2);
        }
    }
}
