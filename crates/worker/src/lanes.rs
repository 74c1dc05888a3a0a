//! Lanes: one queue a key, at most one message of each key out at a time, lanes served in turn.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use longshore_event::{Identity, TopicPartition};
use tokio::time::Instant;

use crate::assignments::Place;

/// What is kept in order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LaneKey {
    /// A message's key: one lane even if it appears in several topics.
    Key(Bytes),
    /// A key of one partition, where each partition commits by itself.
    KeyOfPartition(TopicPartition, Bytes),
    /// Messages without a key are kept in the order of their partition.
    Partition(TopicPartition),
}

/// How far a key's lane reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneScope {
    /// Over all partitions that are this worker's.
    Group,
    /// Over one partition. A strategy that commits in log order needs it: with lanes across partitions, two partitions
    /// could wait for each other.
    Partition,
}

impl LaneKey {
    /// The name in the store. Names of keys and of partitions never meet.
    pub(crate) fn name(&self) -> Bytes {
        match self {
            Self::Key(key) | Self::KeyOfPartition(_, key) => [b"k", &key[..]].concat().into(),
            Self::Partition(partition) => format!("p{partition}").into(),
        }
    }

    /// Reads a name; `None` if it is none.
    pub(crate) fn from_name(name: &Bytes) -> Option<Self> {
        match name.first()? {
            b'k' => Some(Self::Key(name.slice(1..))),
            b'p' => {
                let text = std::str::from_utf8(&name[1..]).ok()?;
                let (topic, partition) = text.rsplit_once('/')?;
                let partition = partition.parse().ok()?;
                Some(Self::Partition(TopicPartition::new(topic, partition)))
            }
            _ => None,
        }
    }
}

/// Stands for a lane while one of its messages is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneId(usize);

impl LaneId {
    /// Its place in the table of lanes; a later lane may have it again.
    pub(crate) fn index(self) -> usize {
        self.0
    }
}

/// Identities that a lane may remember for longer than it must, so that it does not look through them each time.
const SPARE: usize = 16;

/// Where a message of a lane is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whereabouts<'a, M> {
    Waiting(&'a M),
    Out { lane: LaneId, since: Instant },
}

#[cfg(test)]
impl LaneId {
    pub(crate) fn for_test(index: usize) -> Self {
        Self(index)
    }
}

/// All lanes that hold a message, waiting or out. A lane costs nothing once it is empty.
#[derive(Debug)]
pub(crate) struct Lanes<M> {
    lanes: Vec<Option<Lane<M>>>,
    free: Vec<usize>,
    by_key: HashMap<LaneKey, usize>,
    /// Lanes with a message waiting and none out, in the order they became so.
    ready: VecDeque<usize>,
}

#[derive(Debug)]
struct Lane<M> {
    key: LaneKey,
    waiting: VecDeque<M>,
    out: bool,
    /// The message that is out, and since when.
    going: Option<(Place, Instant)>,
    /// Messages that have gone out so far.
    gone: u64,
    /// What took effect while others waited here, up to the last of those by its number: a copy among them was looked up
    /// in the inbox too early.
    done: HashMap<Identity, u64>,
}

