//! Administrative requests: each sends one request and waits for its one answer on a queue of its own.
//!
//! They block, for at most the time they are given and [`GRACE`].

use std::ffi::{CString, c_char};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Operation;

use super::error::{ClientError, check};
use super::{Client, Event};

mod configs;
mod groups;
mod offsets;
mod topics;

pub(crate) use groups::{DescribedGroup, DescribedMember};
pub(crate) use offsets::{Committed, OffsetAt};

/// How much later than it was asked to librdkafka may answer that time is up.
const GRACE: Duration = Duration::from_secs(1);

/// The answer to an administrative request.
#[derive(Debug)]
pub(crate) struct Answer {
    event: *mut sys::rd_kafka_event_t,
}

impl Answer {
    /// Whether an event of that type is such an answer.
    pub(super) fn is_kind(kind: i32) -> bool {
        matches!(
            kind,
            sys::RD_KAFKA_EVENT_CREATETOPICS_RESULT
                | sys::RD_KAFKA_EVENT_DELETETOPICS_RESULT
                | sys::RD_KAFKA_EVENT_CREATEPARTITIONS_RESULT
                | sys::RD_KAFKA_EVENT_DESCRIBECONFIGS_RESULT
                | sys::RD_KAFKA_EVENT_INCREMENTALALTERCONFIGS_RESULT
                | sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPS_RESULT
                | sys::RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT
                | sys::RD_KAFKA_EVENT_LISTCONSUMERGROUPOFFSETS_RESULT
                | sys::RD_KAFKA_EVENT_ALTERCONSUMERGROUPOFFSETS_RESULT
                | sys::RD_KAFKA_EVENT_LISTOFFSETS_RESULT
        )
    }

    /// # Safety
    /// `event` is such an answer, live, and nobody else destroys it.
    pub(super) unsafe fn take(event: *mut sys::rd_kafka_event_t) -> Self {
        Self { event }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.event) }
    }
}

/// Sends a request and waits for its answer, which is no error as a whole.
fn ask(
    client: &Client,
    operation: Operation,
    within: Duration,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Answer, ClientError> {
    ask_with(client, operation, within, |_| None, send)
}

/// As [`ask`], with more options; `more` says what stands against them.
fn ask_with(
    client: &Client,
    operation: Operation,
    within: Duration,
    more: impl FnOnce(*mut sys::rd_kafka_AdminOptions_t) -> Option<ClientError>,
    send: impl FnOnce(*const sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
) -> Result<Answer, ClientError> {
    let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    let queue = client.new_queue();
    // SAFETY: the handle is live; the options are ours and copied by the request.
    unsafe {
        let options = sys::rd_kafka_AdminOptions_new(client.handle(), operation);
        let set = set_options(options, operation, millis);
        let sent = set.and_then(|()| more(options).map_or(Ok(()), Err));
        if sent.is_ok() {
            send(options, queue.as_ptr());
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sent?;
    }
    match queue.poll(within + GRACE) {
        Some(Event::Answered(answer)) => {
            // SAFETY: the answer is live.
            let failed = unsafe {
                ClientError::with_reason(
                    sys::rd_kafka_event_error(answer.event),
                    sys::rd_kafka_event_error_string(answer.event),
                )
            };
            failed.map_or(Ok(answer), Err)
        }
        _ => Err(ClientError {
            code: RDKafkaErrorCode::OperationTimedOut,
            reason: "no answer in time".to_owned(),
        }),
    }
}

/// # Safety
/// `options` is live.
unsafe fn set_options(
    options: *mut sys::rd_kafka_AdminOptions_t,
    operation: Operation,
    millis: i32,
) -> Result<(), ClientError> {
    let mut reason = [0 as c_char; 256];
    // SAFETY: as the caller promised; the buffer is as long as is said.
    unsafe {
        check(sys::rd_kafka_AdminOptions_set_request_timeout(
            options,
            millis,
            reason.as_mut_ptr(),
            reason.len(),
        ))?;
        let changes_topics = matches!(
            operation,
            Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS
                | Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS
                | Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
        );
        if changes_topics {
            // The broker's share of the time; without it, it would answer before the change is done.
            check(sys::rd_kafka_AdminOptions_set_operation_timeout(
                options,
                millis / 2,
                reason.as_mut_ptr(),
                reason.len(),
            ))?;
        }
    }
    Ok(())
}

/// An argument as a C string.
fn c_string(argument: &str) -> Result<CString, ClientError> {
    CString::new(argument).map_err(|_| ClientError {
        code: RDKafkaErrorCode::InvalidArgument,
        reason: format!("{argument:?} holds a NUL"),
    })
}

fn no_memory_or_invalid(reason: &[c_char]) -> ClientError {
    ClientError {
        code: RDKafkaErrorCode::InvalidArgument,
        // SAFETY: librdkafka wrote a C string that fits, or nothing over the zeros.
        reason: unsafe { super::error::text(reason.as_ptr()) },
    }
}

/// The `count` pointers at `start`.
///
/// # Safety
/// `start` is null or points to `count` live pointers.
unsafe fn pointers<'a, T>(start: *mut *const T, count: usize) -> &'a [*const T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: as the caller promised.
    unsafe { std::slice::from_raw_parts(start, count) }
}
