//! ListTransactions: which transactional ids there are, by state, producer and age (KIP-664, KIP-994).

use kafka_protocol::messages::list_transactions_response::{
    ListTransactionsResponse, TransactionState,
};
use kafka_protocol::messages::{ListTransactionsRequest, ProducerId, TransactionalId};

use super::text;
use crate::node::{Node, now_ms};
use crate::transaction::{State, Transaction};
use crate::wire::Call;

/// The first version that asks for transactions that take longer than some time.
const DURATION_SINCE: i16 = 1;

/// The states there are, by name.
const STATES: [&str; 6] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
];

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: &ListTransactionsRequest,
) -> ListTransactionsResponse {
    let longer_than = (call.version >= DURATION_SINCE && request.duration_filter >= 0)
        .then_some(request.duration_filter);
    let states = node.transactions.list().into_iter();
    let states = states
        .filter(|(_, transaction)| is_asked_for(request, longer_than, transaction))
        .map(|(id, transaction)| {
            TransactionState::default()
                .with_transactional_id(TransactionalId(text(id)))
                .with_producer_id(ProducerId(transaction.producer.id))
                .with_transaction_state(text(transaction.state_name()))
        });
    let unknown = request.state_filters.iter();
    let unknown = unknown.filter(|state| !STATES.contains(&&***state));
    ListTransactionsResponse::default()
        .with_transaction_states(states.collect())
        .with_unknown_state_filters(unknown.cloned().collect())
}

/// An empty filter lets everything pass.
fn is_asked_for(
    request: &ListTransactionsRequest,
    longer_than: Option<i64>,
    transaction: &Transaction,
) -> bool {
    let mut states = request.state_filters.iter();
    let mut producers = request.producer_id_filters.iter();
    let took = match transaction.state {
        State::Ongoing { since_ms, .. } => Some(now_ms() - since_ms),
        State::Empty | State::Prepared { .. } | State::Complete { .. } => None,
    };
    (request.state_filters.is_empty() || states.any(|state| &**state == transaction.state_name()))
        && (request.producer_id_filters.is_empty()
            || producers.any(|id| **id == transaction.producer.id))
        && longer_than.is_none_or(|longer_than| took.is_some_and(|took| took > longer_than))
}
