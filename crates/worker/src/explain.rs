//! The run loop explains itself: it looks at its own state only when somebody asks, so that being able to costs nothing.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::assignments::Oldest;
use crate::intake::Step;
use crate::lanes::{LaneKey, Whereabouts};
use crate::parking::ParkedLane;
use crate::report::{OldestReport, OldestState, PARKED_KEYS, ParkedReport, PartitionReport};
use crate::run_loop::RunLoop;
use crate::{CommitStrategy, Handler, ParkedState, Report, Source};

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    pub(crate) fn report(&self) -> Report {
        let status = self.status.now();
        let at = self.guide.settings.clock.now();
        let mut parked: Vec<_> = self.parking.iter().collect();
        parked.sort_by_key(|(_, lane)| lane.head.due_at);
        Report {
            group: self.guide.settings.group.to_string(),
            at,
            ready: status.ready(),
            stopping: self.stopping,
            broker_unavailable: status.broker_unavailable,
            commits_unavailable: status.commits_unavailable,
            paused: self.paused(),
            brake: self.brake.report(|moment| later(at, moment)),
            partitions: self.partition_reports(at),
            parked_keys: parked.len(),
            parked: parked
                .into_iter()
                .take(PARKED_KEYS)
                .map(|(key, lane)| parked_report(key, lane))
                .collect(),
            in_flight: self.in_flight,
            unwritten: self.strategy.unwritten(),
        }
    }

    fn paused(&self) -> Option<String> {
        let settings = &self.guide.settings;
        if self.stopping {
            Some("stopping".to_owned())
        } else if !self.brake.permits() {
            Some("the brake is on: most of the recent messages failed".to_owned())
        } else if !self.may_publish() {
            let most = settings.max_unpublished;
            Some(format!(
                "{most} records wait to be published, which is the bound: a topic cannot be written, or not fast enough"
            ))
        } else if self.parking.messages() >= settings.park.max_messages {
            let most = settings.park.max_messages;
            Some(format!(
                "{most} messages are parked, which is the bound; only redrives are taken in"
            ))
        } else if !self.parking.may_admit() {
            let most = settings.park.max_keys;
            Some(format!(
                "{most} keys wait, or are held until a redrive, which is the bound; only redrives are taken in"
            ))
        } else if !self.taking_over.is_empty() {
            let partitions = self.taking_over.len();
            Some(format!(
                "taking over {partitions} partitions: what others left of them is published first"
            ))
        } else if self.in_flight >= settings.max_in_flight {
            let most = settings.max_in_flight;
            Some(format!("{most} messages are in flight, which is the bound"))
        } else {
            None
        }
    }

    fn partition_reports(&self, at: Timestamp) -> Vec<PartitionReport> {
        let mut reports = Vec::new();
        for held in self.assignments.look() {
            reports.push(PartitionReport {
                topic: held.partition.topic.to_string(),
                partition: held.partition.partition,
                committed: held.committed.map(|offset| offset.0),
                watermark: held.watermark.map(|offset| offset.0),
                end: self
                    .source
                    .end_offset(held.partition)
                    .map(|offset| offset.0),
                in_flight: held.outstanding,
                oldest: held.oldest.map(|oldest| self.oldest_report(oldest, at)),
            });
        }
        reports.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        reports
    }

    fn oldest_report(&self, oldest: Oldest, at: Timestamp) -> OldestReport {
        let mut report = OldestReport {
            offset: oldest.offset.0,
            key: None,
            state: OldestState::Arriving,
            since: None,
            attempts: 0,
            last_error: None,
            next_try: None,
        };
        let waits_here =
            |message: &crate::message::Message<H::Payload>| message.place == oldest.place;
        match self.lanes.find(oldest.place, waits_here) {
            Some((key, Whereabouts::Waiting(message))) => {
                report.key = text(key);
                report.state = OldestState::Waiting;
                report.since = message.content.record().timestamp;
            }
            Some((key, Whereabouts::Out { lane, since })) => {
                report.key = text(key);
                report.state = OldestState::Handling;
                report.since = Some(later(at, since));
                if let Some(failure) = self.guide.failing.of(lane) {
                    report.attempts = failure.attempts;
                    report.last_error = Some(failure.message);
                    report.next_try = failure.next_try;
                }
            }
            None => {
                let waiting = self.steps.iter().flat_map(|step| match step {
                    Step::Admit(messages) | Step::AdmitRedriven(messages) => messages.as_slice(),
                    Step::TakeOver(_) | Step::LoadParked(_) => &[],
                });
                let mut arriving = self.arriving.iter().chain(waiting);
                let arriving = arriving.find(|message| waits_here(message));
                report.key = arriving.and_then(|message| text(&message.lane(self.guide.scope)));
                report.since = arriving.and_then(|message| message.content.record().timestamp);
                let mut handled = self.handled.iter();
                if let Some(handled) = handled.find(|one| one.trail.place == oldest.place) {
                    report.key = text(&handled.trail.key);
                    report.state = OldestState::Handling;
                    report.since = handled.trail.record.timestamp;
                }
            }
        }
        report
    }
}

fn parked_report(key: &LaneKey, lane: &ParkedLane) -> ParkedReport {
    let head = &lane.head;
    let held = head.state == ParkedState::Held;
    let failure = head.failure.as_ref();
    ParkedReport {
        key: text(key),
        topic: head.position.partition.topic.to_string(),
        partition: head.position.partition.partition,
        offset: head.position.offset.0,
        held,
        messages: lane.rows,
        attempts: head.attempts,
        first_failed_at: failure.map(|failure| failure.first_failed_at),
        last_failed_at: failure.map(|failure| failure.last_failed_at),
        last_error: failure.map(|failure| failure.message.clone()),
        next_try: (!held).then_some(head.due_at),
    }
}

/// A key as people read it.
fn text(key: &LaneKey) -> Option<String> {
    match key {
        LaneKey::Key(key) | LaneKey::KeyOfPartition(_, key) => {
            Some(String::from_utf8_lossy(key).into_owned())
        }
        LaneKey::Partition(_) => None,
    }
}

/// The time of day of a moment, when it is `now`.
fn later(now: Timestamp, moment: Instant) -> Timestamp {
    let signed = |wait: Duration| SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
    let instant = Instant::now();
    let away = match moment.checked_duration_since(instant) {
        Some(ahead) => signed(ahead),
        None => -signed(instant.saturating_duration_since(moment)),
    };
    now.checked_add(away).unwrap_or(now)
}
