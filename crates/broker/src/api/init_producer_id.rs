//! InitProducerId: an id for an idempotent producer. Transactional producers are refused.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use crate::node::Node;

const NO_ID: ProducerId = ProducerId(-1);
const NO_EPOCH: i16 = -1;

pub(crate) fn handle(node: &Node, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let id = match request.transactional_id {
        Some(_) => Err(ResponseError::UnsupportedVersion),
        // Without a transactional id there is nothing to continue: a new id is as good as a new epoch.
        None => node.producer_ids.next().map_err(|error| {
            tracing::error!(%error, "cannot reserve producer ids");
            ResponseError::KafkaStorageError
        }),
    };
    let response = InitProducerIdResponse::default();
    match id {
        Ok(id) => response
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(0),
        Err(error) => response
            .with_error_code(error.code())
            .with_producer_id(NO_ID)
            .with_producer_epoch(NO_EPOCH),
    }
}
