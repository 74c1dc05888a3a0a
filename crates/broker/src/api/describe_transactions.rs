//! DescribeTransactions: what transactional ids are doing (KIP-664).

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TopicData, TransactionState,
};
use kafka_protocol::messages::{
    DescribeTransactionsRequest, ProducerId, TopicName, TransactionalId,
};

use super::text;
use crate::node::Node;
use crate::transaction::{State, Transaction};

/// Stands for "no transaction has begun".
const NO_TIME: i64 = -1;

pub(crate) fn handle(
    node: &Node,
    request: DescribeTransactionsRequest,
) -> DescribeTransactionsResponse {
    let states = request.transactional_ids.into_iter().map(|id| {
        let found = node.transactions.describe(&id);
        match found {
            Some(transaction) => describe(id, &transaction),
            None => TransactionState::default()
                .with_error_code(ResponseError::TransactionalIdNotFound.code())
                .with_transactional_id(id),
        }
    });
    DescribeTransactionsResponse::default().with_transaction_states(states.collect())
}

fn describe(id: TransactionalId, transaction: &Transaction) -> TransactionState {
    let since_ms = match transaction.state {
        State::Ongoing { since_ms, .. } => since_ms,
        State::Empty | State::Prepared { .. } | State::Complete { .. } => NO_TIME,
    };
    let scope = transaction.scope().into_iter();
    let topics = scope.flat_map(|scope| scope.partitions());
    let topics = topics.map(|(topic, partitions)| {
        TopicData::default()
            .with_topic(TopicName(text(topic)))
            .with_partitions(partitions.collect())
    });
    TransactionState::default()
        .with_transactional_id(id)
        .with_transaction_state(text(transaction.state_name()))
        .with_transaction_timeout_ms(transaction.timeout_ms)
        .with_transaction_start_time_ms(since_ms)
        .with_producer_id(ProducerId(transaction.producer.id))
        .with_producer_epoch(transaction.producer.epoch)
        .with_topics(topics.collect())
}
