//! When a repeatable job is to be run: a cron expression, in UTC.

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A cron expression of five fields, or of six with seconds first: `*/5 * * * *`, `0 30 4 * * MON`.
#[derive(Clone, Debug)]
pub(crate) struct Schedule(Cron);

impl Schedule {
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Optional).build();
        let cron = parser
            .parse(text)
            .map_err(|error| format!("cron {text:?} is no cron expression: {error}"))?;
        Ok(Self(cron))
    }

    /// The first occurrence after `moment`; `None` if there is none, as with the 30th of February.
    pub(crate) fn after(&self, moment: Timestamp) -> Option<Timestamp> {
        let moment = moment.to_zoned(TimeZone::UTC);
        let next = self.0.find_next_occurrence(&moment, false).ok()?;
        Some(next.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrences(cron: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(cron).expect(cron);
        let from = from.parse().expect("a time");
        let all = std::iter::successors(schedule.after(from), |last| schedule.after(*last));
        all.take(count).map(|at| at.to_string()).collect()
    }

    #[test]
    fn occurrences_follow_each_other_in_utc() {
        assert_eq!(
            occurrences("*/20 * * * *", "2026-11-26T10:39:59Z", 3),
            [
                "2026-11-26T10:40:00Z",
                "2026-11-26T11:00:00Z",
                "2026-11-26T11:20:00Z"
            ]
        );
        assert_eq!(
            occurrences("30 4 * * MON", "2026-11-26T00:00:00Z", 2),
            ["2026-11-30T04:30:00Z", "2026-12-07T04:30:00Z"]
        );
        assert_eq!(
            occurrences("*/2 * * * * *", "2026-11-26T00:00:58Z", 2),
            ["2026-11-26T00:01:00Z", "2026-11-26T00:01:02Z"]
        );
        assert_eq!(
            occurrences("0 0 29 2 *", "2026-11-26T00:00:00Z", 1),
            ["2028-02-29T00:00:00Z"]
        );
    }

    #[test]
    fn what_never_comes_and_what_is_no_expression_are_told_apart() {
        let never = Schedule::parse("0 0 30 2 *");
        assert!(
            never.is_err() || never.is_ok_and(|never| never.after(Timestamp::UNIX_EPOCH).is_none())
        );
        for wrong in ["", "* * * *", "61 * * * *", "every day"] {
            let reason = Schedule::parse(wrong).expect_err(wrong);
            assert!(reason.contains("no cron expression"), "{reason}");
        }
    }
}
