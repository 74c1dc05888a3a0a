//! Commits in Kafka transactions: what is atomic, who is fenced, and what becomes of an outcome that got lost. Workers
//! that crash stand in `crashes`, tools in `publisher`.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use longshore_event::{Identity, NextOffset, OutgoingRecord, Record};
use longshore_kafka::{
    Admin, Connection, From, KafkaError, KafkaPublisher, KafkaSource, NewTopic, Reader,
    ReaderEvent, TransactionStrategy,
};
use longshore_testkit::wait::eventually;
use longshore_worker::{
    Claim, CommitError, CommitStrategy, Finished, OutboxRow, Publisher, Source, SourceEvent, sql,
};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use crate::support::{
    DEADLINE, brokers, connection, fill, finished, new_topic, next, outgoing, records, stop,
    subscribe, unique, within,
};

mod crashes;
mod markers;
mod publisher;

/// The default of the strategy's users.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

fn transactional(connection: &Connection, source: &KafkaSource) -> TransactionStrategy {
    TransactionStrategy::new(connection, source, TIMEOUT).expect("valid properties")
}

/// A message that was handled, and caused these records.
fn caused(message: &Record, outbox: Vec<OutgoingRecord>) -> Finished {
    let row = |record| OutboxRow {
        id: uuid_of(message),
        sequence: message.offset.0,
        source: message.partition.clone(),
        record,
    };
    Finished {
        identity: Identity::fresh("test"),
        position: message.position(),
        key: message.key.clone(),
        claim: Claim::Inbox,
        writes: Vec::new(),
        timers: Vec::new(),
        parked: None,
        releases: None,
        keeps: None,
        outbox: outbox.into_iter().map(row).collect(),
    }
}

fn uuid_of(message: &Record) -> uuid::Uuid {
    uuid::Uuid::from_u128(message.offset.0.unsigned_abs().into())
}

/// One record on `topic` for each message, with its value.
fn forwarded(messages: &[Record], topic: &str) -> Vec<Finished> {
    messages
        .iter()
        .map(|message| {
            let value = String::from_utf8_lossy(message.value.as_deref().expect("a value"));
            caused(message, vec![outgoing(topic, "k", &value)])
        })
        .collect()
}

/// The values that readers of committed records see, sorted, once all that has been written is decided: a broker answers
/// that a transaction has ended before it has told the partitions.
pub(super) async fn committed_values(topic: &str) -> Vec<String> {
    let admin = Admin::connect(&connection()).expect("valid properties");
    let written = admin.high_watermarks(topic).await.expect("told");
    let written: BTreeMap<_, _> = written.into_iter().collect();
    let decided = eventually("transactions to end", DEADLINE, async || {
        let mut bounds = admin.offsets(topic).await.expect("told");
        bounds.retain(|bounds| bounds.end < written[&bounds.partition]);
        if bounds.is_empty() {
            Ok(())
        } else {
            Err(bounds)
        }
    });
    decided.await;
    visible_values(topic).await
}

/// The values that readers of committed records see by now, sorted.
async fn visible_values(topic: &str) -> Vec<String> {
    let reader = Reader::open(&connection(), &[topic], From::Beginning).await;
    let mut reader = reader.expect("opened");
    let mut values = Vec::new();
    while let ReaderEvent::Record(record) =
        within("an event", reader.next()).await.expect("it goes on")
    {
        let value = record.value.expect("a value");
        values.push(String::from_utf8_lossy(&value).into_owned());
    }
    values.sort();
    values
}

/// Waits until a group has committed this of the one partition that it reads.
async fn offset_reaches(group: &str, next: i64) {
    let expected = [Some(NextOffset(next))];
    let reached = eventually("the group's offset", DEADLINE, async || {
        let offsets = committed_offsets(group).await;
        if offsets == expected {
            Ok(())
        } else {
            Err(offsets)
        }
    });
    reached.await;
}

/// What a group has committed of the partitions 0, 1 and so on of its one topic.
async fn committed_offsets(group: &str) -> Vec<Option<NextOffset>> {
    let admin = Admin::connect(&connection()).expect("valid properties");
    match admin.describe_group(group).await {
        Ok(group) => group.partitions.iter().map(|p| p.committed).collect(),
        Err(KafkaError::UnknownGroup { .. }) => Vec::new(),
        Err(error) => panic!("{error}"),
    }
}

fn messages(error: &dyn Error) -> String {
    let cause = error.source().map(messages).unwrap_or_default();
    format!("{error}: {cause}")
}

