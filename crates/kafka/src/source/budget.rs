//! How many more records may be delivered: spent before a record is taken, given back when it is finished.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use longshore_worker::REDRIVE_RESERVE;

/// A budget of records.
#[derive(Debug)]
pub(super) struct Budget {
    total: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Below zero by the few records that came although there was none left.
    left: i64,
    /// Whether the taker waits elsewhere, and wants to hear when half of the budget is back.
    paused: bool,
    /// Whether the reserve for redrives is used up too, and the taker wants to hear when half of it is back.
    shut: bool,
}

impl Budget {
    pub(super) fn new(total: usize) -> Self {
        let state = State {
            left: signed(total),
            paused: false,
            shut: false,
        };
        Self {
            total,
            state: Mutex::new(state),
            freed: Condvar::new(),
        }
    }

    /// Spends up to `most`; returns how many. None while paused.
    pub(super) fn take(&self, most: usize) -> usize {
        let mut state = self.lock();
        if state.paused || state.left <= 0 {
            return 0;
        }
        let taken = most.min(usize::try_from(state.left).unwrap_or(0));
        state.left -= signed(taken);
        taken
    }

    /// Spends although there may be none left: for records that can no longer be refused.
    pub(super) fn overdraw(&self, count: usize) {
        self.lock().left -= signed(count);
    }

    /// Gives back. Returns whether the taker, who had paused, should be woken: half of the budget is back, or of the reserve.
    pub(super) fn release(&self, count: usize) -> bool {
        let mut state = self.lock();
        state.left = (state.left + signed(count)).min(signed(self.total));
        if state.paused && self.is_half_back(&state) {
            state.paused = false;
            state.shut = false;
            return true;
        }
        if !state.paused {
            self.freed.notify_one();
        }
        let opens = state.shut && state.left >= -signed(REDRIVE_RESERVE / 2);
        state.shut &= !opens;
        opens
    }

    /// Whether the reserve for redrives is used up. Once it is, it counts as that until half of it is back.
    pub(super) fn is_shut(&self) -> bool {
        let mut state = self.lock();
        state.shut |= state.left <= -signed(REDRIVE_RESERVE);
        state.shut
    }

    /// Waits until something is left, [`Budget::wake`], or `within` has passed; returns whether something is left.
    pub(super) fn wait(&self, within: Duration) -> bool {
        let state = self.lock();
        if state.left > 0 {
            return true;
        }
        let waited = self.freed.wait_timeout(state, within);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.left > 0
    }

    /// Ends a wait.
    pub(super) fn wake(&self) {
        self.freed.notify_one();
    }

    /// Says that the taker waits elsewhere until half of the budget is back; `false` if it is already.
    pub(super) fn pause(&self) -> bool {
        let mut state = self.lock();
        state.paused = !self.is_half_back(&state);
        state.paused
    }

    /// Whether the pause is still on.
    pub(super) fn is_paused(&self) -> bool {
        self.lock().paused
    }

    fn is_half_back(&self, state: &State) -> bool {
        state.left >= signed(self.total.div_ceil(2))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_taken_than_is_left() {
        let budget = Budget::new(3);
        assert_eq!(budget.take(2), 2);
        assert_eq!(budget.take(2), 1);
        assert_eq!(budget.take(2), 0);
        budget.release(2);
        assert_eq!(budget.take(9), 2);
    }

    #[test]
    fn the_reserve_opens_again_when_half_of_it_is_back() {
        let budget = Budget::new(2);
        assert_eq!(budget.take(2), 2);
        assert!(budget.pause());
        budget.overdraw(REDRIVE_RESERVE);
        assert!(budget.is_shut());

        assert!(!budget.release(REDRIVE_RESERVE / 2 - 1));
        assert!(budget.is_shut());
        assert!(budget.release(1), "half is back");
        assert!(!budget.is_shut());
        assert!(budget.is_paused(), "others still wait");
    }

    #[test]
    fn a_pause_ends_when_half_of_the_budget_is_back() {
        let budget = Budget::new(4);
        assert_eq!(budget.take(4), 4);
        assert!(budget.pause());
        assert!(!budget.release(1), "a quarter is back");
        assert_eq!(budget.take(1), 0, "paused");
        assert!(budget.release(1), "half is back");
        assert!(!budget.is_paused());
        assert_eq!(budget.take(4), 2);
    }

    #[test]
    fn what_was_overdrawn_is_paid_back_first() {
        let budget = Budget::new(2);
        assert_eq!(budget.take(2), 2);
        budget.overdraw(1);
        budget.release(1);
        assert_eq!(budget.take(1), 0);
        budget.release(1);
        assert_eq!(budget.take(1), 1);
    }

    #[test]
    fn more_than_the_total_never_comes_back() {
        let budget = Budget::new(2);
        budget.release(5);
        assert_eq!(budget.take(5), 2);
    }
}
