//! What a running job says of itself, on its way to the store: bounded, whatever the job does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines of one run that wait for the store, and lines of a job that the store keeps. At the bound the oldest go.
pub(crate) const MAX_LINES: usize = 200;
/// Bytes of a line; the rest is cut.
const MAX_LINE_BYTES: usize = 1_024;

/// Shared by a run and whoever takes its notes to the store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    progress: Option<u8>,
    lines: VecDeque<String>,
    /// Lines so far, those that were dropped included.
    count: u64,
}

/// What is new.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) progress: Option<u8>,
    /// Lines with their numbers within the run, counted from 1.
    pub(crate) lines: Vec<(u64, String)>,
}

impl Notes {
    pub(crate) fn progress(&self, percent: u8) {
        self.inner().progress = Some(percent);
    }

    pub(crate) fn log(&self, mut line: String) {
        line.truncate(line.floor_char_boundary(MAX_LINE_BYTES));
        let mut inner = self.inner();
        if inner.lines.len() == MAX_LINES {
            inner.lines.pop_front();
        }
        // PostgreSQL takes no NUL in a text.
        inner.lines.push_back(line.replace('\0', "\u{fffd}"));
        inner.count += 1;
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.inner().lines.iter().cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner();
        inner.progress.is_none() && inner.lines.is_empty()
    }

    pub(crate) fn take(&self) -> Taken {
        let mut inner = self.inner();
        let first = inner.count - inner.lines.len() as u64 + 1;
        Taken {
            progress: inner.progress.take(),
            lines: (first..).zip(inner.lines.drain(..)).collect(),
        }
    }

    /// What could not be taken to the store.
    pub(crate) fn give_back(&self, taken: Taken) {
        let mut inner = self.inner();
        inner.progress = inner.progress.or(taken.progress);
        for (_, line) in taken.lines.into_iter().rev() {
            if inner.lines.len() < MAX_LINES {
                inner.lines.push_front(line);
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // It is whole after every operation, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_taken_once_and_lines_keep_their_numbers() {
        let notes = Notes::default();
        notes.progress(10);
        notes.progress(20);
        notes.log("one".to_owned());
        let taken = notes.take();
        assert_eq!(taken.progress, Some(20));
        assert_eq!(taken.lines, [(1, "one".to_owned())]);
        assert_eq!(notes.take(), Taken::default());
        notes.give_back(taken);
        notes.log("two".to_owned());
        let again = notes.take();
        assert_eq!(again.progress, Some(20));
        assert_eq!(again.lines, [(1, "one".to_owned()), (2, "two".to_owned())]);
    }

    #[test]
    fn a_job_that_never_stops_talking_is_bounded() {
        let notes = Notes::default();
        for _ in 0..MAX_LINES + 5 {
            notes.log("é".repeat(MAX_LINE_BYTES));
        }
        let taken = notes.take();
        assert_eq!(taken.lines.len(), MAX_LINES);
        assert_eq!(taken.lines[0].0, 6);
        assert!(taken.lines[0].1.len() <= MAX_LINE_BYTES);
    }
}
