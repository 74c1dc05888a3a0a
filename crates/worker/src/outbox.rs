//! Commands: what no message causes, such as a request over HTTP, commits like a message and publishes in order, however
//! many processes commit side by side.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{
    Event, Identity, Offset, Position, TopicPartition, TraceParent, attribute, derived_id,
    encode_new,
};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};
use uuid::Uuid;

use crate::failure::chain;
use crate::pruning::Pruning;
use crate::relay::Relay;
use crate::{
    Claim, Clock, Finished, OutboxRow, Publisher, Retention, Statement, Store, StoreError,
};

/// How long a process may go without renewing its lease before another one publishes in its place.
const LEASE: Duration = Duration::from_secs(10);
/// How often the lease is renewed, or asked for.
const RENEW: Duration = Duration::from_secs(3);
/// How often the holder looks for what other processes have committed. What it commits itself wakes it.
const POLL: Duration = Duration::from_millis(250);

/// A store that takes commands, from several processes at once if it can be shared.
pub trait CommandStore: Store {
    /// One transaction: the command's claim, its statements and its outbox rows. The rows are given sequences here,
    /// ascending in the order in which commits of one source become visible; those they bring are not looked at.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] if a command of this identity has taken effect; [`StoreError::Rejected`] if a statement
    /// cannot succeed; otherwise [`StoreError::Unavailable`]: the outcome is then unknown, and trying again tells it.
    fn commit_command(
        &self,
        command: &Finished,
        now: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Takes or renews a lease, if it is free, over, or the holder's own; says whether the holder has it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    fn lease(
        &self,
        lease: &Lease<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Whether other processes may commit to it at the same time.
    fn is_shared(&self) -> bool;
}

/// The wish for a lease.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// What is leased.
    pub name: &'a str,
    /// Who wants it.
    pub holder: &'a str,
    /// Until when. A time that has passed gives it back.
    pub until: Timestamp,
}

/// Where a command comes from, for those who follow its events.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Shared by all events of the business transaction.
    pub correlation_id: String,
    /// The position in the trace.
    pub trace: Option<TraceParent>,
}

/// What a command decided: statements and events, one transaction.
#[derive(Debug)]
pub struct CommandEffects {
    group: Arc<str>,
    identity: Identity,
    origin: Origin,
    now: Timestamp,
    writes: Vec<Statement>,
    rows: Vec<OutboxRow>,
    source: TopicPartition,
}

impl CommandEffects {
    /// Runs a statement in the command's transaction.
    pub fn write(&mut self, statement: Statement) {
        self.writes.push(statement);
    }

    /// Publishes an event once the command is committed. Its id derives from the command's, so that a command that is
    /// tried again publishes the same event.
    ///
    /// # Errors
    /// When the event does not serialise to JSON.
    pub fn publish<E: Event>(&mut self, event: &E) -> Result<(), serde_json::Error> {
        let id = derived_id(&self.group, &self.identity, self.rows.len());
        let identity = Identity {
            source: (&*self.group).into(),
            id: id.to_string().into(),
        };
        let correlation_id = Some(self.origin.correlation_id.as_str());
        let mut record = encode_new(event, &identity, correlation_id, self.now)?;
        if let Some(parent) = self.origin.trace {
            let span = parent.child(id.as_u64_pair().1);
            let headers = &mut record.headers;
            headers.push_str(attribute::TRACE_PARENT, &span.to_string());
        }
        self.rows.push(OutboxRow {
            id,
            sequence: 0,
            source: self.source.clone(),
            record,
        });
        Ok(())
    }
}

/// Commits commands to a store and publishes their events.
///
/// Any number of processes commit; the one that holds a lease publishes for all. The lease only saves copies: two that
/// publish at once send the same rows under the same ids, each of them in order. What is committed while this one does not
/// run is published by another, or by the next one to start.
#[derive(Debug)]
pub struct Outbox<S> {
    store: Arc<S>,
    group: Arc<str>,
    source: TopicPartition,
    clock: Clock,
    committed: Arc<Notify>,
    publishing: JoinHandle<()>,
    /// Within how long to publish the rest and end, once it is to end.
    stop: watch::Sender<Option<Duration>>,
    ended: watch::Receiver<bool>,
    _pruning: Pruning,
}

