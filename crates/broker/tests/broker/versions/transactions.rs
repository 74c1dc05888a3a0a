//! Transactions: a whole one in any mix of versions, and who else may see it.

use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest,
    InitProducerIdRequest, ListTransactionsRequest, ProducerId, TransactionalId,
    TxnOffsetCommitRequest,
};
use kafka_protocol::protocol::StrBytes;

use super::{group, name, produce_request, text, transactional};
use crate::raw::RawClient;
use crate::support::TestBroker;

/// The versions a transaction speaks.
#[derive(Clone, Copy)]
pub(crate) struct Versions {
    pub(crate) init: i16,
    pub(crate) add_partitions: i16,
    pub(crate) add_offsets: i16,
    pub(crate) commit_offsets: i16,
    pub(crate) end: i16,
}

/// The highest version of each API.
pub(crate) const NEWEST: Versions = Versions {
    init: 4,
    add_partitions: 3,
    add_offsets: 3,
    commit_offsets: 3,
    end: 3,
};

/// A transactional producer that does step by step what it is told; each step returns its error code.
#[derive(Clone)]
pub(crate) struct Producer {
    pub(crate) versions: Versions,
    pub(crate) id: &'static str,
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
    pub(crate) next_sequence: i32,
}

impl Producer {
    /// Takes over transactional id `id`, with a time limit in milliseconds.
    pub(crate) async fn init(
        client: &mut RawClient,
        versions: Versions,
        id: &'static str,
        timeout_ms: i32,
    ) -> Self {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(timeout_ms);
        let answer = client.call(versions.init, &request).await;
        assert_eq!(answer.error_code, 0);
        Self {
            versions,
            id,
            producer_id: *answer.producer_id,
            epoch: answer.producer_epoch,
            next_sequence: 0,
        }
    }

    pub(crate) async fn init_again(&self, client: &mut RawClient) -> i16 {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(self.id()))
            .with_transaction_timeout_ms(60_000)
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch);
        client.call(self.versions.init, &request).await.error_code
    }

    pub(crate) async fn add_partition(&self, client: &mut RawClient, partition: i32) -> i16 {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.id())
            .with_v3_and_below_producer_id(ProducerId(self.producer_id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![topic]);
        let answer = client.call(self.versions.add_partitions, &request).await;
        let topic = &answer.results_by_topic_v3_and_below[0];
        topic.results_by_partition[0].partition_error_code
    }

    /// Writes one record to partition 0.
    pub(crate) async fn produce(&mut self, client: &mut RawClient) -> i16 {
        self.produce_in(client, 9).await
    }

    pub(crate) async fn produce_in(&mut self, client: &mut RawClient, version: i16) -> i16 {
        let batch = transactional(self.producer_id, self.epoch, self.next_sequence);
        let request = produce_request(name("t"), batch).with_transactional_id(Some(self.id()));
        let answer = client.call(version, &request).await;
        let error_code = answer.responses[0].partition_responses[0].error_code;
        if error_code == 0 {
            self.next_sequence += 1;
        }
        error_code
    }

    pub(crate) async fn add_group(&self, client: &mut RawClient, id: &'static str) -> i16 {
        let request = AddOffsetsToTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_group_id(group(id));
        let answer = client.call(self.versions.add_offsets, &request).await;
        answer.error_code
    }

    /// Commits an offset of partition 0, as somebody who is no member.
    pub(crate) async fn commit_offset(
        &self,
        client: &mut RawClient,
        id: &'static str,
        offset: i64,
    ) -> i16 {
        self.commit_offset_as(client, id, offset, text(""), -1)
            .await
    }

    pub(crate) async fn commit_offset_as(
        &self,
        client: &mut RawClient,
        id: &'static str,
        offset: i64,
        member_id: StrBytes,
        generation: i32,
    ) -> i16 {
        let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(name("t"))
            .with_partitions(vec![partition]);
        let mut request = TxnOffsetCommitRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_group_id(group(id))
            .with_topics(vec![topic]);
        if self.versions.commit_offsets >= 3 {
            request = request
                .with_member_id(member_id)
                .with_generation_id(generation);
        }
        let answer = client.call(self.versions.commit_offsets, &request).await;
        answer.topics[0].partitions[0].error_code
    }

    pub(crate) async fn end(&self, client: &mut RawClient, committed: bool) -> i16 {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.id())
            .with_producer_id(ProducerId(self.producer_id))
            .with_producer_epoch(self.epoch)
            .with_committed(committed);
        client.call(self.versions.end, &request).await.error_code
    }

    fn id(&self) -> TransactionalId {
        TransactionalId(text(self.id))
    }
}

