//! AddOffsetsToTxn: of which group a producer is about to commit offsets in its transaction.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

use super::{code, fenced};
use crate::node::Node;
use crate::transaction::Producer;
use crate::wire::Call;

/// The first version that knows `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 2;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: &AddOffsetsToTxnRequest,
) -> AddOffsetsToTxnResponse {
    let caller = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let (id, group_id) = (&request.transactional_id, &request.group_id);
    let added = if group_id.is_empty() {
        Err(ResponseError::InvalidGroupId)
    } else {
        node.transactions
            .add_group(node.participants(), id, caller, group_id)
    };
    let added = added.map_err(|error| fenced(error, call, FENCED_SINCE));
    AddOffsetsToTxnResponse::default().with_error_code(code(&added))
}
