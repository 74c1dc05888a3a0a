//! Requests that librdkafka has no call for, sent as they are.

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::client::WITHIN;

/// Sends `request` in `version` to the broker at `address`, over a connection of its own, and returns the answer.
pub(super) async fn call<R: Request>(address: &str, version: i16, request: &R) -> R::Response {
    let request = encode(version, request);
    let exchanged = timeout(WITHIN, exchange(address, &request)).await;
    let mut answer = exchanged.expect("in time").expect("an answer");
    let header_version = R::Response::header_version(version);
    ResponseHeader::decode(&mut answer, header_version).expect("a header");
    R::Response::decode(&mut answer, version).expect("the answer to the request")
}

fn encode<R: Request>(version: i16, request: &R) -> Bytes {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version);
    let mut bytes = BytesMut::new();
    let encoded = header.encode(&mut bytes, R::header_version(version));
    encoded.expect("a header");
    request.encode(&mut bytes, version).expect("a request");
    bytes.freeze()
}

async fn exchange(address: &str, request: &[u8]) -> std::io::Result<Bytes> {
    let mut socket = TcpStream::connect(address).await?;
    let mut frame = BytesMut::new();
    frame.put_i32(request.len() as i32);
    frame.put_slice(request);
    socket.write_all(&frame).await?;
    let mut answer = vec![0; socket.read_i32().await? as usize];
    socket.read_exact(&mut answer).await?;
    Ok(answer.into())
}
