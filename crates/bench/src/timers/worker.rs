//! The worker that sets the timers and fires them, in a process of its own so that its memory is its alone.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;
use longshore_event::Envelope;
use longshore_kafka::{Connection, KafkaSource};
use longshore_store::SqlStore;
use longshore_worker::{
    Clock, Context, Failure, Handler, Metrics, Retention, Settings, StoreStrategy, Worker,
};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::plan::{Alarm, Plan};
use crate::note::AnyTopic;
use crate::output::ToOutput;

/// What the worker is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(super) brokers: String,
    pub(super) store: String,
    pub(super) input: String,
    pub(super) output: String,
    pub(super) group: String,
    pub(super) plan: Plan,
}

/// Works until standard input ends, so that it never outlives the benchmark.
pub(crate) async fn work(task: Task) -> anyhow::Result<()> {
    let connection = Connection::new(&task.brokers);
    let store = SqlStore::open(&task.store.parse()?, &task.group, &[]).await?;
    let strategy = StoreStrategy::new(
        Arc::new(store),
        ToOutput::connect(&connection, &task.output)?,
        Clock::system(),
        Retention::default(),
    );
    let settings = Settings::new(task.group.as_str());
    let source = KafkaSource::subscribe(
        &connection,
        &task.group,
        &[task.input],
        settings.max_in_flight,
        Duration::from_secs(5),
    )
    .await?;
    let metrics = Metrics::register(&mut Registry::default(), &task.group);
    let handler = Setting { plan: task.plan };
    let worker = Worker::new(handler, source, strategy, settings, metrics);
    Ok(worker.run(input_ends()).await?)
}

async fn input_ends() {
    let (ended, end) = oneshot::channel::<()>();
    // A thread of its own: it must not hold up the end of a worker that fails.
    thread::spawn(move || {
        // An input that cannot be read has ended too; the dropped sender says so.
        std::io::read_to_string(std::io::stdin()).unwrap_or_default();
        drop(ended);
    });
    end.await.unwrap_or_default();
}

/// Sets a timer for each note.
struct Setting {
    plan: Plan,
}

impl Handler for Setting {
    type Payload = AnyTopic;
    const NAME: &'static str = "setting";

    async fn handle(
        &self,
        message: &Envelope<AnyTopic>,
        context: &mut Context<'_, AnyTopic>,
    ) -> Result<(), Failure> {
        let AnyTopic(note) = message.event();
        let number = note.number_of();
        let due = self.plan.due(number);
        let alarm = Alarm {
            key: note.key.clone(),
            number,
            due,
        };
        let when = Timestamp::from_millisecond(due).map_err(Failure::permanent)?;
        context.publish_at(&alarm, when)?;
        Ok(())
    }
}
