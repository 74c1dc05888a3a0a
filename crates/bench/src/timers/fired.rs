//! What has fired so far: each timer once, none before its time, and how late.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;

use super::plan::{Alarm, Plan};

/// What the runtime promises: one timer in a hundred may be later.
const PROMISED: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Fired {
    plan: Plan,
    /// By number; `None` until it has fired.
    lateness: Vec<Option<Duration>>,
    count: usize,
}

impl Fired {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            lateness: vec![None; plan.timers],
            count: 0,
        }
    }

    /// Takes in an alarm that carries the time of its publication and was read at `read_at`.
    ///
    /// # Errors
    /// Of an alarm that must not be: a second one of a timer, one before its time, or one that nobody has set.
    pub(super) fn take(
        &mut self,
        alarm: &Alarm,
        published_at: Timestamp,
        read_at: Timestamp,
    ) -> anyhow::Result<()> {
        let number = alarm.number;
        let before = self
            .lateness
            .get_mut(number)
            .with_context(|| format!("timer {number} fired, which was never set"))?;
        ensure!(before.is_none(), "timer {number} fired twice");
        ensure!(
            alarm.due == self.plan.due(number),
            "timer {number} says that it was due at {}",
            alarm.due
        );
        let due = Timestamp::from_millisecond(alarm.due)?;
        ensure!(
            published_at >= due,
            "timer {number} was published {} before its time",
            due.duration_since(published_at)
        );
        let late = Duration::try_from(read_at.duration_since(due));
        *before = Some(late.with_context(|| format!("timer {number} was read before its time"))?);
        self.count += 1;
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_complete(&self) -> bool {
        self.count == self.lateness.len()
    }

    pub(super) fn lateness(&self) -> Lateness {
        let mut sorted: Vec<Duration> = self.lateness.iter().flatten().copied().collect();
        sorted.sort();
        Lateness(sorted)
    }
}

/// How late those that have fired were when they were read, in ascending order.
#[derive(Debug)]
pub(super) struct Lateness(Vec<Duration>);

impl Lateness {
    /// The smallest lateness that so many of a hundred timers do not exceed. Zero if there are no timers.
    fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100);
        let found = self.0.get(rank.saturating_sub(1));
        found.copied().unwrap_or_default()
    }

    /// Whether 99 of 100 timers were in time.
    pub(super) fn is_as_promised(&self) -> bool {
        self.percentile(99) < PROMISED
    }
}

impl std::fmt::Display for Lateness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "late by p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
            self.percentile(50),
            self.percentile(99),
            self.percentile(100)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        timers: 200,
        first_due: 1_000_000,
        over: 1_000,
    };

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(millisecond).expect("a time")
    }

    fn alarm(number: usize) -> Alarm {
        Alarm {
            key: String::new(),
            number,
            due: PLAN.due(number),
        }
    }

    /// Fires a timer so many milliseconds after it is due.
    fn fire(fired: &mut Fired, number: usize, late: i64) -> anyhow::Result<()> {
        let moment = at(PLAN.due(number) + late);
        fired.take(&alarm(number), moment, moment)
    }

    #[test]
    fn a_run_is_complete_when_each_timer_has_fired() {
        let mut fired = Fired::new(PLAN);
        for number in 0..PLAN.timers {
            assert!(!fired.is_complete());
            fire(&mut fired, number, 0).expect("in time");
        }
        assert!(fired.is_complete());
    }

    #[test]
    fn a_timer_that_fires_twice_is_refused() {
        let mut fired = Fired::new(PLAN);
        fire(&mut fired, 7, 0).expect("once");
        fire(&mut fired, 7, 0).expect_err("twice");
        assert_eq!(fired.count(), 1);
    }

    #[test]
    fn a_timer_that_is_published_before_its_time_is_refused() {
        let mut fired = Fired::new(PLAN);
        let due = PLAN.due(7);
        fired
            .take(&alarm(7), at(due - 1), at(due + 5))
            .expect_err("early");
        assert_eq!(fired.count(), 0);
    }

    #[test]
    fn a_timer_that_nobody_has_set_is_refused() {
        let mut fired = Fired::new(PLAN);
        fire(&mut fired, PLAN.timers, 0).expect_err("unknown");
    }

    #[test]
    fn one_timer_in_a_hundred_may_be_later_than_promised() {
        let mut fired = Fired::new(PLAN);
        for number in 0..PLAN.timers {
            let late = if number < 2 { 5_000 } else { 10 };
            fire(&mut fired, number, late).expect("in time");
        }
        assert!(fired.lateness().is_as_promised());
        let text = fired.lateness().to_string();
        assert_eq!(text, "late by p50 10.0ms, p99 10.0ms, at most 5.0s");

        let mut fired = Fired::new(PLAN);
        for number in 0..PLAN.timers {
            let late = if number < 3 { 5_000 } else { 10 };
            fire(&mut fired, number, late).expect("in time");
        }
        assert!(!fired.lateness().is_as_promised());
    }
}
