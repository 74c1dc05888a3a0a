//! What should have come of it. A test that is disappointed is told what was found instead, and why as far as the worker
//! knows: what failed, waits, or is out of reach.

use std::fmt::Write as _;
use std::panic::Location;

use jiff::Timestamp;
use longshore_event::{DeadLetter, Event, dead_letter_topic};
use longshore_worker::{ParkedReport, Statement};

use super::TestWorker;

impl TestWorker {
    /// Exactly these events were published to the topic of `E`, those of one key in this order: between keys there is none
    /// to rely on. They are compared as JSON.
    ///
    /// # Panics
    /// If not, and if the topic does not exist.
    #[track_caller]
    pub fn expect_published<E: Event>(&self, expected: &[E]) {
        let place = format!("in {}", E::TOPIC);
        let expected = by_key(expected);
        let found = by_key(&self.published::<E>());
        self.compare(&place, &expected, &found, Location::caller());
    }

    /// Exactly these keys were parked when the worker came to rest last, in any order.
    ///
    /// # Panics
    /// If not, and if the worker is not running.
    #[track_caller]
    pub fn expect_parked(&self, keys: &[&str]) {
        let mut expected: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let mut found: Vec<String> = self.parked().iter().map(key_of).collect();
        expected.sort();
        found.sort();
        self.compare("parked", &expected, &found, Location::caller());
    }

    /// Exactly these keys are in the dead-letter topic of `topic`, each with an error that contains the text beside it; those
    /// of one key in this order.
    ///
    /// # Panics
    /// If not, and if the worker does not read the topic.
    #[track_caller]
    pub fn expect_dead(&self, topic: &str, expected: &[(&str, &str)]) {
        let letters = self.dead_letters(topic).into_iter();
        let mut found: Vec<(String, String)> = letters
            .map(|dead| {
                let key = dead.record.key.as_deref().unwrap_or_default();
                (
                    String::from_utf8_lossy(key).into_owned(),
                    dead.letter.message,
                )
            })
            .collect();
        let mut expected = expected.to_vec();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by_key(|(key, _)| *key);
        let pairs = || found.iter().zip(&expected);
        let same = found.len() == expected.len()
            && pairs()
                .all(|(found, expected)| found.0 == expected.0 && found.1.contains(expected.1));
        if !same {
            let place = format!("in {}", dead_letter_topic(topic));
            let expected = lines(&expected);
            self.disappoint(&place, &expected, &lines(&found), Location::caller());
        }
    }

    /// Everything is done: nothing of what the worker reads is unfinished, parked or dead, and no topic refuses what came
    /// of it.
    ///
    /// # Panics
    /// If not, and if the worker is not running.
    #[track_caller]
    pub fn expect_all_done(&self) {
        let report = self.report();
        let dead: usize = self
            .site
            .reads
            .iter()
            .map(|topic| self.dead_letters(topic).len())
            .sum();
        let (lag, parked) = (self.lag(), report.parked_keys);
        let refusing = report.unwritten.len();
        if lag > 0 || parked > 0 || dead > 0 || refusing > 0 {
            let found = format!(
                "{lag} records to finish, {parked} keys parked, {dead} dead letters, {refusing} topics that refuse"
            );
            self.disappoint("all done", &[], &[found], Location::caller());
        }
    }

    /// The query on the worker's store has exactly these rows, in this order, each with its columns separated by ` | `.
    ///
    /// # Panics
    /// If not, and as [`rows`](Self::rows).
    #[track_caller]
    pub fn expect_rows(&self, query: Statement, expected: &[&str]) -> impl Future<Output = ()> {
        let caller = Location::caller();
        let place = format!("rows of `{}`", query.text);
        let rows = self.rows(query);
        async move {
            let found = rows.await;
            let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
            self.compare(&place, &expected, &found, caller);
        }
    }

