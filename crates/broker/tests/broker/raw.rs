//! A client that sends exactly what it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use longshore_broker::Broker;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::DEADLINE;

/// A connection to a broker.
pub(crate) struct RawClient {
    socket: TcpStream,
    correlation_id: i32,
}

impl RawClient {
    pub(crate) async fn connect(broker: &Broker) -> Self {
        Self::connect_to(broker.address()).await
    }

    pub(crate) async fn connect_to(address: SocketAddr) -> Self {
        Self {
            socket: TcpStream::connect(address).await.unwrap(),
            correlation_id: 0,
        }
    }

    /// Sends `request` in `version` and returns the answer, all of which must have been understood.
    pub(crate) async fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.send(version, request).await;
        self.answer::<R>(version).await
    }

    /// Receives the answer to the last request, which was of type `R`.
    pub(crate) async fn answer<R: Request>(&mut self, version: i16) -> R::Response {
        let frame = self.receive().await;
        let mut frame = frame.expect("an answer and not a closed connection");
        let header_version = R::Response::header_version(version);
        let header = ResponseHeader::decode(&mut frame, header_version).unwrap();
        assert_eq!(header.correlation_id, self.correlation_id);
        let answer = R::Response::decode(&mut frame, version).unwrap();
        assert!(
            frame.is_empty(),
            "{} bytes are left of the answer",
            frame.len()
        );
        answer
    }

    pub(crate) async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation_id += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation_id)
            .with_client_id(Some(StrBytes::from_static_str("raw")));
        let mut frame = BytesMut::new();
        header
            .encode(&mut frame, R::header_version(version))
            .unwrap();
        request.encode(&mut frame, version).unwrap();
        self.send_frame(&frame).await;
    }

    pub(crate) async fn send_frame(&mut self, frame: &[u8]) {
        let mut bytes = BytesMut::new();
        bytes.put_i32(frame.len() as i32);
        bytes.put_slice(frame);
        self.send_bytes(&bytes).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.unwrap();
    }

    /// The next frame; `None` when the broker closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<Bytes> {
        let length = timeout(DEADLINE, self.socket.read_i32())
            .await
            .unwrap()
            .ok()?;
        let mut frame = vec![0; length as usize];
        self.socket.read_exact(&mut frame).await.unwrap();
        Some(frame.into())
    }

    /// Whether nothing comes within `time`.
    pub(crate) async fn is_silent_for(&mut self, time: Duration) -> bool {
        timeout(time, self.socket.readable()).await.is_err()
    }
}