/// A transaction that is committed; what is done twice is done as often.
pub(super) async fn transaction(versions: Versions) {
    let test = TestBroker::with_topics(&[("t", 1)]).await;
    let client = &mut RawClient::connect(&test.broker).await;
    let mut producer = Producer::init(client, versions, "versions", 60_000).await;

    assert_eq!(producer.add_partition(client, 0).await, 0);
    assert_eq!(producer.add_partition(client, 9).await, 3);
    assert_eq!(producer.produce(client).await, 0);
    assert_eq!(producer.add_group(client, "g").await, 0);
    let committed = producer.commit_offset(client, "g", 7);
    assert_eq!(committed.await, 0);
    assert_eq!(producer.end(client, true).await, 0);
    assert_eq!(producer.end(client, true).await, 0);
    assert_eq!(producer.end(client, false).await, 48);

    let mut zombie = producer.clone();
    Producer::init(client, versions, "versions", 60_000).await;
    let fenced = |since: i16, version: i16| if version < since { 47 } else { 90 };
    let partition = zombie.add_partition(client, 0).await;
    assert_eq!(partition, fenced(2, versions.add_partitions));
    let group = zombie.add_group(client, "g").await;
    assert_eq!(group, fenced(2, versions.add_offsets));
    let end = zombie.end(client, true).await;
    assert_eq!(end, fenced(2, versions.end));
    assert_eq!(zombie.commit_offset(client, "g", 8).await, 47);
    assert_eq!(zombie.produce(client).await, 47);
    if versions.init >= 3 {
        let again = zombie.init_again(client).await;
        assert_eq!(again, fenced(4, versions.init));
    }
}

pub(super) async fn describe_transactions(client: &mut RawClient, version: i16) {
    let id = |id| TransactionalId(text(id));
    let producer = Producer::init(client, NEWEST, "described", 60_000).await;
    producer.add_partition(client, 0).await;
    let request = DescribeTransactionsRequest::default()
        .with_transactional_ids(vec![id("described"), id("nobody")]);

    let described = client.call(version, &request).await;
    producer.end(client, false).await;
    let ended = client.call(version, &request).await;

    let states = &described.transaction_states;
    assert_eq!((states[0].error_code, states[1].error_code), (0, 105));
    assert_eq!(&*states[0].transaction_state, "Ongoing");
    assert_eq!(states[0].transaction_timeout_ms, 60_000);
    assert!(states[0].transaction_start_time_ms > 1_700_000_000_000);
    assert_eq!(*states[0].producer_id, producer.producer_id);
    assert_eq!(
        (
            &**states[0].topics[0].topic,
            &states[0].topics[0].partitions[..]
        ),
        ("t", &[0][..])
    );
    assert_eq!(
        &*ended.transaction_states[0].transaction_state,
        "CompleteAbort"
    );
    assert!(ended.transaction_states[0].topics.is_empty());
}

pub(super) async fn list_transactions(client: &mut RawClient, version: i16) {
    let producer = Producer::init(client, NEWEST, "listed", 60_000).await;
    producer.add_partition(client, 0).await;
    let request = |state| {
        let request = ListTransactionsRequest::default().with_state_filters(vec![text(state)]);
        if version >= 1 {
            request.with_duration_filter(-1)
        } else {
            request
        }
    };

    let ongoing = client.call(version, &request("Ongoing")).await;
    let empty = client.call(version, &request("Empty")).await;
    let unknown = client.call(version, &request("Nonsense")).await;
    producer.end(client, true).await;

    let ids =
        |states: &[kafka_protocol::messages::list_transactions_response::TransactionState]| {
            let ids = states
                .iter()
                .map(|state| state.transactional_id.to_string());
            ids.collect::<Vec<_>>()
        };
    assert_eq!(ids(&ongoing.transaction_states), ["listed"]);
    assert!(!ids(&empty.transaction_states).contains(&"listed".to_owned()));
    assert_eq!(unknown.unknown_state_filters, [text("Nonsense")]);
    assert!(unknown.transaction_states.is_empty());
}
