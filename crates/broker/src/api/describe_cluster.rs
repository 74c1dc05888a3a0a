//! DescribeCluster: the one broker.

use kafka_protocol::messages::describe_cluster_response::{
    DescribeClusterBroker, DescribeClusterResponse,
};

use super::text;
use crate::node::{NODE_ID, Node};
use crate::wire::Call;

pub(crate) fn handle(node: &Node, call: &Call) -> DescribeClusterResponse {
    let broker = DescribeClusterBroker::default()
        .with_broker_id(NODE_ID)
        .with_host(text(call.local.ip().to_string()))
        .with_port(i32::from(call.local.port()));
    DescribeClusterResponse::default()
        .with_cluster_id(node.cluster_id.clone())
        .with_controller_id(NODE_ID)
        .with_brokers(vec![broker])
}