impl<S: CommandStore> Outbox<S> {
    /// Starts publishing what is and will be committed in the name of `group`. `instance` tells its processes apart.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(
        store: Arc<S>,
        publisher: impl Publisher,
        group: &str,
        instance: Uuid,
        clock: Clock,
        retention: Retention,
    ) -> Self {
        let source = TopicPartition::new(group, 0);
        let committed = Arc::new(Notify::new());
        let (stop, stopped) = watch::channel(None);
        let (end, ended) = watch::channel(false);
        let holder = Holder {
            relay: Relay::spawn(store.clone(), publisher, clock.clone()),
            store: store.clone(),
            instance: instance.to_string(),
            source: source.clone(),
            clock: clock.clone(),
            committed: committed.clone(),
            holds: false,
        };
        Self {
            _pruning: Pruning::spawn(store.clone(), retention, clock.clone()),
            store,
            group: group.into(),
            source,
            clock,
            committed,
            publishing: tokio::spawn(async move {
                holder.run(stopped).await;
                end.send_replace(true);
            }),
            stop,
            ended,
        }
    }

    /// Effects of a command, none yet. `identity` is what the inbox knows it by: a command takes effect once.
    pub fn effects(&self, identity: Identity, origin: &Origin) -> CommandEffects {
        CommandEffects {
            group: self.group.clone(),
            identity,
            origin: origin.clone(),
            now: self.clock.now(),
            writes: Vec::new(),
            rows: Vec::new(),
            source: self.source.clone(),
        }
    }

    /// Makes the effects of a command true, all of them or none. When the future is dropped, the commit goes on.
    ///
    /// # Errors
    /// As [`CommandStore::commit_command`].
    pub async fn commit(&self, effects: CommandEffects) -> Result<(), StoreError> {
        let publishes = !effects.rows.is_empty();
        let command = Finished {
            identity: effects.identity,
            position: Position {
                partition: effects.source,
                offset: Offset(0),
            },
            key: None,
            claim: Claim::Inbox,
            writes: effects.writes,
            outbox: effects.rows,
            timers: Vec::new(),
            parked: None,
            releases: None,
            keeps: None,
        };
        let (store, committed) = (self.store.clone(), self.committed.clone());
        // Whoever gives up waiting must not leave events behind that nobody was told of.
        let committing = tokio::spawn(async move {
            store.commit_command(&command, effects.now).await?;
            if publishes {
                committed.notify_one();
            }
            Ok(())
        });
        let result = committing.await;
        result.unwrap_or_else(|panicked| Err(StoreError::Unavailable(panicked.into())))
    }

    /// Publishes what is committed and lets another process go on, within `limit`. What is left then, and what is committed
    /// later, is not lost: another process publishes it, or the next one to start.
    pub async fn close(&self, limit: Duration) {
        self.stop.send_replace(Some(limit));
        // A task that is gone without a word has panicked, which the runtime told.
        self.ended.clone().wait_for(|ended| *ended).await.ok();
    }
}

impl<S> Drop for Outbox<S> {
    fn drop(&mut self) {
        self.publishing.abort();
    }
}

/// The task that publishes while it holds the lease.
struct Holder<S> {
    store: Arc<S>,
    relay: Relay,
    instance: String,
    source: TopicPartition,
    clock: Clock,
    committed: Arc<Notify>,
    holds: bool,
}

impl<S: CommandStore> Holder<S> {
    async fn run(mut self, mut stopped: watch::Receiver<Option<Duration>>) {
        let shared = self.store.is_shared();
        let mut renew_at = Instant::now();
        if !shared {
            self.take().await;
        }
        let limit = loop {
            if shared && Instant::now() >= renew_at {
                renew_at = Instant::now() + RENEW;
                self.renew().await;
            }
            if self.holds {
                self.relay.look().await;
            }
            let look_at = match self.holds {
                true => renew_at.min(Instant::now() + POLL),
                false => renew_at,
            };
            tokio::select! {
                limit = asked_to_stop(&mut stopped) => break limit,
                () = self.committed.notified() => {}
                () = sleep_until(look_at), if shared => {}
            }
        };
        if self.holds && timeout(limit, self.let_go()).await.is_err() {
            warn!("not all events are published; they wait in the store");
        }
    }

    async fn renew(&mut self) {
        let now = self.clock.now();
        let renewed = self.store.lease(&self.wish(now + LEASE), now).await;
        match renewed {
            Ok(true) if !self.holds => self.take().await,
            Ok(false) if self.holds => {
                info!("another instance publishes from now on");
                self.holds = false;
                // Another one may send the same meanwhile; that is no reason to wait for an outage to end.
                timeout(RENEW, self.relay.hand_over(vec![self.source.clone()]))
                    .await
                    .ok();
            }
            Ok(_) => {}
            // Publishing goes on: what would be published twice is not there to be read either.
            Err(error) => warn!(
                error = chain(&error),
                "lease of the outbox not renewed; tried again"
            ),
        }
    }

    async fn take(&mut self) {
        self.holds = true;
        self.relay.own(vec![self.source.clone()]).await;
    }

    /// Publishes all there is, then frees the lease.
    async fn let_go(&self) {
        let partitions = vec![self.source.clone()];
        // What cannot be read now is read by the next one.
        self.relay.load(partitions.clone()).await.ok();
        self.relay.hand_over(partitions).await;
        if self.store.is_shared() {
            let now = self.clock.now();
            // An outage: it is over by itself soon.
            self.store.lease(&self.wish(now), now).await.ok();
        }
    }

    fn wish(&self, until: Timestamp) -> Lease<'_> {
        Lease {
            name: &self.source.topic,
            holder: &self.instance,
            until,
        }
    }
}

/// The time to end in, once it is given.
async fn asked_to_stop(stopped: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopped.wait_for(Option::is_some).await {
        Ok(limit) => limit.unwrap_or_default(),
        // The outbox is gone, and this task with it.
        Err(_) => Duration::ZERO,
    }
}
