//! The flags that the worker of order expiry has beside those of every worker.

use std::time::Duration;

use clap::Args;
use longshore::parse_duration;

/// A day, for most customers' second thoughts.
const EXPIRE_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// Ten years. Whoever wants longer wants no expiry, and need not run the worker.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// How long an order may stay unpaid.
#[derive(Clone, Copy, Debug, Args)]
pub struct ExpiryArguments {
    /// Time to pay, from the moment the order was placed; at most ten years
    #[arg(long, env = "LONGSHORE_EXPIRE_AFTER", default_value = "24h", value_name = "TIME", value_parser = expire_after)]
    pub expire_after: Duration,
}

impl Default for ExpiryArguments {
    fn default() -> Self {
        Self {
            expire_after: EXPIRE_AFTER,
        }
    }
}

fn expire_after(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        time if time <= LONGEST => Ok(time),
        _ => Err("at most ten years, which are 87600h".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn parse(arguments: &[&str]) -> Result<ExpiryArguments, clap::Error> {
        let command = ExpiryArguments::augment_args(Command::new("order-expiry"));
        let arguments = ["order-expiry"].iter().chain(arguments);
        ExpiryArguments::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    #[test]
    fn the_default_is_a_day_on_the_command_line_and_off_it() {
        let parsed = parse(&[]).expect("valid");
        assert_eq!(parsed.expire_after, ExpiryArguments::default().expire_after);
        assert_eq!(parsed.expire_after, Duration::from_secs(86_400));
    }

    #[test]
    fn more_than_ten_years_are_wrong_usage() {
        assert!(parse(&["--expire-after", "87600h"]).is_ok());
        let error = parse(&["--expire-after", "87601h"]).expect_err("too long");
        assert_eq!(error.exit_code(), 2);
    }
}
