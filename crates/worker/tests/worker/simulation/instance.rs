//! One life of one instance: the real worker behind a line of its own, which can be stopped and killed as a process can.

use std::sync::Arc;

use longshore_event::TopicPartition;
use longshore_testkit::memory::{MemorySource, SourceControl};
use longshore_worker::{Metrics, Retention, Settings, SourceError, StoreStrategy, Worker};
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::actor::Actor;
use super::line::{Condition, Line};
use super::ports::{SimPublisher, SimStore};
use crate::bench::GROUP;

/// A worker at work, or what is left of it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) line: Line,
    pub(super) control: SourceControl,
    /// Partitions that it believes to own, though the group has given them to others.
    pub(super) believes: Vec<TopicPartition>,
    pub(super) cut_off: bool,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Exit>,
}

/// How a life ended.
#[derive(Debug)]
pub(super) enum Exit {
    Died,
    Left(Result<(), SourceError>),
}

impl Instance {
    pub(super) fn start(
        settings: Settings,
        source: MemorySource,
        store: SimStore,
        publisher: SimPublisher,
    ) -> Self {
        let line = store.line.clone();
        line.journal.note(Some(line.life), "starts");
        let control = source.control();
        let actor = Actor {
            life: line.life,
            journal: line.journal.clone(),
            store: store.clone(),
        };
        let strategy = StoreStrategy::new(
            Arc::new(store),
            publisher,
            settings.clock.clone(),
            Retention::default(),
        );
        let metrics = Metrics::register(&mut Registry::default(), GROUP);
        let worker = Worker::new(actor, source, strategy, settings, metrics);
        let (stop, stopped) = oneshot::channel::<()>();
        let run = worker.run(async { stopped.await.unwrap_or_default() });
        Self {
            control,
            believes: Vec::new(),
            cut_off: false,
            stop: Some(stop),
            task: tokio::spawn(live(run, line.clone())),
            line,
        }
    }

    /// Whether the group would give it partitions.
    pub(super) fn is_well(&self) -> bool {
        !self.cut_off && !self.is_over() && self.line.is(Condition::Running) && self.stop.is_some()
    }

    pub(super) fn is_over(&self) -> bool {
        self.task.is_finished() || self.line.is(Condition::Dead)
    }

    /// Asks it to leave in good order.
    pub(super) fn ask_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            self.line
                .journal
                .note(Some(self.line.life), "is asked to stop");
            // It may have ended already.
            stop.send(()).unwrap_or_default();
        }
    }

    /// Waits for the end of its life.
    pub(super) async fn end(self) -> Result<(), String> {
        let life = self.line.life;
        match self.task.await {
            Ok(Exit::Died | Exit::Left(Ok(()))) => Ok(()),
            // A former owner's call came late and took the partition from it; it is started again.
            Ok(Exit::Left(Err(SourceError::TakenOver { .. }))) => Ok(()),
            Ok(Exit::Left(Err(error))) => Err(format!("#{life} left with an error: {error}")),
            Err(panic) => Err(format!("#{life} panicked: {panic}")),
        }
    }
}

/// Polls the worker only while its process runs.
async fn live(run: impl Future<Output = Result<(), SourceError>>, line: Line) -> Exit {
    let mut run = std::pin::pin!(run);
    loop {
        match line.condition.get() {
            Condition::Dead => return Exit::Died,
            Condition::Stopped => line.condition.until(|now| now != Condition::Stopped).await,
            Condition::Running => tokio::select! {
                biased;
                () = line.condition.until(|now| now != Condition::Running) => {}
                left = &mut run => return Exit::Left(left),
            },
        }
    }
}
