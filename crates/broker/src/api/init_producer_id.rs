//! InitProducerId: an id for an idempotent producer; for a transactional one, the id and the next epoch
//! of its transactional id, which fences its predecessors.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::fenced;
use crate::node::Node;
use crate::transaction::Producer;
use crate::wire::Call;

const NO_PRODUCER: Producer = Producer { id: -1, epoch: -1 };

/// The first version that knows `PRODUCER_FENCED`.
const FENCED_SINCE: i16 = 4;

pub(crate) fn handle(
    node: &Node,
    call: &Call,
    request: InitProducerIdRequest,
) -> InitProducerIdResponse {
    let producer = match &request.transactional_id {
        Some(id) => transactional(node, id, &request),
        // Without a transactional id there is nothing to continue: a new id is as good as a new epoch.
        None => new_id(node).map(|id| Producer { id, epoch: 0 }),
    };
    let (error_code, producer) = match producer {
        Ok(producer) => (0, producer),
        Err(error) => (fenced(error, call, FENCED_SINCE).code(), NO_PRODUCER),
    };
    InitProducerIdResponse::default()
        .with_error_code(error_code)
        .with_producer_id(ProducerId(producer.id))
        .with_producer_epoch(producer.epoch)
}

fn transactional(
    node: &Node,
    id: &str,
    request: &InitProducerIdRequest,
) -> Result<Producer, ResponseError> {
    let was = Producer {
        id: *request.producer_id,
        epoch: request.producer_epoch,
    };
    let was = match was {
        NO_PRODUCER => None,
        was if was.id < 0 || was.epoch < 0 => return Err(ResponseError::InvalidRequest),
        was => Some(was),
    };
    if id.is_empty() {
        return Err(ResponseError::InvalidRequest);
    }
    let timeout = u64::try_from(request.transaction_timeout_ms).unwrap_or(0);
    let timeout = Duration::from_millis(timeout);
    let participants = node.participants();
    node.transactions
        .init(participants, id, was, timeout, || new_id(node))
}

fn new_id(node: &Node) -> Result<i64, ResponseError> {
    node.producer_ids.next().map_err(|error| {
        tracing::error!(%error, "cannot reserve producer ids");
        ResponseError::KafkaStorageError
    })
}
