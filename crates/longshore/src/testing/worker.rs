//! The life of a worker under test: it runs, time passes, it crashes, comes back, and stops.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::Position;
use longshore_worker::{Handler, Report};
use tokio::task::JoinError;
use tokio::time::{sleep, timeout};

use super::TestSetup;
use super::setup::Start;
use super::site::{Instance, Site};
use super::time::Presence;
use crate::WorkerBuilder;
use crate::connected::LEAVE;
use crate::error::chain;

/// tokio's clock cannot move by less; what is done without time is done before it does.
const TICK: Duration = Duration::from_millis(1);

/// Ticks that a worker is given to finish what an earlier tick has begun.
const TICKS: usize = 20;

/// Passes unseen after time was let pass: the runtime gathers what becomes due for up to 20 ms.
const GATHER: Duration = Duration::from_millis(25);

/// The whole worker as `main` runs it, run loop and store included, on a log in memory. The test sends records, breaks
/// things, lets time pass, and looks at what came of it.
///
/// - Its topics exist: those that it reads, with their dead-letter topics, those that it says it publishes, and its redrive
///   topic. It owns all of their partitions.
/// - Its store is a SQLite file in a directory of its own, made by its own migrations.
/// - **Time stands still** but for [`advance`](Self::advance), and where a worker stops or partitions move. Retries, timers
///   and parked keys wait for it; calls of the store take none, and neither does
///   [`spawn_blocking`](tokio::task::spawn_blocking). Give the handler fakes of the servers it calls: the kit takes one that
///   waits for a real server for idle.
/// - Ids are counted and jitter is seeded. Which of two keys comes first may still differ from run to run: handlers that
///   read their store do so side by side.
///
/// ```
/// # use longshore::prelude::*;
/// # use longshore::testing::TestWorker;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct OrderDelivered { order_id: String }
/// # impl Event for OrderDelivered {
/// #     const TYPE: &'static str = "order.delivered";
/// #     fn key(&self) -> &str { &self.order_id }
/// # }
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Thanked { order_id: String }
/// # impl Event for Thanked {
/// #     const TYPE: &'static str = "thanked";
/// #     fn key(&self) -> &str { &self.order_id }
/// # }
/// # struct Thanks;
/// # impl Handler for Thanks {
/// #     type Payload = OrderDelivered;
/// #     const NAME: &'static str = "thanks";
/// #     async fn handle(&self, message: &Envelope<OrderDelivered>, context: &mut Context<'_, OrderDelivered>) -> Result<(), Failure> {
/// #         context.publish(&Thanked { order_id: message.event().order_id.clone() })
/// #     }
/// # }
/// fn thanks() -> WorkerBuilder<Thanks> {
///     WorkerBuilder::new("thanks", |_store| Thanks).reads(OrderDelivered::TOPIC).publishes(Thanked::TOPIC)
/// }
///
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let mut worker = TestWorker::start(thanks).await;
/// worker.store_down();
/// worker.send(&OrderDelivered { order_id: "o-1".into() });
/// worker.settle().await;
/// worker.expect_published::<Thanked>(&[]);
/// worker.store_up();
/// worker.advance(std::time::Duration::from_secs(10)).await;
/// worker.expect_published(&[Thanked { order_id: "o-1".into() }]);
/// worker.stop().await;
/// # })
/// ```
pub struct TestWorker {
    pub(super) site: Arc<Site>,
    pub(super) instance: Option<Instance>,
    /// What the worker said when it came to rest last.
    pub(super) report: Option<Report>,
    /// Dead letters that the test has sent back.
    pub(super) redriven: HashSet<Position>,
    start: Start,
    _standing: Presence,
}

impl TestWorker {
    /// Starts the worker that `worker` describes: pass the function that its `main` calls. [`TestSetup`] has more to choose.
    ///
    /// # Panics
    /// As [`TestSetup::start`].
    pub async fn start<H: Handler>(worker: impl Fn() -> WorkerBuilder<H> + Send + 'static) -> Self {
        TestSetup::new(worker).start().await
    }

    pub(super) fn new(site: Site, start: Start, standing: Presence) -> Self {
        Self {
            site: Arc::new(site),
            instance: None,
            report: None,
            redriven: HashSet::new(),
            start,
            _standing: standing,
        }
    }

    /// The time that handlers see: [`now`](super::now) at first.
    pub fn now(&self) -> Timestamp {
        self.site.world.clock.now()
    }

    /// Waits until the worker waits for nothing but time: everything is handled that can be, what failed waits for its next
    /// run, what was committed is published.
    ///
    /// A timer that is due at once waits for time as well: it fires in `advance(Duration::from_millis(1))`. And the outbox row
    /// of what was just published goes up to 50 ms later, together with others. After a [`crash`](Self::crash) before that it is
    /// published again, under the same id, as may happen in production.
    ///
    /// # Panics
    /// If the worker has ended by itself, or does not come to rest.
    pub async fn settle(&mut self) {
        self.pass(Duration::ZERO).await;
    }