    fn compare(&self, what: &str, expected: &[String], found: &[String], caller: &Location<'_>) {
        if expected != found {
            self.disappoint(what, expected, found, caller);
        }
    }

    /// The location is told in the message: a panic in a future has none that means anything to its test.
    fn disappoint(
        &self,
        what: &str,
        expected: &[String],
        found: &[String],
        caller: &Location<'_>,
    ) -> ! {
        panic!(
            "{caller}: {} does not have what was expected, {what}\n  expected: {}\n  found:    {}{}",
            self.site.name,
            listed(expected),
            listed(found),
            self.explained()
        )
    }

    /// What the worker knew when it came to rest last, and why it is not further; nothing if there is nothing to tell.
    pub(super) fn explained(&self) -> String {
        let mut text = String::new();
        let mut tell = |line: String| {
            // Writing to a string does not fail.
            write!(text, "\n  {line}").ok();
        };
        let Some(report) = &self.report else {
            tell("the worker is not running".to_owned());
            return text;
        };
        for (what, reason) in [
            ("brokers not reachable", &report.broker_unavailable),
            ("effects cannot be committed", &report.commits_unavailable),
            ("paused", &report.paused),
        ] {
            if let Some(reason) = reason {
                tell(format!("{what}: {reason}"));
            }
        }
        for refusing in &report.unwritten {
            tell(format!(
                "not published to {}: {}",
                refusing.topic, refusing.last_error
            ));
        }
        for partition in &report.partitions {
            let Some(oldest) = &partition.oldest else {
                continue;
            };
            tell(format!(
                "unfinished: {}/{} offset {} key {:?}, {:?}, {} failed runs{}",
                partition.topic,
                partition.partition,
                oldest.offset,
                oldest.key,
                oldest.state,
                oldest.attempts,
                outlook(oldest.last_error.as_ref(), oldest.next_try)
            ));
        }
        for parked in &report.parked {
            tell(format!(
                "parked: key {:?}, {} messages, {} failed runs{}{}",
                key_of(parked),
                parked.messages,
                parked.attempts,
                outlook(parked.last_error.as_ref(), parked.next_try),
                if parked.held {
                    ", next try when redriven"
                } else {
                    ""
                }
            ));
        }
        for topic in &self.site.reads {
            let topic = dead_letter_topic(topic);
            for record in self.site.world.log.records(&topic) {
                let letter = DeadLetter::read(&record.headers);
                let key = String::from_utf8_lossy(record.key.as_deref().unwrap_or_default());
                let message = letter.map(|letter| letter.message).unwrap_or_default();
                tell(format!("dead letter in {topic}: key {key:?}, {message}"));
            }
        }
        text
    }
}

/// The events as JSON, sorted by their keys.
fn by_key<E: Event>(events: &[E]) -> Vec<String> {
    let mut events: Vec<&E> = events.iter().collect();
    events.sort_by_key(|event| event.key().to_owned());
    let json = |event| match serde_json::to_string(event) {
        Ok(json) => json,
        Err(error) => panic!("the {} does not serialise: {error}", E::TYPE),
    };
    events.into_iter().map(json).collect()
}

fn lines(letters: &[impl std::fmt::Debug]) -> Vec<String> {
    letters.iter().map(|letter| format!("{letter:?}")).collect()
}

fn key_of(parked: &ParkedReport) -> String {
    parked.key.clone().unwrap_or_default()
}

/// Why it failed last, and when it is tried again, as far as either is known.
fn outlook(last_error: Option<&String>, next_try: Option<Timestamp>) -> String {
    let error = last_error.map(|error| format!(", last error: {error}"));
    let next = next_try.map(|at| format!(", next try {at}"));
    error.unwrap_or_default() + &next.unwrap_or_default()
}

fn listed(lines: &[String]) -> String {
    match lines {
        [] => "nothing".to_owned(),
        [line] => line.clone(),
        lines => lines
            .iter()
            .fold(String::new(), |text, line| text + "\n    " + line),
    }
}
