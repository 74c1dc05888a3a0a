//! Frames: four bytes of length, a header, a body. Requests come apart here, answers are put together.

mod dry_run;

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, StrBytes, decode_request_header_from_buffer,
};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest request, in bytes; a longer one closes its connection. Kafka's `socket.request.max.bytes`.
pub(crate) const MAX_REQUEST_BYTES: usize = 100 * 1024 * 1024;

/// Bytes of the length before a frame.
const LENGTH_BYTES: usize = 4;

/// API key, version and correlation id: less than this is no request.
const MIN_REQUEST_BYTES: usize = 8;

/// Room made for each read; a frame's memory grows as it arrives, not as it announces itself.
const READ_BYTES: usize = 64 * 1024;

/// What `kafka-protocol` found.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    #[error("the client closed the connection inside a request")]
    Torn,
    #[error("a request of {0} bytes is not between {MIN_REQUEST_BYTES} and {MAX_REQUEST_BYTES}")]
    Length(i32),
    #[error("the header of a request is malformed, or names an API that Kafka does not have")]
    Header(#[source] Cause),
    #[error("{api:?} version {version} is not offered")]
    NotOffered { api: ApiKey, version: i16 },
    #[error("a {api:?} request of version {version} is malformed")]
    Body {
        api: ApiKey,
        version: i16,
        #[source]
        source: Cause,
    },
    #[error("a {api:?} response of version {version} cannot be encoded")]
    Encode {
        api: ApiKey,
        version: i16,
        #[source]
        source: Cause,
    },
    #[error("a fault that was injected closes the connection")]
    Dropped,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A request without its body.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) api: ApiKey,
    pub(crate) version: i16,
    pub(crate) client_id: StrBytes,
    /// Where the client is.
    pub(crate) peer: SocketAddr,
    /// The address the client reached the broker at, and so the one to tell it.
    pub(crate) local: SocketAddr,
    correlation_id: i32,
}

/// Reads the next frame; `None` when the client closed the connection between two.
pub(crate) async fn next_frame(
    socket: &mut (impl AsyncRead + Unpin),
    inbox: &mut BytesMut,
) -> Result<Option<Bytes>, WireError> {
    let mut needed = LENGTH_BYTES;
    loop {
        if let Some((length, _)) = inbox.split_first_chunk::<LENGTH_BYTES>() {
            let length = i32::from_be_bytes(*length);
            needed = LENGTH_BYTES + acceptable(length)?;
            if inbox.len() >= needed {
                inbox.advance(LENGTH_BYTES);
                return Ok(Some(inbox.split_to(needed - LENGTH_BYTES).freeze()));
            }
        }
        inbox.reserve(READ_BYTES.min(needed - inbox.len()).max(LENGTH_BYTES));
        if socket.read_buf(inbox).await? == 0 {
            return if inbox.is_empty() {
                Ok(None)
            } else {
                Err(WireError::Torn)
            };
        }
    }
}

impl Call {
    /// Takes the header off `frame`; what is left is the body.
    pub(crate) fn open(
        frame: &mut Bytes,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<Self, WireError> {
        let header: RequestHeader = decode_request_header_from_buffer(frame)
            .map_err(|error| WireError::Header(error.into()))?;
        let api = ApiKey::try_from(header.request_api_key)
            .map_err(|()| WireError::Header("unknown API key".into()))?;
        Ok(Self {
            api,
            version: header.request_api_version,
            client_id: header.client_id.unwrap_or_default(),
            peer,
            local,
            correlation_id: header.correlation_id,
        })
    }

    /// Decodes the body of this call.
    pub(crate) fn decode<R: Decodable>(&self, mut body: Bytes) -> Result<R, WireError> {
        let malformed = |source| WireError::Body {
            api: self.api,
            version: self.version,
            source,
        };
        dry_run::check::<R>(&body, self.version).map_err(malformed)?;
        R::decode(&mut body, self.version).map_err(|error| malformed(error.into()))
    }

    /// Encodes the answer to this call as a frame.
    pub(crate) fn encode<R: Encodable + HeaderVersion>(
        &self,
        answer: &R,
    ) -> Result<BytesMut, WireError> {
        self.encode_as(self.version, answer)
    }

    /// Encodes an answer in another version than was asked for.
    pub(crate) fn encode_as<R: Encodable + HeaderVersion>(
        &self,
        version: i16,
        answer: &R,
    ) -> Result<BytesMut, WireError> {
        let header = ResponseHeader::default().with_correlation_id(self.correlation_id);
        let header_version = R::header_version(version);
        let encode = || {
            let length = header.compute_size(header_version)? + answer.compute_size(version)?;
            let mut frame = BytesMut::with_capacity(LENGTH_BYTES + length);
            frame.put_i32(i32::try_from(length)?);
            header.encode(&mut frame, header_version)?;
            answer.encode(&mut frame, version)?;
            Ok(frame)
        };
        encode().map_err(|source: Cause| WireError::Encode {
            api: self.api,
            version,
            source,
        })
    }
}

fn acceptable(length: i32) -> Result<usize, WireError> {
    usize::try_from(length)
        .ok()
        .filter(|length| (MIN_REQUEST_BYTES..=MAX_REQUEST_BYTES).contains(length))
        .ok_or(WireError::Length(length))
}
