//! Topics of compressed batches, as librdkafka writes and reads them, are kept like any others.

use std::collections::HashMap;
use std::ops::Range;

use longshore_broker::Broker;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::FutureProducer;
use rdkafka::{Offset, TopicPartitionList};

use super::*;

/// What a client is told to use, and the number that this has in the attributes of a batch.
const CODECS: [(&str, u8); 4] = [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4)];

/// The byte of a batch with the number of its codec, which is the last three bits.
const CODEC_AT: usize = 22;

const CLEAN_EVERYTHING: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.ms", "1"),
    ("min.cleanable.dirty.ratio", "0.01"),
];

/// Offset, key and value.
type Seen = (i64, String, String);

/// Offset and value of the newest record of each key.
type Newest = HashMap<String, (i64, String)>;

fn producer(test: &TestBroker, codec: &str) -> FutureProducer {
    let mut config = test.client();
    config
        .set("compression.type", codec)
        .set("enable.idempotence", "true")
        .set("linger.ms", "5");
    config
        .create()
        .unwrap_or_else(|error| panic!("the client has no {codec}: {error}"))
}

/// Sends the keys of `round` together, and notes what is the newest of each key then.
async fn send_round(producer: &FutureProducer, round: usize, newest: &mut Newest) {
    let value = format!("{round} {}", "compressible ".repeat(20));
    // Some keys are in each batch, some in few, so that old batches lose all, some or none of their records.
    let keys = (1..=20)
        .filter(|n| round.is_multiple_of(*n))
        .map(|n| format!("key {n}"));
    let sent: Vec<_> = keys
        .map(|key| {
            let record = FutureRecord::to("t").key(&key).payload(&value).partition(0);
            let delivery = producer.send_result(record).unwrap();
            (key, delivery)
        })
        .collect();
    for (key, delivery) in sent {
        let offset = delivery.await.unwrap().unwrap().offset;
        newest.insert(key, (offset, value.clone()));
    }
}

fn in_order(newest: &Newest) -> Vec<Seen> {
    let newest = newest.iter();
    let mut expected: Vec<_> = newest
        .map(|(key, (offset, value))| (*offset, key.clone(), value.clone()))
        .collect();
    expected.sort_unstable();
    expected
}

/// Everything a consumer that begins at `offset` sees up to the last record.
fn read_from(test: &TestBroker, offset: i64) -> Vec<Seen> {
    let records = test.read_from("t", offset).into_iter();
    let seen = records.map(|record| {
        let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
        (record.offset(), key, text(&record).to_owned())
    });
    seen.collect()
}

/// The numbers of the codecs of the batches in the log that have records, and the bytes of all of them.
async fn codecs(broker: &Broker) -> (Vec<u8>, usize) {
    const LENGTH: Range<usize> = 8..12;
    const COUNT: Range<usize> = 57..61;
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap()) as usize;
    let mut client = RawClient::connect(broker).await;
    let log = fetch(&mut client, 0, 10_000_000).await.records.unwrap();
    let mut codecs = Vec::new();
    let mut left = &log[..];
    while !left.is_empty() {
        let (batch, after) = left.split_at(LENGTH.end + number(&left[LENGTH]));
        if number(&batch[COUNT]) > 0 {
            codecs.push(batch[CODEC_AT] & 7);
        }
        left = after;
    }
    (codecs, log.len())
}

#[tokio::test]
async fn a_compacted_topic_of_gzip_shrinks_to_the_newest_of_each_key() {
    shrinks_to_the_newest_of_each_key("gzip", 1).await;
}

#[tokio::test]
async fn a_compacted_topic_of_snappy_shrinks_to_the_newest_of_each_key() {
    shrinks_to_the_newest_of_each_key("snappy", 2).await;
}

#[tokio::test]
async fn a_compacted_topic_of_lz4_shrinks_to_the_newest_of_each_key() {
    shrinks_to_the_newest_of_each_key("lz4", 3).await;
}

#[tokio::test]
async fn a_compacted_topic_of_zstd_shrinks_to_the_newest_of_each_key() {
    shrinks_to_the_newest_of_each_key("zstd", 4).await;
}

async fn shrinks_to_the_newest_of_each_key(codec: &str, number: u8) {
    let mut test = cleaning(&CLEAN_EVERYTHING).await;
    let producer = producer(&test, codec);
    let mut newest = Newest::new();
    for round in 1..=60 {
        send_round(&producer, round, &mut newest).await;
    }

    let expected = in_order(&newest);
    let what = format!("{codec}: nothing but the newest is left");
    until(&what, || read_from(&test, 0) == expected).await;
    let (codecs, bytes) = codecs(&test.broker).await;
    assert!(
        codecs.iter().all(|found| *found == number),
        "{codec}: {codecs:?}"
    );
    assert!(
        bytes < 6_000,
        "{codec}: {bytes} bytes for {}",
        expected.len()
    );

    test = test.restart_with(clean_all_the_time).await;
    for offset in [0, 1, 40, expected[3].0, expected[3].0 + 1] {
        let behind = expected.iter().filter(|(at, ..)| *at >= offset);
        assert_eq!(
            read_from(&test, offset),
            behind.cloned().collect::<Vec<_>>()
        );
    }
    // The producer, which knows of no restart, goes on where it was.
    send_round(&producer, 60, &mut newest).await;
    let expected = in_order(&newest);
    until("compaction goes on", || read_from(&test, 0) == expected).await;
}

#[tokio::test]
async fn a_compacted_topic_takes_no_compressed_record_without_key() {
    let test = cleaning(&[("cleanup.policy", "compact")]).await;
    let value = "compressible ".repeat(100);
    for (codec, _) in CODECS {
        let mut config = test.client();
        let producer: FutureProducer = config.set("compression.type", codec).create().unwrap();
        let keyless = FutureRecord::<str, _>::to("t").payload(&value);
        let refused = producer.send(keyless, DEADLINE).await.unwrap_err().0;
        let expected = KafkaError::MessageProduction(RDKafkaErrorCode::InvalidRecord);
        assert_eq!(refused, expected, "{codec}");
        let keyed = FutureRecord::to("t").key("k").payload(&value);
        producer.send(keyed, DEADLINE).await.unwrap();
    }
    assert_eq!(watermarks(&test), (0, 4));
}

#[tokio::test]
async fn a_timestamp_leads_to_its_record_inside_a_compressed_batch() {
    for (codec, number) in CODECS {
        let test = TestBroker::with_topics(&[("t", 1)]).await;
        let producer = producer(&test, codec);
        let value = "compressible ".repeat(100);
        let sent: Vec<_> = (0..10)
            .map(|n| {
                let record = FutureRecord::to("t").key("k").payload(&value);
                producer
                    .send_result(record.timestamp(1_000 * (n + 1)))
                    .unwrap()
            })
            .collect();
        for delivery in sent {
            delivery.await.unwrap().unwrap();
        }
        let (codecs, _) = codecs(&test.broker).await;
        assert!(
            codecs.iter().all(|found| *found == number),
            "{codec}: {codecs:?}"
        );

        let consumer: BaseConsumer = test.client().create().unwrap();
        let mut asked = TopicPartitionList::new();
        asked
            .add_partition_offset("t", 0, Offset::Offset(7_500))
            .unwrap();
        let found = consumer.offsets_for_times(asked, DEADLINE).unwrap();

        assert_eq!(found.elements()[0].offset(), Offset::Offset(7), "{codec}");
    }
}
