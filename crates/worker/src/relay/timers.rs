//! The timers of the store: when the next one is due, and those that were claimed and are on their way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use longshore_event::TopicPartition;
use tokio::time::Instant;
use uuid::Uuid;

use super::send::{Batch, Kind};
use super::timer_queue::{SHARE, TimerQueue};
use crate::backoff::Backoff;
use crate::{Clock, Due, OutboxRow, PublishError, StoreError};

/// Claimed timers in memory, but for those of stuck topics. At the bound no more are claimed until some are published.
const CAPACITY: usize = 4_000;
/// Timers that are claimed at once.
const PAGE: usize = 1_000;
/// How long a claim holds. If this process dies, another one claims the timers then, or takes over their partition
/// before that.
pub(super) const LEASE: SignedDuration = SignedDuration::from_secs(30);
/// Between two claims: what becomes due meanwhile costs one transaction, and no timer is noticeably late.
const GATHER: Duration = Duration::from_millis(20);

/// A claim that was made, or was not.
pub(super) type Claimed = Result<Due, StoreError>;

#[derive(Debug)]
pub(super) struct Timers {
    clock: Clock,
    /// When there is something to claim, as far as is known.
    next: Option<Timestamp>,
    /// No claim before this moment.
    rest_until: Instant,
    backoff: Backoff,
    /// Claimed, and not taken out of the store yet, with their topics.
    held: HashMap<Uuid, Arc<str>>,
    queues: BTreeMap<Arc<str>, TimerQueue>,
    is_claiming: bool,
    /// Taken out of the store during a claim, which may still hold them.
    cleared_meanwhile: HashSet<Uuid>,
}

/// A claim to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) now: Timestamp,
    pub(super) until: Timestamp,
    pub(super) limit: usize,
}

/// The claim under way.
pub(super) type Claiming = Option<BoxFuture<'static, Claimed>>;