impl<M> Lanes<M> {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            ready: VecDeque::new(),
        }
    }

    /// Puts a message at the end of its lane.
    pub(crate) fn push(&mut self, key: LaneKey, message: M) {
        if let Some(&index) = self.by_key.get(&key) {
            if let Some(lane) = &mut self.lanes[index] {
                lane.waiting.push_back(message);
            }
            return;
        }
        let lane = Lane {
            key: key.clone(),
            waiting: VecDeque::from([message]),
            out: false,
            going: None,
            gone: 0,
            done: HashMap::new(),
        };
        let index = self.free.pop().unwrap_or(self.lanes.len());
        if index == self.lanes.len() {
            self.lanes.push(Some(lane));
        } else {
            self.lanes[index] = Some(lane);
        }
        self.by_key.insert(key, index);
        self.ready.push_back(index);
    }

    /// Takes a message out of the lane whose turn it is. The lane gives no other until [`Lanes::finish`].
    pub(crate) fn start(&mut self) -> Option<(LaneId, M)> {
        while let Some(index) = self.ready.pop_front() {
            let Some(lane) = &mut self.lanes[index] else {
                continue;
            };
            if let Some(message) = lane.waiting.pop_front() {
                lane.out = true;
                lane.gone += 1;
                return Some((LaneId(index), message));
            }
            self.remove(index);
        }
        None
    }

    /// The lane's message has taken effect (`done` says which) or is abandoned: the next one may start.
    pub(crate) fn finish(&mut self, id: LaneId, done: Option<&Identity>) {
        let Some(lane) = &mut self.lanes[id.0] else {
            return;
        };
        lane.out = false;
        if lane.waiting.is_empty() {
            self.remove(id.0);
            return;
        }
        lane.note_done(done);
        self.ready.push_back(id.0);
    }

    /// The lane's message comes back to its front: it is tried again when the lane's turn comes.
    pub(crate) fn put_back(&mut self, id: LaneId, message: M) {
        if let Some(lane) = &mut self.lanes[id.0] {
            lane.out = false;
            lane.gone -= 1;
            lane.waiting.push_front(message);
            self.ready.push_back(id.0);
        }
    }

    /// Notes which message of the lane is out. One that goes out once more is out since it first was.
    pub(crate) fn went_out(&mut self, id: LaneId, place: Place) {
        if let Some(lane) = &mut self.lanes[id.0]
            && lane.going.is_none_or(|(before, _)| before != place)
        {
            lane.going = Some((place, Instant::now()));
        }
    }

    /// Looks for a message: out by its place, or waiting by `is_it`.
    pub(crate) fn find(
        &self,
        place: Place,
        is_it: impl Fn(&M) -> bool,
    ) -> Option<(&LaneKey, Whereabouts<'_, M>)> {
        self.lanes.iter().enumerate().find_map(|(index, lane)| {
            let lane = lane.as_ref()?;
            let whereabouts = match lane.going.filter(|_| lane.out) {
                Some((going, since)) if going == place => Whereabouts::Out {
                    lane: LaneId(index),
                    since,
                },
                _ => Whereabouts::Waiting(lane.waiting.iter().find(|message| is_it(message))?),
            };
            Some((&lane.key, whereabouts))
        })
    }

    /// Takes what waits behind the lane's message that is out.
    pub(crate) fn take_waiting(&mut self, id: LaneId) -> VecDeque<M> {
        match &mut self.lanes[id.0] {
            Some(lane) => std::mem::take(&mut lane.waiting),
            None => VecDeque::new(),
        }
    }

    /// Whether a message of this lane took effect under this identity while others waited behind it.
    pub(crate) fn took_effect(&self, id: LaneId, identity: &Identity) -> bool {
        self.lanes[id.0].as_ref().is_some_and(|lane| {
            let last = lane.done.get(identity);
            last.is_some_and(|last| lane.gone <= *last)
        })
    }

    /// Takes out the waiting messages that `keep` does not want.
    pub(crate) fn take_unless(&mut self, mut keep: impl FnMut(&M) -> bool) -> Vec<M> {
        let mut taken = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            if lane.waiting.iter().all(&mut keep) {
                continue;
            }
            for message in std::mem::take(&mut lane.waiting) {
                if keep(&message) {
                    lane.waiting.push_back(message);
                } else {
                    taken.push(message);
                }
            }
        }
        taken
    }

    fn remove(&mut self, index: usize) {
        if let Some(lane) = self.lanes[index].take() {
            self.by_key.remove(&lane.key);
            self.free.push(index);
        }
    }
}

