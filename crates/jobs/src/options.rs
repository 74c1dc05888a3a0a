//! How one job wants to be run. What it leaves open is its queue's to say.

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most attempts that a job may ask for.
pub(crate) const MAX_ATTEMPTS: u32 = 1_000;
/// Bytes of a job's id or unique key.
pub(crate) const MAX_NAME_BYTES: usize = 256;

/// What a job asks for; `None` is the queue's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct JobOptions {
    /// Higher ones run first; those of one priority run in the order in which they became due. 0 if it is not given.
    pub priority: i32,
    /// It runs no earlier than this long after it was added, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// It runs no earlier than this; goes before `delayMs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<Timestamp>,
    /// Runs in all, the first one included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_ATTEMPTS))]
    pub attempts: Option<u32>,
    /// The waits between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Time for one run, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub time_limit_ms: Option<u64>,
    /// Whether nothing is kept of it once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove_on_complete: Option<bool>,
    /// While another job of the queue with this key waits or runs, this one is dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_NAME_BYTES))]
    pub unique_key: Option<String>,
}

/// The waits between the runs of a job that fails.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Backoff {
    /// The same each time.
    #[serde(rename_all = "camelCase")]
    Fixed {
        /// The wait, in milliseconds.
        wait_ms: u64,
        /// The share of each wait that is left to chance, from 0 to 1.
        #[serde(default)]
        #[schemars(range(min = 0.0, max = 1.0))]
        jitter: f64,
    },
    /// Twice as long each time.
    #[serde(rename_all = "camelCase")]
    Exponential {
        /// The wait after the first failure, in milliseconds.
        first_ms: u64,
        /// The longest wait, in milliseconds.
        longest_ms: u64,
        /// The share of each wait that is left to chance, from 0 to 1.
        #[serde(default)]
        #[schemars(range(min = 0.0, max = 1.0))]
        jitter: f64,
    },
}

impl Backoff {
    /// The wait after `failed` failures, from 1. `chance`, from 0 to 1, says how much of the jitter is taken away.
    pub fn wait(&self, failed: u32, chance: f64) -> Duration {
        let (wait, jitter) = match *self {
            Self::Fixed { wait_ms, jitter } => (wait_ms, jitter),
            Self::Exponential {
                first_ms,
                longest_ms,
                jitter,
            } => {
                // Forty doublings of a millisecond are thirty years.
                let doublings = failed.saturating_sub(1).min(40);
                let wait = first_ms.saturating_mul(1 << doublings);
                (wait.min(longest_ms), jitter)
            }
        };
        let share = 1.0 - jitter.clamp(0.0, 1.0) * chance.clamp(0.0, 1.0);
        Duration::from_millis(wait).mul_f64(share)
    }
}

impl JobOptions {
    /// What the types alone cannot say.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self
            .attempts
            .is_some_and(|attempts| attempts == 0 || attempts > MAX_ATTEMPTS)
        {
            return Err(format!("attempts must be from 1 to {MAX_ATTEMPTS}"));
        }
        if self.time_limit_ms == Some(0) {
            return Err("timeLimitMs must be above 0".to_owned());
        }
        if let Some(key) = &self.unique_key {
            check_name("uniqueKey", key)?;
        }
        match self.backoff {
            Some(Backoff::Fixed { jitter, .. } | Backoff::Exponential { jitter, .. })
                if !(0.0..=1.0).contains(&jitter) =>
            {
                Err("backoff.jitter must be from 0 to 1".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// A text that stands in an index, a path or a header.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(format!("{field} must have 1 to {MAX_NAME_BYTES} bytes"));
    }
    if name.chars().any(char::is_control) {
        return Err(format!("{field} holds a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_waits_double_up_to_the_longest() {
        let backoff = Backoff::Exponential {
            first_ms: 100,
            longest_ms: 1_000,
            jitter: 0.0,
        };
        let waits = [1, 2, 3, 4, 5, 1_000].map(|failed| backoff.wait(failed, 1.0).as_millis());
        assert_eq!(waits, [100, 200, 400, 800, 1_000, 1_000]);
    }

    #[test]
    fn jitter_takes_away_no_more_than_its_share() {
        let backoff = Backoff::Fixed {
            wait_ms: 1_000,
            jitter: 0.25,
        };
        let waits = [0.0, 0.5, 1.0].map(|chance| backoff.wait(7, chance).as_millis());
        assert_eq!(waits, [1_000, 875, 750]);
    }

    #[test]
    fn options_that_make_no_sense_are_named() {
        for (options, field) in [
            (
                JobOptions {
                    attempts: Some(0),
                    ..JobOptions::default()
                },
                "attempts",
            ),
            (
                JobOptions {
                    time_limit_ms: Some(0),
                    ..JobOptions::default()
                },
                "timeLimitMs",
            ),
            (
                JobOptions {
                    unique_key: Some(String::new()),
                    ..JobOptions::default()
                },
                "uniqueKey",
            ),
            (
                JobOptions {
                    backoff: Some(Backoff::Fixed {
                        wait_ms: 1,
                        jitter: 2.0,
                    }),
                    ..JobOptions::default()
                },
                "backoff.jitter",
            ),
        ] {
            let reason = options.check().expect_err(field);
            assert!(reason.contains(field), "{reason}");
        }
        assert_eq!(JobOptions::default().check(), Ok(()));
    }
}