impl Timers {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            next: None,
            rest_until: Instant::now(),
            backoff: Backoff::new(),
            held: HashMap::new(),
            queues: BTreeMap::new(),
            is_claiming: false,
            cleared_meanwhile: HashSet::new(),
        }
    }

    /// A timer was set for then.
    pub(super) fn set(&mut self, due_at: Timestamp) {
        self.next = Some(self.next.map_or(due_at, |next| next.min(due_at)));
    }

    /// Somebody else may have left timers: the store is asked at once.
    pub(super) fn look(&mut self) {
        self.set(Timestamp::MIN);
    }

    /// When to claim; `None` if nothing is waited for, there is no room, or a claim is under way.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        if self.is_claiming {
            return None;
        }
        let wait = self.next?.duration_since(self.clock.now());
        let wait = Duration::try_from(wait).unwrap_or(Duration::ZERO);
        // Years away: whatever comes first sets it anew.
        let due = Instant::now().checked_add(wait)?;
        let due = due.max(self.rest_until);
        let now = Instant::now();
        if self.room(now) > 0 {
            return Some(due);
        }
        // Room comes with whatever is published next, or once a topic no longer counts.
        let stuck_at = self.queues.values().filter_map(TimerQueue::stuck_at);
        let stuck_at = stuck_at.filter(|stuck_at| *stuck_at > now).min()?;
        Some(due.max(stuck_at))
    }

    /// The claim to make now, if there is room. Until it is answered, nothing is known of what comes next but what is set
    /// meanwhile.
    pub(super) fn claim(&mut self) -> Option<Claim> {
        let limit = self.room(Instant::now());
        if limit == 0 {
            return None;
        }
        self.next = None;
        self.is_claiming = true;
        let now = self.clock.now();
        Some(Claim {
            now,
            until: now.checked_add(LEASE).unwrap_or(Timestamp::MAX),
            limit,
        })
    }

    /// Takes in what a claim came to. Timers of partitions that are `leaving` are left to the next owner, who can claim
    /// them at once.
    pub(super) fn claimed(&mut self, claimed: Claimed, leaving: impl Fn(&TopicPartition) -> bool) {
        self.is_claiming = false;
        let cleared = std::mem::take(&mut self.cleared_meanwhile);
        let Ok(due) = claimed else {
            // The commits of the same store tell of its outage; here it is only waited out.
            self.rest_until = Instant::now() + self.backoff.delay();
            self.look();
            return;
        };
        self.backoff = Backoff::new();
        self.rest_until = Instant::now() + GATHER;
        if let Some(next) = due.next {
            self.set(next);
        }
        for row in due.rows {
            // One whose lease ended while it was being published is on its way already, or out of the store.
            let is_known = self.held.contains_key(&row.id) || cleared.contains(&row.id);
            if !is_known && !leaving(&row.source) {
                self.hold(row);
            }
        }
    }

    fn hold(&mut self, row: OutboxRow) {
        let (id, topic) = (row.id, row.record.topic.clone());
        let queue = self
            .queues
            .entry(topic.clone())
            .or_insert_with(|| TimerQueue::new(topic.clone()));
        if queue.offer(row) {
            self.held.insert(id, topic);
        }
    }

    /// How many can be claimed so that each has room, whatever its topic is.
    fn room(&self, now: Instant) -> usize {
        let flowing = self.queues.values().filter_map(|queue| queue.flowing(now));
        let (all, fullest) = flowing.fold((0, 0), |(all, fullest), held| {
            (all + held, held.max(fullest))
        });
        PAGE.min(CAPACITY.saturating_sub(all))
            .min(SHARE.saturating_sub(fullest))
    }

    /// The batches to send now.
    pub(super) fn start_sends(&mut self, most: usize) -> impl Iterator<Item = Batch> {
        self.queues.iter_mut().filter_map(move |(topic, queue)| {
            Some(Batch {
                kind: Kind::Timers,
                topic: topic.clone(),
                rows: queue.start(most)?,
                wait: None,
            })
        })
    }

    /// A batch was sent. What failed of it is forgotten: its lease ends, and it is claimed again. Meanwhile it is not in
    /// the way of others.
    pub(super) fn sent(&mut self, topic: &str, failed: &[(OutboxRow, PublishError)]) {
        for (row, _) in failed {
            self.release(&row.id);
        }
        if let Some(queue) = self.queues.get_mut(topic) {
            queue.sent(failed.first().map(|(_, error)| error));
        }
    }

    /// The row is out of the store. Says whether it was a timer.
    pub(super) fn cleared(&mut self, id: &Uuid) -> bool {
        let was_held = self.release(id);
        if was_held && self.is_claiming {
            self.cleared_meanwhile.insert(*id);
        }
        was_held
    }

    /// Forgets the timers of these partitions that are not being sent: their next owner can claim them at once.
    pub(super) fn forget(&mut self, partitions: &[TopicPartition]) {
        let queues = self.queues.values_mut();
        let forgotten: Vec<Uuid> = queues.flat_map(|queue| queue.forget(partitions)).collect();
        for id in &forgotten {
            self.release(id);
        }
    }

    /// Whether timers of these partitions are being sent.
    pub(super) fn is_sending(&self, partitions: &[TopicPartition]) -> bool {
        let mut queues = self.queues.values();
        queues.any(|queue| queue.is_sending(partitions))
    }

    /// Whether any are claimed, or are being claimed.
    pub(super) fn are_claimed(&self) -> bool {
        self.is_claiming || !self.held.is_empty()
    }

    /// Whether it is a timer in memory.
    pub(super) fn holds(&self, id: &Uuid) -> bool {
        self.held.contains_key(id)
    }

    fn release(&mut self, id: &Uuid) -> bool {
        let Some(topic) = self.held.remove(id) else {
            return false;
        };
        if let Some(queue) = self.queues.get_mut(&topic) {
            queue.released();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use longshore_event::{Headers, OutgoingRecord};
    use tokio::time::advance;

    use super::*;

    fn row(topic: &str, number: u128) -> OutboxRow {
        OutboxRow {
            id: Uuid::from_u128(number),
            sequence: 0,
            source: TopicPartition::new("notes", 0),
            record: OutgoingRecord {
                topic: topic.into(),
                key: None,
                value: None,
                headers: Headers::new(),
            },
        }
    }

    fn timers() -> Timers {
        let mut timers = Timers::new(Clock::from_tokio(Timestamp::UNIX_EPOCH));
        timers.look();
        timers
    }

    /// Claims once as much as there is room for, all of one topic, with numbers from `first`; says how many.
    fn fill(timers: &mut Timers, topic: &str, first: usize) -> usize {
        let Some(claim) = timers.claim() else {
            return 0;
        };
        let numbers = (first as u128..).take(claim.limit);
        let rows = numbers.map(|number| row(topic, number)).collect();
        timers.claimed(Ok(Due { rows, next: None }), |_| false);
        timers.look();
        claim.limit
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_never_answers_stands_in_the_way_of_others_for_a_bounded_time() {
        let mut timers = timers();
        let filled = (0..10).map(|page| fill(&mut timers, "silent", page * PAGE));
        assert_eq!(filled.sum::<usize>(), SHARE);
        assert_eq!(timers.start_sends(PAGE).count(), 1);
        let stuck = timers.wakes_at().expect("the end of its patience");
        assert!(stuck > Instant::now());

        advance(stuck - Instant::now()).await;
        let claim = timers.claim().expect("room for others");
        let rows = vec![row("silent", 100_000), row("other", 100_001)];
        timers.claimed(Ok(Due { rows, next: None }), |_| false);

        assert_eq!(claim.limit, PAGE);
        assert!(timers.holds(&Uuid::from_u128(100_001)));
        assert!(
            !timers.holds(&Uuid::from_u128(100_000)),
            "a stuck topic takes no more memory than its share"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn claimed_timers_are_bounded_whatever_their_topics() {
        let mut timers = timers();
        let filled = (0..10).map(|topic| fill(&mut timers, &topic.to_string(), topic * PAGE));
        assert_eq!(filled.sum::<usize>(), CAPACITY);
        assert_eq!(timers.wakes_at(), None, "room comes with what is published");
    }

    #[tokio::test(start_paused = true)]
    async fn a_claimed_timer_of_a_partition_that_leaves_is_left_to_its_next_owner() {
        let mut timers = timers();
        timers.claim().expect("room");
        let rows = vec![row("echoes", 1)];
        timers.claimed(Ok(Due { rows, next: None }), |source| source.partition == 0);

        assert!(!timers.holds(&Uuid::from_u128(1)));
        assert_eq!(timers.start_sends(PAGE).count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_was_cleared_while_it_was_claimed_again_is_not_sent_again() {
        let mut timers = timers();
        timers.claim().expect("room");
        let rows = vec![row("echoes", 1)];
        timers.claimed(Ok(Due { rows, next: None }), |_| false);
        assert_eq!(timers.start_sends(PAGE).count(), 1);
        timers.sent("echoes", &[]);
        timers.look();

        timers.claim().expect("room");
        assert!(timers.cleared(&Uuid::from_u128(1)));
        let rows = vec![row("echoes", 1)];
        timers.claimed(Ok(Due { rows, next: None }), |_| false);

        assert_eq!(timers.start_sends(PAGE).count(), 0);
    }
}
