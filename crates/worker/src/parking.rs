//! The parked lanes of this worker: which keys wait in the store, until when, and which of them are being drained. Their
//! messages stay in the store until it is their turn.

mod head;
mod lane;
pub(crate) mod page;
mod room;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use longshore_event::TopicPartition;

use crate::lanes::LaneKey;
use crate::message::Message;
use crate::{ParkedHead, ParkedRow, ParkedState};
pub(crate) use head::Head;
use lane::Phase;
pub(crate) use lane::{ParkedLane, Reading, Stay};
use page::PageSize;
pub(crate) use room::Room;

/// All parked lanes.
#[derive(Debug)]
pub(crate) struct Parking {
    lanes: BTreeMap<LaneKey, ParkedLane>,
    /// Lanes that wait, by the time at which they are looked at again.
    due: BTreeSet<(Timestamp, Stay)>,
    by_stay: HashMap<Stay, LaneKey>,
    stays: u64,
    readings: u64,
    /// Lanes being loaded or drained.
    draining: usize,
    room: Room,
    /// Messages of all lanes, as far as is known, and how many there may be before no more are taken in.
    messages: u64,
    max_messages: u64,
    /// Partitions of which not all parked lanes are in memory.
    incomplete: Vec<TopicPartition>,
    /// Its messages free what is held, so that they wait for no room among it.
    redrive_topic: Arc<str>,
}

/// Which message of a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that failed.
    Head,
    /// One that waits behind it.
    Behind,
}

/// A lane that is to be read: of these partitions.
#[derive(Debug)]
pub(crate) struct ToRead {
    pub(crate) key: LaneKey,
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) reading: Reading,
    /// At most so many messages.
    pub(crate) limit: usize,
}

/// What to do with a page of a lane that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// Hand these to the lane.
    Drain(Stay, Vec<ParkedRow>),
    /// Nothing for now.
    Wait,
}

impl Parking {
    pub(crate) fn new(max_lanes: usize, max_messages: u64, redrive_topic: Arc<str>) -> Self {
        Self {
            lanes: BTreeMap::new(),
            due: BTreeSet::new(),
            by_stay: HashMap::new(),
            stays: 0,
            readings: 0,
            draining: 0,
            room: Room::new(max_lanes),
            messages: 0,
            max_messages,
            incomplete: Vec::new(),
            redrive_topic,
        }
    }

    /// Whether messages of this lane wait in the store.
    pub(crate) fn holds(&self, key: &LaneKey) -> bool {
        !self.lanes.is_empty() && self.lanes.contains_key(key)
    }

    /// Whether a message of this lane must wait behind others of its partition in the store. Those of another partition
    /// have no say: earlier messages of its own may still be in memory, and must not come after it.
    pub(crate) fn holds_back<P>(&self, key: &LaneKey, message: &Message<P>) -> bool {
        if self.lanes.is_empty() {
            return false;
        }
        let lane = self.lanes.get(key);
        lane.is_some_and(|lane| lane.partitions.contains(&message.position().partition))
    }

    /// Whether the lane waits for a redrive.
    pub(crate) fn is_held(&self, key: &LaneKey) -> bool {
        let lane = self.lanes.get(key);
        lane.is_some_and(|lane| lane.head.state == ParkedState::Held)
    }

    /// Parked lanes that may still be taken into memory.
    pub(crate) fn room(&self) -> Room {
        self.room
    }

    /// Whether messages may be taken in: there is room, and every parked lane is known.
    pub(crate) fn may_admit(&self) -> bool {
        self.incomplete.is_empty() && !self.room.is_full() && self.messages < self.max_messages
    }

    /// Messages of all lanes, as far as is known.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether messages of the redrive topic may be taken in. Held lanes are not in their way: they wait for them.
    pub(crate) fn may_admit_redriven(&self) -> bool {
        let mut incomplete = self.incomplete.iter();
        !self.room.is_full_of_waiting()
            && !incomplete.any(|partition| partition.topic == self.redrive_topic)
    }

    /// Partitions whose parked lanes are to be loaded again, now that half of the room is free. Nothing is held of those
    /// of the redrive topic.
    pub(crate) fn take_incomplete(&mut self) -> Option<Vec<TopicPartition>> {
        let (room, redrive_topic) = (self.room, &self.redrive_topic);
        let has_room = |partition: &mut TopicPartition| {
            room.is_half_free_of_waiting()
                && (room.is_half_free_of_held() || partition.topic == *redrive_topic)
        };
        let loaded: Vec<_> = self.incomplete.extract_if(.., has_room).collect();
        (!loaded.is_empty()).then_some(loaded)
    }

