//! The relay at work: one task that owns the queues, sends one batch a topic at a time, and clears the table behind it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use longshore_event::TopicPartition;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::Request;
use super::backlog::Backlog;
use super::load::{Load, PAGE, Page};
use super::queue::TopicQueue;
use super::refusals::Refusals;
use super::send::{Batch, Kind, Sent, send};
use super::timers::{Claim, Claimed, Claiming, Timers};
use crate::backoff::Backoff;
use crate::pending::{at, optional};
use crate::{Clock, OutboxRow, Publisher, Store};

/// Rows in one call of the publisher.
const SEND: usize = 1_000;
/// Acknowledged rows wait this long for others, so that clearing the table costs one transaction for many of them.
const CLEAR_AFTER: Duration = Duration::from_millis(50);
/// Acknowledged rows that are cleared at once.
const CLEAR_AT: usize = 5_000;
/// How often the store is asked for rows that a process left behind which did not know it had lost its partitions.
const SWEEP: Duration = Duration::from_secs(60);

pub(super) struct Task<S, P> {
    store: Arc<S>,
    publisher: Arc<P>,
    timers: Timers,
    claiming: Claiming,
    requests: mpsc::Receiver<Request>,
    owned: HashSet<TopicPartition>,
    /// Whether somebody beside the messages publishes through this relay.
    is_rung: bool,
    queues: BTreeMap<Arc<str>, TopicQueue>,
    backlog: Backlog,
    refusals: Refusals,
    /// Every row in memory, until it is cleared from the store: what is loaded again is not sent again.
    held: HashSet<Uuid>,
    sends: FuturesUnordered<BoxFuture<'static, Sent>>,
    acknowledged: Vec<(Uuid, TopicPartition)>,
    clear_at: Option<Instant>,
    clearing: Option<BoxFuture<'static, ()>>,
    being_cleared: Vec<(Uuid, TopicPartition)>,
    loads: VecDeque<Load>,
    loading: Option<BoxFuture<'static, Page>>,
    /// Rows cleared while a page was being read, which may still hold them.
    cleared_meanwhile: HashSet<Uuid>,
    waiters: Vec<Waiter>,
    sweep_at: Instant,
}

/// Somebody who waits until nothing of these partitions is on its way.
struct Waiter {
    partitions: Vec<TopicPartition>,
    hand_over: bool,
    done: oneshot::Sender<()>,
}

impl Waiter {
    /// Whether its partitions are about to be another owner's. Nobody waits for those that were lost.
    fn is_letting_go(&self) -> bool {
        self.hand_over && !self.done.is_closed()
    }
}

impl<S: Store, P: Publisher> Task<S, P> {
    pub(super) fn new(
        store: Arc<S>,
        publisher: P,
        clock: Clock,
        requests: mpsc::Receiver<Request>,
        (backlog, refusals): (Backlog, Refusals),
    ) -> Self {
        Self {
            store,
            publisher: Arc::new(publisher),
            timers: Timers::new(clock),
            claiming: None,
            requests,
            owned: HashSet::new(),
            is_rung: false,
            queues: BTreeMap::new(),
            backlog,
            refusals,
            held: HashSet::new(),
            sends: FuturesUnordered::new(),
            acknowledged: Vec::new(),
            clear_at: None,
            clearing: None,
            being_cleared: Vec::new(),
            loads: VecDeque::new(),
            loading: None,
            cleared_meanwhile: HashSet::new(),
            waiters: Vec::new(),
            sweep_at: Instant::now() + SWEEP,
        }
    }