#[tokio::test]

async fn what_a_batch_publishes_and_its_offsets_come_together_or_not_at_all() {
    let (input, output) = (new_topic("in", 1).await, new_topic("out", 1).await);
    let (missing, group) = (unique("missing"), unique("g"));
    fill(&input, 3).await;
    let mut source = subscribe(&connection(), &group, &input).await;
    let strategy = transactional(&connection(), &source);
    let read = records(&mut source, 3).await;
    let mut batch = forwarded(&read, &output);
    let dead_letter = outgoing(&missing, "k", "dead");
    batch.push(caused(&read[2], vec![dead_letter]));

    let refused = within("an answer", strategy.commit(batch)).await;

    let refused = refused.expect_err("one topic is missing");
    assert!(matches!(refused.reason, CommitError::Unavailable(_)));
    let reason = messages(&refused.reason);
    assert!(
        reason.contains(&missing) && reason.contains("topics apply"),
        "{reason}"
    );
    assert_eq!(committed_values(&output).await, [""; 0]);
    assert_eq!(committed_offsets(&group).await, [None]);

    create(&missing, &[]).await;
    let mut batch = refused.batch;
    within("the same batch to be committed", async {
        while let Err(refused) = strategy.commit(std::mem::take(&mut batch)).await {
            batch = refused.batch;
        }
    })
    .await;

    assert_eq!(committed_values(&output).await, ["0", "1", "2"]);
    assert_eq!(committed_values(&missing).await, ["dead"]);
    offset_reaches(&group, 3).await;
    stop(&mut source, &[]).await;
}

#[tokio::test]

async fn what_is_too_large_for_one_request_is_committed_in_several() {
    let (input, output) = (new_topic("in", 1).await, unique("small"));
    create(
        &output,
        &[
            ("max.message.bytes", "4000"),
            ("compression.type", "uncompressed"),
        ],
    )
    .await;
    fill(&input, 1).await;
    let mut source = subscribe(&connection(), &unique("g"), &input).await;
    let plain = connection().property("compression.codec", "none");
    let strategy = transactional(&plain, &source);
    let read = records(&mut source, 1).await;
    let value = "x".repeat(3000);
    let follow_ons = vec![outgoing(&output, "k", &value); 5];

    let done = strategy.commit(vec![caused(&read[0], follow_ons)]);

    let reason = within("the commit", done)
        .await
        .map_err(|refused| refused.reason);
    assert!(reason.is_ok(), "{reason:?}");
    assert_eq!(committed_values(&output).await.len(), 5);
}

#[tokio::test]

async fn a_member_that_was_replaced_and_has_not_heard_of_it_commits_nothing() {
    let (input, output) = (new_topic("in", 1).await, new_topic("out", 1).await);
    let group = unique("g");
    fill(&input, 1).await;
    // It hears of its successor by a heartbeat, long after this test.
    let deaf = Connection::new(brokers())
        .property("group.instance.id", "one")
        .property("session.timeout.ms", "60000")
        .property("heartbeat.interval.ms", "50000");
    let mut zombie = subscribe(&deaf, &group, &input).await;
    let strategy = transactional(&deaf, &zombie);
    let read = records(&mut zombie, 1).await;
    let mut successor = subscribe(&deaf, &group, &input).await;
    records(&mut successor, 1).await;

    let refused = within("an answer", strategy.commit(forwarded(&read, &output))).await;

    let reason = messages(&refused.expect_err("fenced").reason);
    assert!(reason.contains("FencedInstanceId"), "{reason}");
    assert_eq!(committed_values(&output).await, [""; 0]);
    assert_eq!(committed_offsets(&group).await, [None]);
}

#[tokio::test]

