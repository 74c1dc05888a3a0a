//! Longshore's worker at the same work.

use std::sync::Arc;
use std::time::Duration;

use longshore_event::Envelope;
use longshore_kafka::{Connection, KafkaSource};
use longshore_store::{Migration, SqlStore};
use longshore_worker::{
    Clock, CommitStrategy, Context, Failure, Handler, Metrics, PlainStrategy, Retention, Settings,
    StoreStrategy, Worker, sql,
};
use prometheus_client::registry::Registry;

use super::Task;
use crate::note::{AnyTopic, COUNT, Echo, TABLE};
use crate::output::ToOutput;

const MIGRATIONS: &[Migration] = &[Migration {
    module: "bench",
    version: 1,
    name: "counts",
    sql: TABLE,
}];

pub(super) async fn store(task: Task, max_batch: Option<usize>) -> anyhow::Result<()> {
    let store = SqlStore::open(&task.store.parse()?, &task.group, MIGRATIONS).await?;
    let strategy = StoreStrategy::new(
        Arc::new(store),
        publisher(&task)?,
        Clock::system(),
        Retention::default(),
    );
    let mut settings = Settings::new(task.group.as_str());
    if let Some(max_batch) = max_batch {
        settings.max_batch = max_batch;
    }
    run(task, strategy, settings, true).await
}

pub(super) async fn plain(task: Task) -> anyhow::Result<()> {
    let strategy = PlainStrategy::new(publisher(&task)?);
    let settings = Settings::new(task.group.as_str());
    run(task, strategy, settings, false).await
}

async fn run(
    task: Task,
    strategy: impl CommitStrategy,
    settings: Settings,
    writes: bool,
) -> anyhow::Result<()> {
    let connection = Connection::new(&task.brokers);
    let source = KafkaSource::subscribe(
        &connection,
        &task.group,
        &[task.input],
        settings.max_in_flight,
        Duration::from_secs(5),
    )
    .await?;
    let metrics = Metrics::register(&mut Registry::default(), &task.group);
    let worker = Worker::new(Echoing { writes }, source, strategy, settings, metrics);
    Ok(worker.run(std::future::pending()).await?)
}

fn publisher(task: &Task) -> anyhow::Result<ToOutput> {
    ToOutput::connect(&Connection::new(&task.brokers), &task.output)
}

struct Echoing {
    writes: bool,
}

impl Handler for Echoing {
    type Payload = AnyTopic;
    const NAME: &'static str = "echo";

    async fn handle(
        &self,
        message: &Envelope<AnyTopic>,
        context: &mut Context<'_, AnyTopic>,
    ) -> Result<(), Failure> {
        let AnyTopic(note) = message.event();
        if self.writes {
            context.write(sql(COUNT).bind(note.key.clone()));
        }
        context.publish(&Echo::from(note))
    }
}
