//! Handing a record to the producer: one copy into librdkafka's memory, headers with whatever bytes they have.

use std::ffi::{CString, c_void};
use std::time::Duration;

use longshore_event::{Headers, OutgoingRecord};
use rdkafka_sys as sys;
use sys::rd_kafka_vtype_t as Field;

use super::delivery::Batch;
use super::error::{ClientError, check};
use super::{Client, Event, Queue};

/// A topic of a producer, looked up once. It must go before its client.
#[derive(Debug)]
pub(crate) struct Topic {
    topic: *mut sys::rd_kafka_topic_t,
}

// SAFETY: librdkafka's topics are thread-safe by its documentation.
unsafe impl Send for Topic {}
// SAFETY: as above.
unsafe impl Sync for Topic {}

impl Drop for Topic {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_topic_destroy(self.topic) }
    }
}

impl Client {
    /// Looks a topic up. Nothing is sent yet, and it need not exist.
    pub(crate) fn producer_topic(&self, name: &str) -> Result<Topic, ClientError> {
        let c_name = CString::new(name).map_err(|_| ClientError {
            code: rdkafka::types::RDKafkaErrorCode::InvalidTopic,
            reason: "the topic's name holds a NUL".to_owned(),
        })?;
        // SAFETY: the handle is live; the name is copied; a topic's configuration may be null.
        unsafe {
            let topic =
                sys::rd_kafka_topic_new(self.handle(), c_name.as_ptr(), std::ptr::null_mut());
            if topic.is_null() {
                check(sys::rd_kafka_last_error())?;
            }
            Ok(Topic { topic })
        }
    }

    /// Queues the record that is the `index`-th of `batch`, which hears of its delivery if this succeeds.
    ///
    /// # Errors
    /// `QueueFull` asks to try again when something has been delivered; anything else is final.
    pub(crate) fn produce(
        &self,
        topic: &Topic,
        record: &OutgoingRecord,
        batch: &std::sync::Arc<Batch>,
        index: usize,
    ) -> Result<(), ClientError> {
        let headers = native_headers(&record.headers);
        let opaque = Batch::to_opaque(batch, index);
        let copy = sys::RD_KAFKA_MSG_F_COPY;
        let mut fields = [
            field(Field::RD_KAFKA_VTYPE_RKT, |u| u.rkt = topic.topic),
            memory(Field::RD_KAFKA_VTYPE_VALUE, record.value.as_deref()),
            memory(Field::RD_KAFKA_VTYPE_KEY, record.key.as_deref()),
            field(Field::RD_KAFKA_VTYPE_MSGFLAGS, |u| u.i = copy),
            field(Field::RD_KAFKA_VTYPE_OPAQUE, |u| u.ptr = opaque),
            field(Field::RD_KAFKA_VTYPE_HEADERS, |u| u.headers = headers),
        ];
        let count = fields.len() - usize::from(headers.is_null());
        // SAFETY: everything is live for the call, which copies key and value, and takes headers and opaque over if it
        // succeeds; otherwise both are ours still.
        unsafe {
            let error = sys::rd_kafka_produceva(self.handle(), fields.as_mut_ptr(), count);
            match ClientError::take(error) {
                None => Ok(()),
                Some(error) => {
                    Batch::take_back(opaque);
                    if !headers.is_null() {
                        sys::rd_kafka_headers_destroy(headers);
                    }
                    Err(error)
                }
            }
        }
    }

    /// Gives up everything that is queued or under way; each is reported as not delivered.
    pub(crate) fn purge(&self, queue: &Queue, within: Duration) {
        let deadline = std::time::Instant::now() + within;
        // SAFETY: the handle is live.
        unsafe {
            let what = sys::RD_KAFKA_PURGE_F_QUEUE | sys::RD_KAFKA_PURGE_F_INFLIGHT;
            sys::rd_kafka_purge(self.handle(), what);
        }
        // SAFETY: the handle is live.
        while unsafe { sys::rd_kafka_outq_len(self.handle()) } > 0 {
            if std::time::Instant::now() > deadline {
                return;
            }
            if let Some(Event::Delivered(messages)) = queue.poll(PURGE_CHECK) {
                Batch::deliver(messages);
            }
        }
    }
}

/// How often it is checked whether all that was purged has been reported.
const PURGE_CHECK: Duration = Duration::from_millis(10);

fn native_headers(headers: &Headers) -> *mut sys::rd_kafka_headers_t {
    if headers.is_empty() {
        return std::ptr::null_mut();
    }
    // SAFETY: the list is live; names and values are copied with the lengths they have.
    unsafe {
        let list = sys::rd_kafka_headers_new(headers.len());
        for (name, value) in headers.iter() {
            sys::rd_kafka_header_add(
                list,
                name.as_ptr().cast(),
                name.len().cast_signed(),
                value.map_or(std::ptr::null(), |value| value.as_ptr().cast()),
                value.map_or(0, |value| value.len().cast_signed()),
            );
        }
        list
    }
}

type Union = sys::rd_kafka_vu_s__bindgen_ty_1;

fn field(vtype: Field, set: impl FnOnce(&mut Union)) -> sys::rd_kafka_vu_t {
    let mut u = Union { _pad: [0; 64] };
    set(&mut u);
    sys::rd_kafka_vu_t { vtype, u }
}

/// Bytes, where null and empty are different things.
fn memory(vtype: Field, bytes: Option<&[u8]>) -> sys::rd_kafka_vu_t {
    field(vtype, |u| {
        u.mem = sys::rd_kafka_vu_s__bindgen_ty_1__bindgen_ty_1 {
            ptr: bytes.map_or(std::ptr::null_mut(), |bytes| {
                bytes.as_ptr().cast_mut().cast::<c_void>()
            }),
            size: bytes.map_or(0, <[u8]>::len),
        }
    })
}
