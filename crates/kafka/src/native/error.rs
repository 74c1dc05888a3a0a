//! An error of librdkafka: its code, and what it says about it.

use std::ffi::{CStr, c_char};

use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

/// What librdkafka or the broker says.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason} ({code:?})")]
pub(crate) struct ClientError {
    pub(crate) code: RDKafkaErrorCode,
    pub(crate) reason: String,
}

impl ClientError {
    /// The error of a code, in librdkafka's words; `None` for the code that means success.
    pub(crate) fn of(code: RDKafkaRespErr) -> Option<Self> {
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        // SAFETY: librdkafka returns a static string for any code.
        let reason = unsafe { text(sys::rd_kafka_err2str(code)) };
        Some(Self {
            code: code.into(),
            reason,
        })
    }

    /// As [`ClientError::of`], with the more specific words that came along, if any.
    ///
    /// # Safety
    /// `reason` is null or a C string.
    pub(crate) unsafe fn with_reason(code: RDKafkaRespErr, reason: *const c_char) -> Option<Self> {
        let mut error = Self::of(code)?;
        // SAFETY: as the caller promised.
        let said = unsafe { text(reason) };
        if !said.is_empty() {
            error.reason = said;
        }
        Some(error)
    }

    /// Takes over an error object; `None` for null, which means success.
    ///
    /// # Safety
    /// `error` is null or an error object that nobody else frees.
    pub(crate) unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Option<Self> {
        if error.is_null() {
            return None;
        }
        // SAFETY: it is live until it is destroyed here.
        unsafe {
            let taken = Self::borrow(error);
            sys::rd_kafka_error_destroy(error);
            taken
        }
    }

    /// What an error object says that stays somebody else's; `None` for null.
    ///
    /// # Safety
    /// `error` is null or live.
    pub(crate) unsafe fn borrow(error: *const sys::rd_kafka_error_t) -> Option<Self> {
        if error.is_null() {
            return None;
        }
        // SAFETY: it is live, and its string lives as long.
        unsafe {
            let code = sys::rd_kafka_error_code(error);
            Self::with_reason(code, sys::rd_kafka_error_string(error))
        }
    }

    /// Whether it says that nobody answered, rather than that somebody refused.
    pub(crate) fn is_outage(&self) -> bool {
        use RDKafkaErrorCode as Code;
        matches!(
            self.code,
            Code::OperationTimedOut
                | Code::MessageTimedOut
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::RequestTimedOut
                | Code::WaitingForCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotEnoughReplicas
                | Code::NotEnoughReplicasAfterAppend
                | Code::ConcurrentTransactions
                | Code::OffsetNotAvailable
        )
    }
}

/// A result from a code.
pub(crate) fn check(code: RDKafkaRespErr) -> Result<(), ClientError> {
    ClientError::of(code).map_or(Ok(()), Err)
}

/// A C string as text; damaged UTF-8 is replaced, null is empty.
///
/// # Safety
/// `string` is null or a C string.
pub(crate) unsafe fn text(string: *const c_char) -> String {
    if string.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promised.
    unsafe { CStr::from_ptr(string) }
        .to_string_lossy()
        .trim()
        .to_owned()
}
