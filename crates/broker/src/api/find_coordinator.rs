//! FindCoordinator: the one broker coordinates every group and every transaction.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::{Coordinator, FindCoordinatorResponse};
use kafka_protocol::messages::{BrokerId, FindCoordinatorRequest};

use super::text;
use crate::node::NODE_ID;
use crate::wire::Call;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

/// The first version that asks for several groups at once (KIP-699).
const SEVERAL_SINCE: i16 = 4;

pub(crate) fn handle(call: &Call, request: FindCoordinatorRequest) -> FindCoordinatorResponse {
    let host = text(call.local.ip().to_string());
    let port = i32::from(call.local.port());
    let is_known = matches!(request.key_type, GROUP | TRANSACTION);
    let message = (!is_known).then(|| text("only groups and transactions have a coordinator"));
    let (error_code, node_id, host, port) = if is_known {
        (0, NODE_ID, host, port)
    } else {
        let error = ResponseError::InvalidRequest.code();
        (error, BrokerId(-1), text(""), -1)
    };
    if call.version < SEVERAL_SINCE {
        return FindCoordinatorResponse::default()
            .with_error_code(error_code)
            .with_error_message(message)
            .with_node_id(node_id)
            .with_host(host)
            .with_port(port);
    }
    let coordinators = request.coordinator_keys.into_iter().map(|key| {
        Coordinator::default()
            .with_key(key)
            .with_error_code(error_code)
            .with_error_message(message.clone())
            .with_node_id(node_id)
            .with_host(host.clone())
            .with_port(port)
    });
    FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
}
