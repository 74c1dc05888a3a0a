//! Keys that park and drain: a failed message waits in the store, its later ones behind it, and when the time has come
//! they go through their lane as if they came from the log.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::error;

use crate::ending::{Handled, Trail};
use crate::intake::{ParkedOf, until_available};
use crate::lanes::{LaneId, LaneKey};
use crate::message::{Arrival, Message};
use crate::parking::{Head, Page, Reading, ToRead, page};
use crate::run_loop::RunLoop;
use crate::status::StatusBoard;
use crate::{CommitStrategy, Failure, Handler, ParkedRow, Source};

/// How often a key that waits for a redrive is looked at: another instance may have handled it.
const HELD_CHECK: Duration = Duration::from_secs(5);

/// The next messages of a parked lane, read from the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    key: LaneKey,
    reading: Reading,
    rows: Vec<ParkedRow>,
    /// Whether there may be more.
    whole_page: bool,
}

impl<H: Handler, S: Source, C: CommitStrategy> RunLoop<H, S, C> {
    /// What was parked of partitions that have just come.
    pub(crate) fn parked_before(&mut self, parked: Vec<ParkedOf>) {
        for ParkedOf {
            partition,
            heads,
            complete,
        } in parked
        {
            if !self.assignments.may_drain(&partition) {
                continue;
            }
            if !complete {
                self.parking.is_incomplete(partition);
            }
            for head in heads {
                self.guide.sequence.raise_above(head.last);
                match LaneKey::from_name(&head.lane) {
                    Some(key) => self.parking.add(key, head),
                    None => {
                        error!(position = %head.position, lane = ?head.lane, "a parked message has no readable lane; it stays in the store");
                    }
                }
            }
        }
    }

    /// The message waits in the store until `due_at`, and its key with it.
    pub(crate) fn park(
        &mut self,
        message: Message<H::Payload>,
        failure: &Failure,
        due_at: Timestamp,
        lane: LaneId,
    ) {
        let handled = self.guide.park(message, failure, due_at, lane);
        self.hold_lane(handled, lane);
    }

    /// The message is given up, and its key is held if that is the policy.
    pub(crate) fn bury(&mut self, message: Message<H::Payload>, failure: &Failure, lane: LaneId) {
        let handled = self.guide.bury(message, failure, lane);
        if handled.effects.parked.is_some() {
            self.hold_lane(handled, lane);
        } else {
            self.ready(handled);
        }
    }

    /// The message waits in the store behind others of its key.
    pub(crate) fn park_behind(&mut self, message: Message<H::Payload>, key: &LaneKey) {
        let handled = self.guide.park_behind(message);
        self.parking
            .park_behind(key, &handled.effects.position.partition);
        self.ready(handled);
    }

    /// The commit buried a message whose key is to be held from then on.
    pub(crate) fn hold_behind(&mut self, trail: &Trail, lane: LaneId) {
        let Some(partition) = self.assignments.partition(trail.place) else {
            return;
        };
        if !self.assignments.may_start(trail.place) {
            return;
        }
        let now = self.guide.settings.clock.now();
        let head = Head::held(trail, now);
        self.parking.hold(trail.key.clone(), partition, head);
        self.park_waiting(lane, &trail.key);
    }

    fn hold_lane(&mut self, mut handled: Handled, lane: LaneId) {
        // Of a partition that is leaving, all this is for its next owner to know.
        if !self.assignments.may_start(handled.trail.place) {
            handled.trail.parks = false;
            return self.ready(handled);
        }
        let key = handled.trail.key.clone();
        if let Some(row) = &handled.effects.parked {
            self.parking.park(key.clone(), row);
        }
        self.ready(handled);
        self.park_waiting(lane, &key);
    }

    /// What waits in memory behind a message that is parked waits in the store from now on, where some of it is already.
    /// What came from other partitions goes on, as it would had it come a moment later.
    fn park_waiting(&mut self, lane: LaneId, key: &LaneKey) {
        for message in self.lanes.take_waiting(lane) {
            match message.arrival {
                Arrival::Parked(_) => self.assignments.abandon(message.place),
                Arrival::Log | Arrival::Redriven(_) if self.parking.holds_back(key, &message) => {
                    self.park_behind(message, key);
                }
                Arrival::Log | Arrival::Redriven(_) => self.lanes.push(key.clone(), message),
            }
        }
    }

    /// When the next parked lane is to be looked at.
    pub(crate) fn parked_due(&self) -> Option<Instant> {
        // What drains publishes too.
        if !self.brake.permits() || !self.may_publish() {
            return None;
        }
        let due_at = self.parking.next_due(self.most_draining())?;
        let wait = due_at.duration_since(self.guide.settings.clock.now());
        Some(Instant::now() + Duration::try_from(wait).unwrap_or(Duration::ZERO))
    }

    /// How many parked lanes may be drained at once. One whose message waits for an outage to end is in nobody's way, as
    /// long as what is read of such lanes fits into memory.
    fn most_draining(&self) -> usize {
        let settings = &self.guide.settings;
        let out_of_reach = self.out_of_reach.parked();
        settings.concurrency + out_of_reach.min(settings.max_in_flight / page::LARGEST)
    }

    /// Reads the next messages of the lanes whose time has come.
    pub(crate) fn load_due(&mut self) {
        let now = self.guide.settings.clock.now();
        let most = self.most_draining();
        while let Some(lane) = self.parking.take_due(now, most) {
            let load = load(lane, self.strategy.clone(), self.status.clone());
            self.loads.push(load.boxed());
        }
    }

    /// Hands the next messages of a parked lane to it.
    pub(crate) fn loaded(&mut self, loaded: Loaded) {
        let Loaded {
            key,
            reading,
            mut rows,
            whole_page,
        } = loaded;
        rows.retain(|row| self.assignments.may_drain(&row.position.partition));
        let now = self.guide.settings.clock.now();
        let held_until = now + SignedDuration::try_from(HELD_CHECK).unwrap_or_default();
        let Page::Drain(stay, rows) = self
            .parking
            .loaded(&key, reading, rows, whole_page, now, held_until)
        else {
            return;
        };
        for row in rows {
            if let Some(place) = self.assignments.readmit(&row.position.partition) {
                let limits = &self.guide.settings.limits;
                let message = Message::parked(row, stay, place, limits);
                self.lanes.push(key.clone(), message);
            }
        }
    }
}

async fn load<C: CommitStrategy>(lane: ToRead, strategy: Arc<C>, status: StatusBoard) -> Loaded {
    let ToRead {
        key,
        partitions,
        reading,
        limit,
    } = lane;
    let name = key.name();
    let rows = until_available(&status, || strategy.parked(&name, &partitions, limit)).await;
    Loaded {
        key,
        reading,
        whole_page: rows.len() == limit,
        rows,
    }
}