async fn messages_of_a_partition_that_was_let_go_are_left_to_its_new_owner() {
    let (input, output) = (new_topic("in", 2).await, new_topic("out", 1).await);
    let group = unique("g");
    fill(&input, 40).await;
    let connection = connection();
    let topics = [input.clone()];
    let drain = Duration::from_millis(10);
    let slow = KafkaSource::subscribe(&connection, &group, &topics, 1000, drain).await;
    let mut slow = slow.expect("subscribed");
    let strategy = transactional(&connection, &slow);
    let read = records(&mut slow, 40).await;

    // One of the two partitions moves before its messages are committed. The member itself stays, in a later generation.
    let mut other = subscribe(&connection, &group, &input).await;
    let moved = loop {
        if let SourceEvent::Revoked { partitions, .. } = next(&mut slow).await {
            break partitions;
        }
    };
    let reread = within("the new owner to read", async {
        loop {
            if let SourceEvent::Records(records) = next(&mut other).await {
                break records;
            }
        }
    })
    .await;
    assert_eq!(reread[0].partition, moved[0]);
    let (lost, kept): (Vec<_>, Vec<_>) = read.into_iter().partition(|r| r.partition == moved[0]);

    let refused = within("an answer", strategy.commit(forwarded(&lost, &output))).await;
    let reason = refused.expect_err("fenced").reason;
    assert!(matches!(reason, CommitError::Fenced(_)), "{reason:?}");
    assert_eq!(committed_values(&output).await, [""; 0]);

    let kept = forwarded(&kept, &output);
    let count = kept.len();
    within("the others' commit", strategy.commit(kept))
        .await
        .expect("committed");
    assert_eq!(committed_values(&output).await.len(), count);
}

#[tokio::test]

async fn what_a_killed_instance_left_open_is_ended_when_it_comes_back() {
    let (input, output) = (new_topic("in", 1).await, new_topic("out", 1).await);
    let group = unique("g");
    let killed = transactional_producer(&format!("{group}/one"));
    killed.init_transactions(TIMEOUT).expect("initialised");
    killed.begin_transaction().expect("begun");
    let record = BaseRecord::<(), str>::to(&output).payload("lost");
    killed.send(record).expect("queued");
    killed.flush(TIMEOUT).expect("sent");
    // What comes behind an open transaction is not read before that has ended.
    fill(&output, 1).await;
    assert_eq!(visible_values(&output).await, [""; 0]);
    let admin = Admin::connect(&connection()).expect("valid properties");
    let bounds = admin.offsets(&output).await.expect("told");
    assert_eq!(bounds[0].end, NextOffset(0));
    let high_watermarks = admin.high_watermarks(&output).await.expect("told");
    assert_eq!(high_watermarks[0].1, NextOffset(2));

    let connection = connection().property("group.instance.id", "one");
    let source = subscribe(&connection, &group, &input).await;
    let strategy = transactional(&connection, &source);
    within("to be ready", strategy.take_over(&[]))
        .await
        .expect("ready");

    assert_eq!(committed_values(&output).await, ["0"]);
}

#[tokio::test]
async fn what_the_group_has_committed_already_is_not_published_again() {
    let (input, output) = (new_topic("in", 1).await, new_topic("out", 1).await);
    let group = unique("g");
    fill(&input, 3).await;
    let mut source = subscribe(&connection(), &group, &input).await;
    let strategy = transactional(&connection(), &source);
    let read = records(&mut source, 3).await;
    // As if it had been read from the beginning in spite of the group's offset.
    commit_as_nobody(&group, &input, 2);

    for batch in [&read[..1], &read[1..2], &read[2..]] {
        let outcome = within("an answer", strategy.commit(forwarded(batch, &output))).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    }

    assert_eq!(committed_values(&output).await, ["2"]);
    offset_reaches(&group, 3).await;
}

#[tokio::test]
async fn what_is_skipped_is_committed_although_nothing_comes_behind_it() {
    let input = new_topic("in", 1).await;
    let group = unique("g");
    fill(&input, 3).await;
    let mut source = subscribe(&connection(), &group, &input).await;
    let strategy = transactional(&connection(), &source);
    let read = records(&mut source, 3).await;
    let outcome = within("an answer", strategy.commit(vec![caused(&read[0], vec![])])).await;
    assert!(outcome.is_ok(), "{outcome:?}");

    // As the run loop tells of repetitions, which are in no batch.
    source.commit(&finished(&read));

    offset_reaches(&group, 3).await;
}

/// Commits an offset of partition 0 in a transaction that names no member, which brokers take from anybody.
fn commit_as_nobody(group: &str, topic: &str, next: i64) {
    let outsider: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let producer = transactional_producer(&unique("outsider"));
    producer.init_transactions(TIMEOUT).expect("initialised");
    producer.begin_transaction().expect("begun");
    let mut offsets = TopicPartitionList::new();
    let next = rdkafka::Offset::Offset(next);
    offsets
        .add_partition_offset(topic, 0, next)
        .expect("a valid offset");
    let nobody = outsider.group_metadata().expect("metadata");
    let sent = producer.send_offsets_to_transaction(&offsets, &nobody, TIMEOUT);
    sent.expect("taken");
    producer.commit_transaction(TIMEOUT).expect("committed");
}

