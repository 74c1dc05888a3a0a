//! Names of the headers an event travels with: CloudEvents 1.0 in Kafka's binary mode, plus correlation and tracing.

/// `1.0`; the version of CloudEvents itself.
pub const SPEC_VERSION: &str = "ce_specversion";
/// Unique within the source.
pub const ID: &str = "ce_id";
/// Who published the event.
pub const SOURCE: &str = "ce_source";
/// What happened; a suffix `.vN` names a version of the payload above the first.
pub const TYPE: &str = "ce_type";
/// When it happened, RFC 3339.
pub const TIME: &str = "ce_time";
/// The aggregate it happened to.
pub const SUBJECT: &str = "ce_subject";
/// Media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// Shared by all events of one business transaction.
pub const CORRELATION_ID: &str = "correlation-id";
/// The id of the event that caused this one.
pub const CAUSATION_ID: &str = "causation-id";
/// When the message was made, RFC 3339; for producers that know nothing of CloudEvents.
pub const TIMESTAMP: &str = "timestamp";
/// W3C Trace Context: position in the trace.
pub const TRACE_PARENT: &str = "traceparent";
/// W3C Trace Context: vendors' data, passed on as it is.
pub const TRACE_STATE: &str = "tracestate";
