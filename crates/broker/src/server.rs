//! Accepting connections until told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use crate::connection;
use crate::node::Node;

/// Most clients at a time; further ones wait to be accepted.
const MAX_CONNECTIONS: usize = 2_000;

/// How long accepting rests when the operating system refuses, for example for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `listener` until `stop` is told or dropped; then closes it and every connection.
pub(crate) async fn run(
    listener: TcpListener,
    node: Arc<Node>,
    upkeep: impl Future<Output = ()>,
    stop: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = accept(&listener, &node, &mut connections) => {}
        () = node.coordinator.run_timers() => {}
        () = node.transactions.run_timers(node.participants()) => {}
        () = upkeep => {}
        _ = stop => {}
    }
    drop(listener);
    // An abort takes effect where a connection waits, so what it is writing to a log is written whole.
    connections.shutdown().await;
}

async fn accept(listener: &TcpListener, node: &Arc<Node>, connections: &mut JoinSet<()>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((socket, peer)) => {
                let node = node.clone();
                connections.spawn(async move {
                    connection::serve(socket, peer, &node).await;
                    drop(permit);
                });
            }
            Err(error) => pause(&error).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pause(error: &io::Error) {
    tracing::error!(%error, "cannot accept a connection");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