    /// Lets time pass: retries run, timers fire, parked keys are tried again, each at its own time. Then settles.
    ///
    /// # Panics
    /// As [`settle`](Self::settle).
    pub async fn advance(&mut self, time: Duration) {
        self.pass(time).await;
    }

    /// Ends the worker as `kill -9` does: nothing is finished, committed or told to the group. What it had published and
    /// written stays. [`restart`](Self::restart) brings it back. What it published in the last 50 ms may be
    /// published again then, under the same ids: see [`settle`](Self::settle).
    ///
    /// # Panics
    /// If it is not running.
    pub async fn crash(&mut self) {
        let mut instance = self.take_instance();
        instance.task.abort();
        // Cancelled is what it should be.
        (&mut instance.task).await.ok();
        self.report = None;
    }

    /// Starts the worker again, on the same log and the same store.
    ///
    /// # Panics
    /// If it is running, or something that the last instance left behind still holds the store.
    pub async fn restart(&mut self) {
        let name = self.site.name;
        assert!(
            self.instance.is_none(),
            "{name} is running: crash or stop it first"
        );
        self.instance = Some((self.start)(self.site.clone()).await);
        self.settle().await;
    }

    /// Takes all partitions from the worker in good order, as when others join the group, and gives them back. In-flight
    /// messages have the time of `--drain` to finish.
    ///
    /// # Panics
    /// As [`settle`](Self::settle).
    pub async fn rebalance(&mut self) {
        let (control, partitions) = (self.instance().control.clone(), self.site.partitions());
        let revoked = control.revoke(&partitions, self.site.args.drain);
        if let Err(stuck) = self.site.world.clock.pass(None, revoked).await {
            panic!("{stuck}{}", self.explained());
        }
        control.assign(&partitions);
        self.settle().await;
    }

    /// Takes all partitions from the worker without asking, as after a session time-out, and gives them back. What was in
    /// flight is handled again.
    ///
    /// # Panics
    /// As [`settle`](Self::settle).
    pub async fn lose_partitions(&mut self) {
        let (control, partitions) = (self.instance().control.clone(), self.site.partitions());
        control.lose(&partitions);
        control.assign(&partitions);
        self.settle().await;
    }

    /// Stops the worker as SIGTERM does. It can be restarted.
    ///
    /// # Panics
    /// If it is not running, does not stop within its `--drain`, or leaves messages behind that it had begun.
    pub async fn stop(&mut self) {
        let explained = self.explained();
        let (name, within) = (self.site.name, self.site.args.drain + LEAVE);
        let mut instance = self.take_instance();
        if let Some(stop) = instance.stop.take() {
            // Nobody listens if the worker has ended by itself, which is told below.
            stop.send(()).ok();
        }
        let ended = timeout(within, &mut instance.task);
        match self.site.world.clock.pass(None, ended).await {
            Ok(Ok(Ok(Ok(())))) => {}
            Ok(Ok(ended)) => panic!("{name} did not stop cleanly: {}", reason(ended)),
            Ok(Err(_)) => panic!("{name} did not stop within {within:?}{explained}"),
            Err(stuck) => panic!("{name} did not stop: {stuck}{explained}"),
        }
        let left = instance.control.in_flight();
        assert!(
            left == 0,
            "{name} stopped with {left} records in flight, which are handled again{explained}"
        );
        self.report = None;
    }

    async fn pass(&mut self, time: Duration) {
        let passed = async {
            if !time.is_zero() {
                sleep(time + GATHER).await;
            }
            self.rest().await;
        };
        if let Err(stuck) = self.site.world.clock.pass(Some(time), passed).await {
            panic!("{}: {stuck}{}", self.site.name, self.explained());
        }
        self.look().await;
    }

    /// A tick of the paused clock comes once no task can run and no call of a store is under way. What it wakes that should
    /// have waited for the next is given the time to finish.
    async fn rest(&self) {
        for _ in 0..TICKS {
            let before = self.site.activity();
            sleep(TICK).await;
            if self.site.activity() == before {
                return;
            }
        }
    }

    /// Asks the worker how it is.
    async fn look(&mut self) {
        let Some(instance) = &mut self.instance else {
            return;
        };
        self.report = instance.inspector.report().await;
        if self.report.is_none() {
            let ended = (&mut instance.task).await;
            panic!("{} has ended by itself: {}", self.site.name, reason(ended));
        }
    }

    #[track_caller]
    pub(super) fn instance(&self) -> &Instance {
        match &self.instance {
            Some(instance) => instance,
            None => panic!("{} is not running: restart it first", self.site.name),
        }
    }

    #[track_caller]
    fn take_instance(&mut self) -> Instance {
        match self.instance.take() {
            Some(instance) => instance,
            None => panic!("{} is not running: restart it first", self.site.name),
        }
    }
}

fn reason(ended: Result<Result<(), longshore_worker::SourceError>, JoinError>) -> String {
    match ended {
        Ok(Ok(())) => "nobody asked it to stop".to_owned(),
        Ok(Err(error)) => chain(&error),
        Err(error) => chain(&error),
    }
}

impl std::fmt::Debug for TestWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestWorker")
            .field("name", &self.site.name)
            .field("report", &self.report)
            .finish_non_exhaustive()
    }
}