    /// Works until the last handle is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let stuck_at = self.next_stuck_at();
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(request) => self.requested(request),
                    None => return,
                },
                Some(sent) = self.sends.next() => self.sent(sent),
                () = optional(&mut self.clearing) => self.cleared(),
                page = optional(&mut self.loading) => self.loaded(page),
                claimed = optional(&mut self.claiming) => self.claimed(claimed),
                () = at(self.timers.wakes_at()), if self.may_claim() => self.claim(),
                () = at(self.clear_at), if self.clearing.is_none() => self.start_clearing(),
                () = sleep_until(self.sweep_at) => self.sweep(),
                () = at(stuck_at) => self.look_at_clock(),
                () = self.backlog.turn(&self.store) => {}
            }
            self.start_sends();
            self.start_load();
            self.tell_waiters();
            let mut queues = self.queues.values();
            self.backlog.look(queues.any(TopicQueue::has_spilled));
        }
    }

    /// An instance without partitions leaves timers to the others, unless it has put some into the store itself: nobody
    /// else knows of those.
    fn may_claim(&self) -> bool {
        self.is_rung || !self.owned.is_empty()
    }

    fn requested(&mut self, request: Request) {
        match request {
            Request::Publish(rows) => {
                // What was committed while its partition went is the next owner's, and behind what was forgotten of it here.
                for row in rows {
                    if self.owned.contains(&row.source) {
                        self.offer(row, TopicQueue::offer);
                    }
                }
            }
            Request::Timer(due_at) => self.timers.set(due_at),
            Request::Rung(due_at) => {
                self.is_rung = true;
                self.timers.set(due_at);
            }
            Request::Own(partitions) => self.owned.extend(partitions),
            Request::Look => {
                // One that waits already reads later than this, and so enough.
                let waits = |load: &Load| load.done.is_none() && load.after.is_none();
                if !self.loads.iter().any(waits) {
                    self.load_behind(None, None);
                }
            }
            Request::Load { partitions, done } => {
                // Whoever does not know what was committed does not know its timers either.
                self.timers.look();
                self.loads.push_back(Load {
                    partitions,
                    after: None,
                    reloads: None,
                    backoff: None,
                    done: Some(done),
                });
            }
            Request::Settle { partitions, done } => self.wait(partitions, false, done),
            Request::HandOver { partitions, done } => {
                for partition in &partitions {
                    self.owned.remove(partition);
                }
                self.timers.forget(&partitions);
                self.wait(partitions, true, done);
            }
        }
    }

    fn wait(
        &mut self,
        partitions: Vec<TopicPartition>,
        hand_over: bool,
        done: oneshot::Sender<()>,
    ) {
        self.waiters.push(Waiter {
            partitions,
            hand_over,
            done,
        });
        // Somebody waits for the table to be clear: no gathering then.
        self.clear_at = self.clear_at.map(|_| Instant::now());
    }

    fn offer(&mut self, row: OutboxRow, offer: impl Fn(&mut TopicQueue, OutboxRow) -> bool) {
        if self.held.contains(&row.id) || self.cleared_meanwhile.contains(&row.id) {
            return;
        }
        let (id, topic) = (row.id, row.record.topic.clone());
        let queue = self
            .queues
            .entry(topic.clone())
            .or_insert_with(|| TopicQueue::new(topic));
        if offer(queue, row) {
            self.held.insert(id);
        }
    }

    fn claim(&mut self) {
        let Some(Claim { now, until, limit }) = self.timers.claim() else {
            return;
        };
        let store = self.store.clone();
        self.claiming = Some(async move { store.claim_due(now, until, limit).await }.boxed());
    }

    fn claimed(&mut self, claimed: Claimed) {
        self.claiming = None;
        let waiters = &self.waiters;
        self.timers.claimed(claimed, |source| {
            let mut letting_go = waiters.iter().filter(|waiter| waiter.is_letting_go());
            letting_go.any(|waiter| waiter.partitions.contains(source))
        });
    }

    fn start_sends(&mut self) {
        let mut spilled = None;
        for (topic, queue) in &mut self.queues {
            if let Some((rows, wait)) = queue.start(SEND) {
                let batch = Batch {
                    kind: Kind::Outbox,
                    topic: topic.clone(),
                    rows,
                    wait,
                };
                self.sends.push(send(self.publisher.clone(), batch).boxed());
            }
            if self.loads.is_empty() && self.loading.is_none() && spilled.is_none() {
                spilled = queue.take_spilled().map(|from| (topic.clone(), from));
            }
        }
        for batch in self.timers.start_sends(SEND) {
            self.sends.push(send(self.publisher.clone(), batch).boxed());
        }
        if let Some((topic, from)) = spilled {
            self.load_behind(Some(from - 1), Some(topic));
        }
    }

    fn sent(&mut self, sent: Sent) {
        let mut failed = Vec::new();
        for (row, result) in sent.rows.into_iter().zip(sent.results) {
            match result {
                Ok(()) => self.acknowledged.push((row.id, row.source)),
                Err(error) => failed.push((row, error)),
            }
        }
        let error = failed.first().map(|(_, error)| error);
        self.refusals.sent(&sent.topic, sent.kind, error);
        match (sent.kind, self.queues.get_mut(&sent.topic)) {
            (Kind::Timers, _) => self.timers.sent(&sent.topic, &failed),
            (Kind::Outbox, Some(queue)) => queue.sent(failed),
            (Kind::Outbox, None) => {}
        }
        if self.acknowledged.is_empty() {
            return;
        }
        let somebody_waits = self.waiters.iter().any(|waiter| !waiter.done.is_closed());
        let hurry = self.acknowledged.len() >= CLEAR_AT || somebody_waits;
        let wait = if hurry { Duration::ZERO } else { CLEAR_AFTER };
        let due = Instant::now() + wait;
        self.clear_at = Some(self.clear_at.map_or(due, |at| at.min(due)));
    }

    fn start_clearing(&mut self) {
        self.clear_at = None;
        self.being_cleared = std::mem::take(&mut self.acknowledged);
        let ids: Vec<Uuid> = self.being_cleared.iter().map(|(id, _)| *id).collect();
        let store = self.store.clone();
        let clear = async move {
            let mut backoff = Backoff::new();
            // The commits of the same store tell of its outage; here it is only waited out.
            while store.published(&ids).await.is_err() {
                backoff.wait().await;
            }
        };
        self.clearing = Some(clear.boxed());
    }

    fn cleared(&mut self) {
        self.clearing = None;
        let loading = self.loading.is_some();
        for (id, _) in self.being_cleared.drain(..) {
            if self.timers.cleared(&id) {
                continue;
            }
            self.held.remove(&id);
            if loading {
                self.cleared_meanwhile.insert(id);
            }
        }
    }

    fn sweep(&mut self) {
        self.sweep_at = Instant::now() + SWEEP;
        self.load_behind(None, None);
        self.timers.look();
    }

    fn load_behind(&mut self, after: Option<i64>, reloads: Option<Arc<str>>) {
        self.loads.push_back(Load {
            partitions: self.owned.iter().cloned().collect(),
            after,
            reloads,
            backoff: None,
            done: None,
        });
    }

    fn start_load(&mut self) {
        if self.loading.is_some() {
            return;
        }
        self.cleared_meanwhile.clear();
        if let Some(load) = self.loads.pop_front() {
            self.loading = Some(load.read(self.store.clone()).boxed());
        }
    }

    fn loaded(&mut self, page: Page) {
        self.loading = None;
        let mut load = page.load;
        match page.rows {
            Ok(rows) => {
                let whole = rows.len() == PAGE;
                load.after = rows.last().map(|row| row.sequence).or(load.after);
                for row in rows {
                    self.offer(row, TopicQueue::offer_stored);
                }
                if whole {
                    load.backoff = None;
                    self.loads.push_front(load);
                    return;
                }
                if let Some(queue) = load.reloads.and_then(|topic| self.queues.get_mut(&topic)) {
                    queue.reloaded();
                }
                if let Some(done) = load.done {
                    // Whoever asked may have been cancelled.
                    done.send(Ok(load.after)).unwrap_or_default();
                }
            }
            Err(error) => match load.done.take() {
                Some(done) => done.send(Err(error)).unwrap_or_default(),
                None => {
                    load.backoff.get_or_insert_with(Backoff::new);
                    self.loads.push_back(load);
                }
            },
        }
    }

    fn tell_waiters(&mut self) {
        let mut index = 0;
        while index < self.waiters.len() {
            if self.is_busy_for(&self.waiters[index]) {
                index += 1;
                continue;
            }
            let waiter = self.waiters.swap_remove(index);
            if waiter.hand_over {
                // Some may have come back while nobody waited any more.
                let owned = &self.owned;
                let gone = waiter
                    .partitions
                    .iter()
                    .filter(|partition| !owned.contains(partition));
                self.forget(&gone.cloned().collect::<Vec<_>>());
            } else {
                let queues = self.queues.values();
                queues.for_each(|queue| queue.taken_over(&waiter.partitions));
            }
            // Whoever waited may have given up.
            waiter.done.send(()).unwrap_or_default();
        }
    }

    /// When the next topic is stuck, if somebody takes over and waits.
    fn next_stuck_at(&self) -> Option<Instant> {
        let mut waiters = self.waiters.iter();
        waiters.find(|waiter| !waiter.hand_over)?;
        self.queues.values().filter_map(TopicQueue::stuck_at).min()
    }

    fn look_at_clock(&mut self) {
        let now = Instant::now();
        for queue in self.queues.values_mut() {
            queue.look_at_clock(now);
        }
    }

    /// A hand-over waits for the timers being sent too, so that the next owner does not send them again; the last one for
    /// every timer that was claimed, whosever it is: this process may end then. A partition that is taken over does not:
    /// timers come at any time. Nor does it wait for a topic that does not answer.
    fn is_busy_for(&self, waiter: &Waiter) -> bool {
        let partitions = &waiter.partitions;
        let mut acknowledged = self.acknowledged.iter().chain(&self.being_cleared);
        let mut queues = self.queues.values();
        queues
            .any(|queue| (waiter.hand_over || !queue.is_stuck()) && queue.is_busy_with(partitions))
            || waiter.hand_over && self.timers.is_sending(partitions)
            || waiter.is_letting_go() && self.owned.is_empty() && self.timers.are_claimed()
            || acknowledged.any(|(id, source)| {
                partitions.contains(source) && (waiter.hand_over || !self.timers.holds(id))
            })
    }

    /// What could not be published of partitions that are handed over waits in the store for their next owner.
    fn forget(&mut self, partitions: &[TopicPartition]) {
        for queue in self.queues.values_mut() {
            for row in queue.forget(partitions) {
                self.held.remove(&row.id);
            }
        }
        // Those that are still this worker's are refused again.
        self.refusals.forget_timers();
    }
}
