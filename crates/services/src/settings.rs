//! The bounds of a call.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// How long a call may take, and how often it is tried.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallSettings {
    /// Time for one try, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// Tries in all, the first one included; at least 1.
    pub tries: u32,
    /// The wait before the second try, up to doubled by jitter; each later wait is twice as long.
    pub first_wait: Duration,
    /// Bytes of an answer. What is longer is no answer.
    pub max_answer: usize,
    /// When a service is no longer asked.
    pub breaker: BreakerSettings,
}

/// When a service is taken to be down, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// Time that is looked back over.
    pub window: Duration,
    /// It does not open before it has seen so many tries in the window.
    pub least: u32,
    /// It opens when this share of them failed.
    pub share: f64,
    /// How long it stays open before one try may probe.
    pub open: Duration,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            tries: 3,
            first_wait: Duration::from_millis(100),
            max_answer: 1024 * 1024,
            breaker: BreakerSettings::default(),
        }
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(10),
            least: 10,
            share: 0.5,
            open: Duration::from_secs(30),
        }
    }
}

impl CallSettings {
    /// The waits between the tries of one call.
    pub(crate) fn waits(&self) -> impl Iterator<Item = Duration> + Send + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.first_wait)
            .with_factor(2.0)
            .without_max_delay()
            .with_max_times(self.tries.saturating_sub(1) as usize)
            .with_jitter()
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_jittered_upwards() {
        let waits: Vec<_> = CallSettings::default().waits().collect();
        assert_eq!(waits.len(), 2, "three tries have two waits between them");
        for (wait, nominal) in waits.iter().zip([100, 200]) {
            let nominal = Duration::from_millis(nominal);
            assert!(*wait >= nominal && *wait <= 2 * nominal, "{wait:?}");
        }
    }
}
