//! EndTxn: a transaction is committed or aborted.

use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse};

use super::{code, fenced};
use crate::log::Outcome;
use crate::node::Node;
use crate::transaction::Producer;
use crate::wire::Call;

/// The first version that knows `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 2;

pub(crate) fn handle(node: &Node, call: &Call, request: &EndTxnRequest) -> EndTxnResponse {
    let caller = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let outcome = if request.committed {
        Outcome::Committed
    } else {
        Outcome::Aborted
    };
    let id = &request.transactional_id;
    let ended = node
        .transactions
        .end(node.participants(), id, caller, outcome)
        .map_err(|error| fenced(error, call, FENCED_SINCE));
    EndTxnResponse::default().with_error_code(code(&ended))
}
