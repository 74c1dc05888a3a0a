//! Feeds sample orders at a steady rate, each acknowledged.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use longshore_event::{Identity, OutgoingRecord, encode_new};
use longshore_kafka::{Connection, KafkaPublisher};
use longshore_worker::Publisher;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::progress::{Progress, RunId};
use super::sample;

/// Batches a second: smooth enough to watch.
const BATCHES_PER_SECOND: f64 = 20.0;
/// `ce_source` of sample orders.
const SOURCE: &str = "longshore-up";

/// A task that feeds. Dropping it ends it.
pub(super) struct Feed {
    task: JoinHandle<anyhow::Result<()>>,
    done: bool,
}

impl Feed {
    /// Begins once `ready` completes, so that orders are not late before anybody could take them.
    pub(super) fn start(
        connection: &Connection,
        progress: &Progress,
        rate: f64,
        ready: impl Future<Output = ()> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let publisher = KafkaPublisher::connect(connection)?;
        let (run, orders) = (progress.run(), progress.total());
        let task = tokio::spawn(async move {
            ready.await;
            feed(publisher, run, orders, rate).await
        });
        Ok(Self { task, done: false })
    }

    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Waits until the last order is acknowledged. Safe to cancel; not to be called again afterwards.
    pub(super) async fn done(&mut self) -> anyhow::Result<()> {
        let result = (&mut self.task).await;
        self.done = true;
        result.context("feeding orders broke off")?
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn feed(
    publisher: KafkaPublisher,
    run: RunId,
    orders: usize,
    rate: f64,
) -> anyhow::Result<()> {
    let mut ticks = interval(Duration::from_secs_f64(1.0 / BATCHES_PER_SECOND));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut fed = 0;
    let mut due = 0.0;
    while fed < orders {
        ticks.tick().await;
        due += rate / BATCHES_PER_SECOND;
        let until = (due.ceil() as usize).min(orders);
        let records = (fed..until).map(|number| record(&run, number));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        for result in publisher.publish(&records).await {
            result.context("an order was not accepted")?;
        }
        fed = until;
    }
    Ok(())
}

fn record(run: &RunId, number: usize) -> Result<OutgoingRecord, serde_json::Error> {
    let now = Timestamp::now();
    let order = sample::order(run.order(number), number, now);
    encode_new(&order, &Identity::fresh(SOURCE), None, now)
}
