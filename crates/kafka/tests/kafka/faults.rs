//! What goes wrong elsewhere: a broker that goes and comes back, a group that throws a member out, a producer that fails
//! for good, and bytes that are no text.

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use longshore_broker::faults::{ApiKey, Effect, Fault, Injected, ResponseError};
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{NextOffset, Record};
use longshore_kafka::{Admin, Connection, KafkaPublisher, KafkaSource, NewTopic};
use longshore_worker::{PublishErrorKind, Publisher, Source, SourceError, SourceEvent};
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka_sys as sys;
use tempfile::TempDir;

use crate::support::{
    self, brokers, connection, finished, new_topic, next, outgoing, records, stop, subscribe,
    unique, within,
};

async fn broker(data: &Path, listen: Option<SocketAddr>) -> Broker {
    let mut config = BrokerConfig::new(data);
    config.listen = listen.unwrap_or(config.listen);
    Broker::start(config)
        .await
        .expect("the embedded broker starts")
}

fn single_partition(name: &str) -> NewTopic {
    NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    }
}

#[tokio::test]
async fn an_outage_is_told_and_waited_out_by_source_and_publisher() {
    let data = tempfile::tempdir().expect("a directory");
    let first = broker(data.path(), None).await;
    let address = first.address();
    let connection = Connection::new(first.bootstrap());
    let admin = Admin::connect(&connection).expect("valid");
    let topics = [single_partition("outage")];
    admin.create_topics(&topics).await.expect("created");
    let publisher = KafkaPublisher::connect(&connection).expect("valid");
    let before = [outgoing("outage", "k", "before")];
    publisher.publish(&before).await.remove(0).expect("sent");
    let mut source = subscribe(&connection, "g", "outage").await;
    records(&mut source, 1).await;

    first.shutdown().await;
    loop {
        if let SourceEvent::Unavailable { reason } = next(&mut source).await {
            assert!(reason.is_some());
            break;
        }
    }
    let during = [outgoing("outage", "k", "during")];
    let mut waiting = Box::pin(publisher.publish(&during));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut waiting).await;
    assert!(early.is_err(), "it waits: {early:?}");

    let again = broker(data.path(), Some(address)).await;
    within("the record to be sent", waiting)
        .await
        .remove(0)
        .expect("sent");
    let mut available = false;
    loop {
        match next(&mut source).await {
            SourceEvent::Unavailable { reason: None } => available = true,
            SourceEvent::Records(records) => {
                assert_eq!(records[0].value.as_deref(), Some(&b"during"[..]));
                break;
            }
            SourceEvent::Closed(result) => panic!("closed: {result:?}"),
            _ => {}
        }
    }
    assert!(available, "told before records flow");
    drop(source);
    again.shutdown().await;
}

/// A member that has read `count` records, the only ones, of a partition on a broker of its own.
struct Quiet {
    broker: Broker,
    admin: Admin,
    source: KafkaSource,
    read: Vec<Record>,
    _data: TempDir,
}

impl Quiet {
    async fn after(count: usize) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let broker = broker(data.path(), None).await;
        let connection = Connection::new(broker.bootstrap());
        let admin = Admin::connect(&connection).expect("valid");
        let topics = [single_partition("quiet")];
        admin.create_topics(&topics).await.expect("created");
        let publisher = KafkaPublisher::connect(&connection).expect("valid");
        let records = vec![outgoing("quiet", "k", "v"); count];
        for sent in publisher.publish(&records).await {
            sent.expect("sent");
        }
        let mut source = subscribe(&connection, "g", "quiet").await;
        let read = support::records(&mut source, count).await;
        Self {
            broker,
            admin,
            source,
            read,
            _data: data,
        }
    }

    /// The next commits fail so.
    fn fail(&self, commits: u64, error: ResponseError) -> Injected {
        let fault = Fault::new(ApiKey::OffsetCommit, Effect::Fail(error)).times(commits);
        self.broker.faults().inject(fault).expect("possible")
    }

    async fn committed(&self) -> Option<NextOffset> {
        let group = self.admin.describe_group("g").await.expect("described");
        group.partitions.first().and_then(|lag| lag.committed)
    }
}