impl<M> Lane<M> {
    /// Remembers it as long as anything waits that did so already, which bounds what there is to remember.
    fn note_done(&mut self, done: Option<&Identity>) {
        let Some(done) = done else {
            return;
        };
        let waiting = self.waiting.len();
        if self.done.len() > 2 * waiting + SPARE {
            self.done.retain(|_, last| *last > self.gone);
        }
        self.done.insert(done.clone(), self.gone + waiting as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(name: &'static str) -> LaneKey {
        LaneKey::Key(Bytes::from_static(name.as_bytes()))
    }

    #[test]
    fn a_key_waits_for_its_own_and_for_no_other() {
        let mut lanes = Lanes::new();
        lanes.push(key("a"), 1);
        lanes.push(key("a"), 2);
        lanes.push(key("b"), 3);

        let (a, first) = lanes.start().expect("a");
        let (_, other) = lanes.start().expect("b");
        assert_eq!((first, other), (1, 3));
        assert!(lanes.start().is_none());

        lanes.finish(a, None);
        assert_eq!(lanes.start().map(|(_, message)| message), Some(2));
    }

    #[test]
    fn a_copy_that_waited_is_known_to_have_taken_effect() {
        let identity = Identity {
            source: "s".into(),
            id: "1".into(),
        };
        let mut lanes = Lanes::new();
        lanes.push(key("a"), 1);
        lanes.push(key("a"), 2);

        let (lane, _) = lanes.start().expect("first");
        lanes.finish(lane, Some(&identity));
        let (lane, _) = lanes.start().expect("second");

        assert!(lanes.took_effect(lane, &identity));
    }

    #[test]
    fn a_lane_that_never_runs_empty_remembers_no_more_than_it_must() {
        let identity = |n: usize| Identity {
            source: "s".into(),
            id: n.to_string().into(),
        };
        let mut lanes = Lanes::new();
        lanes.push(key("a"), 0);
        lanes.push(key("a"), 1);
        for n in 0..10_000_usize {
            let (lane, message) = lanes.start().expect("one waits");
            assert_eq!(message, n);
            // What went before the last two was there before this one came.
            assert_eq!(lanes.took_effect(lane, &identity(n.wrapping_sub(1))), n > 0);
            assert!(!lanes.took_effect(lane, &identity(n.wrapping_sub(3))));
            lanes.push(key("a"), n + 2);
            lanes.finish(lane, Some(&identity(n)));
        }
        let remembered = lanes.lanes[0].as_ref().map_or(0, |lane| lane.done.len());
        assert!(remembered < 4 * SPARE, "{remembered}");
    }

    #[test]
    fn dropped_messages_leave_no_lane_behind() {
        let mut lanes = Lanes::new();
        lanes.push(key("a"), 1);
        lanes.push(key("b"), 2);

        assert_eq!(lanes.take_unless(|message| *message == 2), [1]);
        let (lane, message) = lanes.start().expect("b");
        assert_eq!(message, 2);
        lanes.finish(lane, None);
        assert!(lanes.start().is_none());
        assert!(lanes.by_key.is_empty());
    }

    proptest! {
        #[test]
        fn each_key_comes_out_in_the_order_it_went_in(
            steps in prop::collection::vec((0..5u8, any::<bool>()), 1..200)
        ) {
            let mut lanes = Lanes::new();
            let mut out: Vec<(LaneId, u8)> = Vec::new();
            let mut last = [None; 5];
            let mut count = 0;
            for (sequence, (name, finish)) in steps.into_iter().enumerate() {
                lanes.push(LaneKey::Key(Bytes::copy_from_slice(&[name])), (name, sequence));
                if finish && !out.is_empty() {
                    let (lane, _) = out.remove(0);
                    lanes.finish(lane, None);
                }
                while let Some((lane, (name, sequence))) = lanes.start() {
                    prop_assert!(out.iter().all(|(_, other)| *other != name), "two of one key are out");
                    prop_assert!(last[name as usize] < Some(sequence));
                    last[name as usize] = Some(sequence);
                    out.push((lane, name));
                    count += 1;
                }
            }
            prop_assert!(count > 0);
        }
    }
}