/// One message on a mock cluster, whose transactions keep nothing; the answer to the next commit is lost.
struct LostAnswer {
    read: Vec<Record>,
    strategy: TransactionStrategy,
    _source: KafkaSource,
    _cluster: MockCluster<'static, DefaultProducerContext>,
}

impl LostAnswer {
    async fn new(committed: bool) -> Self {
        let cluster = MockCluster::new(1).expect("a mock cluster");
        for topic in ["in", "out"] {
            cluster.create_topic(topic, 1, 1).expect("created");
        }
        let connection = Connection::new(cluster.bootstrap_servers());
        let publisher = KafkaPublisher::connect(&connection).expect("valid properties");
        let message = [outgoing("in", "k", "v")];
        publisher.publish(&message).await.remove(0).expect("sent");
        let group = unique("g");
        let mut source = subscribe(&connection, &group, "in").await;
        let read = records(&mut source, 1).await;
        if committed {
            // As the transaction would, if the broker commits it.
            source.commit(&finished(&read));
            within("the offset", offset_is_committed(&connection, &group)).await;
        }
        let strategy = transactional(&connection, &source);
        let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TXN_STATE;
        cluster.request_errors(RDKafkaApiKey::EndTxn, &[fatal]);
        Self {
            read,
            strategy,
            _source: source,
            _cluster: cluster,
        }
    }
}

async fn offset_is_committed(connection: &Connection, group: &str) {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &connection.brokers)
        .set("group.id", group)
        .create()
        .expect("a consumer");
    let consumer = std::sync::Arc::new(consumer);
    loop {
        let mut asked = TopicPartitionList::new();
        asked.add_partition("in", 0);
        let consumer = std::sync::Arc::clone(&consumer);
        let asking = move || consumer.committed_offsets(asked, TIMEOUT);
        let told = tokio::task::spawn_blocking(asking).await.expect("no panic");
        let told = told.expect("an answer").elements()[0].offset();
        if told == rdkafka::Offset::Offset(1) {
            return;
        }
    }
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_in_the_offsets_of_the_group() {
    let scene = LostAnswer::new(true).await;

    let outcome = within(
        "an answer",
        scene.strategy.commit(forwarded(&scene.read, "out")),
    )
    .await;

    assert!(outcome.is_ok(), "{outcome:?}");
}

#[tokio::test]
async fn a_commit_that_did_not_happen_is_refused_and_can_be_made_again() {
    let scene = LostAnswer::new(false).await;

    let outcome = within(
        "an answer",
        scene.strategy.commit(forwarded(&scene.read, "out")),
    )
    .await;

    let refused = outcome.expect_err("nothing is committed");
    assert!(matches!(refused.reason, CommitError::Unavailable(_)));
    let again = within("the next try", scene.strategy.commit(refused.batch)).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test]
async fn a_statement_is_refused_with_the_way_out() {
    let topic = new_topic("in", 1).await;
    fill(&topic, 1).await;
    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let strategy = transactional(&connection(), &source);
    let read = records(&mut source, 1).await;
    let mut finished = caused(&read[0], Vec::new());
    finished.writes.push(sql("delete from stock"));

    let refused = strategy.commit(vec![finished]).await.expect_err("refused");

    assert!(matches!(refused.reason, CommitError::Rejected(_)));
    assert!(messages(&refused.reason).contains("store strategy"));
}

#[tokio::test]
async fn a_source_that_reads_uncommitted_records_is_refused() {
    let topic = new_topic("in", 1).await;
    let connection = connection().property("isolation.level", "read_uncommitted");
    let source = subscribe(&connection, &unique("g"), &topic).await;

    let error = TransactionStrategy::new(&connection, &source, TIMEOUT).expect_err("refused");

    assert!(error.to_string().contains("isolation.level"), "{error}");
}

/// A producer of another process, under that transactional id.
pub(super) fn transactional_producer(id: &str) -> BaseProducer {
    rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("transactional.id", id)
        .create()
        .expect("a producer")
}

/// Creates a topic of one partition under exactly this name.
async fn create(name: &str, configs: &[(&str, &str)]) {
    let configs = configs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    let topic = NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::from_iter(configs),
    };
    let admin = Admin::connect(&connection()).expect("valid properties");
    admin.create_topics(&[topic]).await.expect("created");
}