    /// There was no room for all parked lanes of this partition.
    pub(crate) fn is_incomplete(&mut self, partition: TopicPartition) {
        self.incomplete.push(partition);
    }

    /// A lane that the store says is parked.
    pub(crate) fn add(&mut self, key: LaneKey, parked: ParkedHead) {
        let ParkedHead {
            position,
            state,
            attempts,
            due_at,
            failure,
            rows,
            ..
        } = parked;
        let partition = position.partition.clone();
        if let Some(lane) = self.lanes.get_mut(&key) {
            // Two partitions have parked messages of one lane: reading it tells which is first.
            lane.knows(partition);
            let more = rows.saturating_sub(lane.rows);
            lane.rows += more;
            self.messages += more;
            lane.grew = true;
            self.wake(&key);
            return;
        }
        let head = Head {
            state,
            position,
            attempts,
            due_at,
            failure,
        };
        self.insert(key, partition, head, rows);
    }

    /// The first message of a lane was parked, or parked again.
    pub(crate) fn park(&mut self, key: LaneKey, row: &ParkedRow) {
        let head = Head::of_row(row);
        let due_at = row.due_at;
        if let Some(lane) = self.lanes.get_mut(&key) {
            self.room.changes(lane.head.state, head.state);
            lane.head = head;
            lane.page = PageSize::FIRST;
            lane.knows(row.position.partition.clone());
        } else {
            self.insert(key.clone(), row.position.partition.clone(), head, 1);
        }
        self.wait(&key, due_at);
        self.grow(&key);
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.parking_head = true;
        }
    }

    /// A lane whose first message died, in the store already.
    pub(crate) fn hold(&mut self, key: LaneKey, partition: TopicPartition, head: Head) {
        match self.lanes.get_mut(&key) {
            Some(lane) => {
                self.room.changes(lane.head.state, head.state);
                lane.head = head;
                lane.page = PageSize::FIRST;
                lane.knows(partition);
                self.wait(&key, Timestamp::MIN);
            }
            None => self.insert(key, partition, head, 1),
        }
    }

    /// Another message of the lane is being parked behind the others.
    pub(crate) fn park_behind(&mut self, key: &LaneKey, partition: &TopicPartition) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.knows(partition.clone());
            lane.rows += 1;
            self.messages += 1;
        }
        self.grow(key);
    }

    /// A message that was being parked is, or was refused; the store knows now.
    pub(crate) fn settled(&mut self, key: &LaneKey, which: Which) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        lane.parking = lane.parking.saturating_sub(1);
        if which == Which::Head {
            lane.parking_head = false;
        }
        if lane.phase == Phase::Settling {
            self.wait(key, Timestamp::MIN);
        }
    }

    /// The lane is to be looked at again at once.
    pub(crate) fn wake(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get(key)
            && matches!(lane.phase, Phase::Waiting(_) | Phase::Settling)
        {
            self.wait(key, Timestamp::MIN);
        }
    }

    /// When the next lane is to be looked at; `None` if none waits, or `most` are being drained already.
    pub(crate) fn next_due(&self, most: usize) -> Option<Timestamp> {
        if self.draining >= most {
            return None;
        }
        self.due.first().map(|(due_at, _)| *due_at)
    }

    /// Takes a lane whose time has come; its next messages are to be read, of these partitions.
    pub(crate) fn take_due(&mut self, now: Timestamp, most: usize) -> Option<ToRead> {
        while self.next_due(most)? <= now {
            let (_, stay) = self.due.pop_first()?;
            let Some(key) = self.by_stay.get(&stay) else {
                continue;
            };
            let Some(lane) = self.lanes.get_mut(key) else {
                continue;
            };
            if lane.parking_head {
                lane.phase = Phase::Settling;
                continue;
            }
            self.readings += 1;
            let reading = Reading::nth(self.readings);
            lane.phase = Phase::Loading(reading);
            // What is on its way to the store now may come too late for the read.
            lane.grew = lane.parking > 0;
            self.draining += 1;
            return Some(ToRead {
                key: key.clone(),
                partitions: lane.partitions.clone(),
                reading,
                limit: lane.page.messages(),
            });
        }
        None
    }

    /// The next messages of a lane were read: of those partitions that are still this worker's, in order.
    pub(crate) fn loaded(
        &mut self,
        key: &LaneKey,
        reading: Reading,
        mut rows: Vec<ParkedRow>,
        whole_page: bool,
        now: Timestamp,
        held_until: Timestamp,
    ) -> Page {
        let Some(lane) = self.lanes.get_mut(key) else {
            return Page::Wait;
        };
        if lane.phase != Phase::Loading(reading) {
            return Page::Wait;
        }
        let Some(first) = rows.first() else {
            if whole_page {
                // They were of a partition that has left meanwhile.
                self.wait(key, Timestamp::MIN);
            } else {
                self.drained(key);
            }
            return Page::Wait;
        };
        if !whole_page && !lane.grew {
            // All there is: some may have left with a partition.
            self.messages = self.messages - lane.rows + rows.len() as u64;
            lane.rows = rows.len() as u64;
        }
        self.room.changes(lane.head.state, first.state);
        lane.head = Head::of_row(first);
        if first.state == ParkedState::Held {
            lane.page = PageSize::FIRST;
            self.wait(key, held_until);
            return Page::Wait;
        }
        if first.due_at > now {
            let due_at = first.due_at;
            self.wait(key, due_at);
            return Page::Wait;
        }
        let free = rows
            .iter()
            .take_while(|row| row.state == ParkedState::Waiting);
        let free = free.count();
        let last = !whole_page && free == rows.len();
        rows.truncate(free);
        lane.phase = Phase::Draining {
            left: rows.len(),
            last,
        };
        Page::Drain(lane.stay, rows)
    }

    /// A message of the lane that came from the store has come to an end, or is left to the next owner.
    pub(crate) fn drained_one(&mut self, key: &LaneKey, stay: Stay) {
        let Some(lane) = self.lanes.get_mut(key).filter(|lane| lane.stay == stay) else {
            return;
        };
        let one = lane.rows.min(1);
        lane.rows -= one;
        self.messages -= one;
        let Phase::Draining { left, last } = &mut lane.phase else {
            return;
        };
        *left = left.saturating_sub(1);
        let (left, last) = (*left, *last);
        match (left, last && !lane.grew) {
            (0, true) => self.drained(key),
            (0, false) => {
                lane.page = lane.page.grown();
                self.wait(key, Timestamp::MIN);
            }
            _ => {}
        }
    }

    /// These partitions leave: lanes that were theirs alone are forgotten, others read anew.
    pub(crate) fn leave(&mut self, partitions: &[TopicPartition]) {
        self.incomplete
            .retain(|partition| !partitions.contains(partition));
        let mut touched = Vec::new();
        for (key, lane) in &mut self.lanes {
            let before = lane.partitions.len();
            lane.partitions
                .retain(|partition| !partitions.contains(partition));
            if lane.partitions.len() != before {
                touched.push((key.clone(), lane.partitions.is_empty()));
            }
        }
        for (key, forgotten) in touched {
            if forgotten {
                self.forget(&key);
            } else {
                self.wake(&key);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&LaneKey, &ParkedLane)> {
        self.lanes.iter()
    }

    /// All that the store had of the lane is drained. If nothing more is on its way there, the lane is free.
    fn drained(&mut self, key: &LaneKey) {
        let Some(lane) = self.lanes.get_mut(key) else {
            return;
        };
        if lane.parking > 0 {
            lane.leave_phase(&mut self.due, &mut self.draining);
            lane.phase = Phase::Settling;
        } else if lane.grew {
            self.wait(key, Timestamp::MIN);
        } else {
            self.forget(key);
        }
    }

    fn grow(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.parking += 1;
            lane.grew = true;
        }
    }

    fn insert(&mut self, key: LaneKey, partition: TopicPartition, head: Head, rows: u64) {
        self.stays += 1;
        let stay = Stay::nth(self.stays);
        let due_at = head.due_at;
        let lane = ParkedLane {
            stay,
            partitions: vec![partition],
            phase: Phase::Waiting(due_at),
            parking: 0,
            parking_head: false,
            grew: false,
            page: PageSize::FIRST,
            head,
            rows,
        };
        self.room.takes(lane.head.state);
        self.messages += rows;
        self.due.insert((due_at, stay));
        self.by_stay.insert(stay, key.clone());
        self.lanes.insert(key, lane);
    }

    fn wait(&mut self, key: &LaneKey, until: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.leave_phase(&mut self.due, &mut self.draining);
            lane.phase = Phase::Waiting(until);
            self.due.insert((until, lane.stay));
        }
    }

    fn forget(&mut self, key: &LaneKey) {
        if let Some(mut lane) = self.lanes.remove(key) {
            lane.leave_phase(&mut self.due, &mut self.draining);
            self.room.gives_back(lane.head.state);
            self.messages -= lane.rows;
            self.by_stay.remove(&lane.stay);
        }
    }
}
