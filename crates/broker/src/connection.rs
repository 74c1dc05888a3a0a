//! One client's connection: requests are answered one after the other, in the order they came.
//!
//! As in Kafka, a fetch or a join that waits holds back the requests behind it; clients know that and
//! use a connection of their own for their group.

use std::error::Error;
use std::io;
use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::api;
use crate::faults;
use crate::node::Node;
use crate::wire::{self, Call, WireError};

/// Serves `socket` until the client closes it, or sends what cannot be understood.
pub(crate) async fn serve(socket: TcpStream, peer: SocketAddr, node: &Node) {
    match answer_requests(socket, peer, node).await {
        Ok(()) => tracing::debug!(%peer, "client disconnected"),
        Err(WireError::Io(error)) if is_hang_up(&error) => {
            tracing::debug!(%peer, %error, "client hung up");
        }
        Err(WireError::Dropped) => tracing::debug!(%peer, "a fault closed the connection"),
        Err(error) => {
            let cause = error.source().map(ToString::to_string);
            tracing::warn!(%peer, %error, cause, "connection closed");
        }
    }
}

async fn answer_requests(
    mut socket: TcpStream,
    peer: SocketAddr,
    node: &Node,
) -> Result<(), WireError> {
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let connection = node.faults.number_connection();
    let mut inbox = BytesMut::new();
    while let Some(mut frame) = wire::next_frame(&mut socket, &mut inbox).await? {
        let call = Call::open(&mut frame, peer, local)?;
        let answer = if node.faults.are_none() {
            api::answer(node, &call, frame).await?
        } else {
            faults::answer(node, &call, frame, connection).await?
        };
        if let Some(answer) = answer {
            socket.write_all(&answer).await?;
        }
    }
    Ok(())
}

fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset
    )
}
