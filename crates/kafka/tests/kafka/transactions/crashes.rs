//! Workers on transactions that crash, and producers that are fenced, at random points: readers of committed records
//! see each output once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use longshore_event::Envelope;
use longshore_kafka::{Admin, KafkaError, KafkaPublisher, KafkaSource, NewTopic};
use longshore_testkit::memory::{Echo, Note};
use longshore_worker::{Context, Failure, Handler, Metrics, Publisher, Settings, Worker};
use prometheus_client::registry::Registry;
use rdkafka::producer::Producer;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{TIMEOUT, transactional, transactional_producer};
use crate::support::{connection, new_topic, unique, within};

const MESSAGES: usize = 600;

/// Publishes an echo of each note, and counts.
struct Echoing {
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    count: AtomicUsize,
    more: Notify,
}

impl Calls {
    async fn reach(&self, count: usize) {
        while self.count.load(Ordering::SeqCst) < count {
            let more = self.more.notified();
            if self.count.load(Ordering::SeqCst) < count {
                more.await;
            }
        }
    }
}

impl Handler for Echoing {
    type Payload = Note;
    const NAME: &'static str = "echoing";

    async fn handle(
        &self,
        note: &Envelope<Note>,
        context: &mut Context<'_, Note>,
    ) -> Result<(), Failure> {
        context.publish(&Echo::from(note.event()))?;
        self.calls.count.fetch_add(1, Ordering::SeqCst);
        self.calls.more.notify_waiters();
        Ok(())
    }
}

/// Notes on a topic, and a group that makes echoes of them.
struct Scene {
    notes: String,
    group: String,
    calls: Arc<Calls>,
}

impl Scene {
    async fn new() -> Self {
        // Its name is that of the event. The keys of this run tell its echoes from others.
        let echoes = NewTopic {
            name: "echoes".to_owned(),
            partitions: 3,
            replication: 1,
            configs: Default::default(),
        };
        let admin = Admin::connect(&connection()).expect("valid properties");
        match admin.create_topics(&[echoes]).await {
            Ok(()) | Err(KafkaError::TopicExists { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        let scene = Self {
            notes: new_topic("notes", 4).await,
            group: unique("g"),
            calls: Arc::default(),
        };
        let records: Vec<_> = scene.texts().iter().map(|text| scene.note(text)).collect();
        let publisher = KafkaPublisher::connect(&connection()).expect("valid properties");
        for result in publisher.publish(&records).await {
            result.expect("sent");
        }
        scene
    }

    fn texts(&self) -> Vec<String> {
        let mut texts: Vec<_> = (0..MESSAGES)
            .map(|n| format!("{}-{n}", self.group))
            .collect();
        texts.sort();
        texts
    }

    fn note(&self, text: &str) -> longshore_event::OutgoingRecord {
        let mut record = Note::new(text, text).outgoing(text);
        record.topic = self.notes.as_str().into();
        record
    }

    async fn start(&self, instance: Option<&str>) -> JoinHandle<()> {
        let connection = match instance {
            Some(instance) => connection().property("group.instance.id", instance),
            // One that is dropped while it joins is missed by the group only after these.
            None => connection()
                .property("session.timeout.ms", "6000")
                .property("max.poll.interval.ms", "6000"),
        };
        let topics = [self.notes.clone()];
        let drain = Duration::from_secs(5);
        let source = KafkaSource::subscribe(&connection, &self.group, &topics, 100, drain).await;
        let source = source.expect("subscribed");
        let strategy = transactional(&connection, &source);
        let mut settings = Settings::new(self.group.as_str());
        settings.max_batch = 7;
        let metrics = Metrics::register(&mut Registry::default(), &self.group);
        let calls = Arc::clone(&self.calls);
        let worker = Worker::new(Echoing { calls }, source, strategy, settings, metrics);
        tokio::spawn(async { worker.run(std::future::pending()).await.expect("it runs") })
    }

    /// Waits until the group has committed all notes.
    async fn all_committed(&self) {
        let admin = Admin::connect(&connection()).expect("valid properties");
        within("all notes to be committed", async {
            loop {
                let group = admin.describe_group(&self.group).await.expect("described");
                let committed = group.partitions.iter().filter_map(|p| p.committed);
                // Nothing but notes is in their topic, so that offsets count them.
                let committed: i64 = committed.map(|next| next.0).sum();
                if usize::try_from(committed) == Ok(MESSAGES) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
        .await;
    }

    async fn assert_each_echo_once(&self) {
        let values = super::committed_values("echoes").await;
        let mine = |value: &String| {
            let text = value.split('"').find(|part| part.starts_with(&self.group));
            text.map(str::to_owned)
        };
        let mut echoes: Vec<_> = values.iter().filter_map(mine).collect();
        echoes.sort();
        assert_eq!(echoes, self.texts());
    }
}

#[tokio::test(flavor = "multi_thread")]

async fn a_reader_sees_each_output_once_while_workers_crash() {
    let scene = Scene::new().await;
    let mut workers = vec![scene.start(None).await, scene.start(None).await];

    for crash in 1..=10 {
        let more = fastrand::usize(1..50);
        within("more calls", scene.calls.reach(crash * 40 + more)).await;
        let which = fastrand::usize(0..2);
        workers[which].abort();
        workers[which] = scene.start(None).await;
    }
    scene.all_committed().await;

    scene.assert_each_echo_once().await;
    for worker in workers {
        worker.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]

async fn a_reader_sees_each_output_once_while_the_producer_is_fenced() {
    let scene = Scene::new().await;
    let worker = scene.start(Some("one")).await;

    for fence in 1..=10 {
        let more = fastrand::usize(1..50);
        within("more calls", scene.calls.reach(fence * 40 + more)).await;
        let id = format!("{}/one", scene.group);
        let fencing = tokio::task::spawn_blocking(move || {
            transactional_producer(&id).init_transactions(TIMEOUT)
        });
        fencing.await.expect("no panic").expect("fenced");
    }
    scene.all_committed().await;

    scene.assert_each_echo_once().await;
    worker.abort();
}
