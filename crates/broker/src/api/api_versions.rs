//! ApiVersions: what a client may ask for. The one API that is answered in whatever version it is asked.

use bytes::BytesMut;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use kafka_protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};

use super::OFFERED;
use crate::wire::{Call, WireError};

pub(crate) fn handle() -> ApiVersionsResponse {
    let offered = OFFERED.iter().map(|(api, lowest, highest)| {
        ApiVersion::default()
            .with_api_key(*api as i16)
            .with_min_version(*lowest)
            .with_max_version(*highest)
    });
    ApiVersionsResponse::default().with_api_keys(offered.collect())
}

/// Answers a call for a version that is not offered. A client that is newer than the broker learns
/// here, in the format of version 0, what it may use (KIP-511); any other call ends the connection.
pub(crate) fn refuse(call: &Call) -> Result<BytesMut, WireError> {
    if call.api == ApiKey::ApiVersions {
        let answer = handle().with_error_code(ResponseError::UnsupportedVersion.code());
        return call.encode_as(0, &answer);
    }
    Err(WireError::NotOffered {
        api: call.api,
        version: call.version,
    })
}
