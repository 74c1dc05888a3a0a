//! Numbers of a worker, read from the metrics that it also serves to Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// What a worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Numbers {
    /// Messages handled and committed.
    pub(super) handled: u64,
    /// Runs of the handler that failed.
    pub(super) failed: u64,
    /// Messages given up.
    pub(super) dead: u64,
    /// Messages read and not finished.
    pub(super) in_flight: u64,
}

impl Numbers {
    pub(super) fn read(registry: &Registry) -> Self {
        let mut text = String::new();
        // Writing to a string does not fail; without the text, the numbers are zero.
        encode(&mut text, registry).ok();
        Self::parse(&text)
    }

    fn parse(text: &str) -> Self {
        Self {
            handled: sum(text, "longshore_handled_messages_total"),
            failed: sum(text, "longshore_failed_attempts_total"),
            dead: sum(text, "longshore_dead_lettered_messages_total"),
            in_flight: sum(text, "longshore_in_flight_messages"),
        }
    }
}

/// The sum of a metric over its labels, of which no value holds a space.
fn sum(text: &str, metric: &str) -> u64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(metric)?;
        let value = rest
            .starts_with(['{', ' '])
            .then(|| rest.rsplit(' ').next())??;
        value.parse::<u64>().ok()
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_summed_over_labels() {
        let text = "# HELP longshore_handled_messages Messages\n\
            longshore_handled_messages_total{topic=\"a\"} 3\n\
            longshore_handled_messages_total{topic=\"b\"} 4\n\
            longshore_in_flight_messages 2\n# EOF\n";
        let numbers = Numbers::parse(text);
        assert_eq!(
            (numbers.handled, numbers.in_flight, numbers.failed),
            (7, 2, 0)
        );
    }
}