#[tokio::test]
async fn a_commit_that_failed_is_made_again_although_nothing_more_comes() {
    let quiet = Quiet::after(1).await;
    let refused = quiet.fail(1, ResponseError::RebalanceInProgress);
    quiet.source.commit(&finished(&quiet.read));
    within("the offset to be committed", async {
        while quiet.committed().await.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(refused.met(), 1);
    drop(quiet.source);
    quiet.broker.shutdown().await;
}

#[tokio::test]
async fn a_commit_that_the_client_tries_again_does_not_undo_a_later_one() {
    let mut quiet = Quiet::after(2).await;
    let loading = quiet.fail(1, ResponseError::CoordinatorLoadInProgress);
    let none = Fault::new(ApiKey::OffsetCommit, Effect::Delay(Duration::ZERO)).times(u64::MAX);
    let passed = quiet.broker.faults().inject(none).expect("possible");
    quiet.source.commit(&finished(&quiet.read[..1]));
    within("a failure", async {
        while loading.met() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    // The first one waits in the client now, to be sent again.
    quiet.source.commit(&finished(&quiet.read));
    within("both commits", async {
        while passed.met() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    // Requests of a connection are answered in their order: by the time it has left, they have taken effect.
    stop(&mut quiet.source, &[]).await;
    assert_eq!(quiet.committed().await, Some(NextOffset(2)));
    drop(quiet.source);
    quiet.broker.shutdown().await;
}

#[tokio::test]
async fn a_member_that_the_group_threw_out_loses_its_partitions_without_a_revocation() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 2, 1).expect("created");
    let connection =
        Connection::new(cluster.bootstrap_servers()).property("heartbeat.interval.ms", "100");
    let mut source = subscribe(&connection, &unique("g"), "t").await;
    while !matches!(next(&mut source).await, SourceEvent::Assigned(_)) {}

    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID;
    cluster.request_errors(RDKafkaApiKey::Heartbeat, &[unknown]);
    loop {
        match next(&mut source).await {
            SourceEvent::Lost(partitions) => {
                assert_eq!(partitions.len(), 2);
                break;
            }
            other => assert!(!matches!(other, SourceEvent::Revoked { .. }), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_there_is_told_by_sources_and_tools_with_cause_and_time() {
    // Port 1 refuses: nobody listens there.
    let nowhere = Connection::new("127.0.0.1:1");
    let admin = Admin::connect(&nowhere).expect("valid");
    let topics = ["t".to_owned()];
    let subscribing = KafkaSource::subscribe(&nowhere, "g", &topics, 10, Duration::from_secs(1));
    let both = async { tokio::join!(subscribing, admin.topics()) };
    let (subscribed, listed) = within("errors", both).await;

    let SourceError::NoBroker { source, .. } = subscribed.expect_err("nobody") else {
        panic!("another error");
    };
    assert!(source.to_string().contains("refused"), "{source}");
    let message = listed.expect_err("nobody").to_string();
    assert!(message.contains("127.0.0.1:1 within 10 s"), "{message}");
}

#[tokio::test]
async fn a_producer_that_fails_for_good_is_replaced() {
    let cluster = MockCluster::new(1).expect("a mock cluster");
    cluster.create_topic("t", 1, 1).expect("created");
    let connection = Connection::new(cluster.bootstrap_servers());
    let publisher = KafkaPublisher::connect(&connection).expect("valid");
    let record = [outgoing("t", "k", "v")];
    within("a result", publisher.publish(&record))
        .await
        .remove(0)
        .expect("sent");

    let fatal = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[fatal]);
    let failed = within("a result", publisher.publish(&record))
        .await
        .remove(0);
    let error = failed.expect_err("the producer is useless now");
    assert_eq!(error.kind, PublishErrorKind::Unavailable);
    within("the next producer", async {
        while publisher.publish(&record).await.remove(0).is_err() {}
    })
    .await;
}

#[tokio::test]
async fn a_header_name_that_is_no_text_is_read_with_its_value() {
    let topic = new_topic("damaged", 1).await;
    send_with_header(&topic, b"na\xffme\0", b"\xff\x00value");
    let mut source = subscribe(&connection(), &unique("g"), &topic).await;
    let read = records(&mut source, 1).await;
    let headers: Vec<_> = read[0].headers.iter().collect();
    assert_eq!(headers, [("na\u{fffd}me", Some(&b"\xff\x00value"[..]))]);
}

/// Sends a record as no well-behaved client would; `name` ends with a NUL.
fn send_with_header(topic: &str, name: &[u8], value: &[u8]) {
    let mut config = rdkafka::ClientConfig::new();
    config.set("bootstrap.servers", brokers());
    let producer: rdkafka::producer::BaseProducer = config.create().expect("a producer");
    let topic = std::ffi::CString::new(topic).expect("a name");
    // SAFETY: all pointers are live for the calls, which copy what they point to, or take it over (headers).
    unsafe {
        let headers = sys::rd_kafka_headers_new(1);
        let length = name.len().cast_signed() - 1;
        let (value, size) = (value.as_ptr().cast::<c_void>(), value.len().cast_signed());
        sys::rd_kafka_header_add(headers, name.as_ptr().cast(), length, value, size);
        let field = |vtype, u| sys::rd_kafka_vu_t { vtype, u };
        let fields = [
            field(
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_TOPIC,
                sys::rd_kafka_vu_s__bindgen_ty_1 {
                    cstr: topic.as_ptr(),
                },
            ),
            field(
                sys::rd_kafka_vtype_t::RD_KAFKA_VTYPE_HEADERS,
                sys::rd_kafka_vu_s__bindgen_ty_1 { headers },
            ),
        ];
        use rdkafka::producer::Producer;
        let client = producer.client().native_ptr();
        let error = sys::rd_kafka_produceva(client, fields.as_ptr(), fields.len());
        assert!(error.is_null());
        producer.flush(Duration::from_secs(10)).expect("sent");
    }
}
