//! A fetched message as a record: key and value copied once into one allocation, headers as they are on the wire.

use std::ffi::{CStr, c_char, c_void};

use bytes::Bytes;
use jiff::Timestamp;
use longshore_event::{Headers, Offset, Record, TopicPartition};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::ClientError;

/// A message of an event, as librdkafka holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'event>(&'event sys::rd_kafka_message_t);

impl<'event> Message<'event> {
    /// # Safety
    /// The message comes from an event that lives for `'event`.
    pub(super) unsafe fn new(message: &'event sys::rd_kafka_message_t) -> Self {
        Self(message)
    }

    /// Its topic, as bytes: cheaper to compare than to check for UTF-8.
    pub(crate) fn topic(self) -> &'event [u8] {
        // SAFETY: a message of an event has a topic, whose name lives as long as the message.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.0.rkt)) }.to_bytes()
    }

    pub(crate) fn partition(self) -> i32 {
        self.0.partition
    }

    pub(crate) fn offset(self) -> Offset {
        Offset(self.0.offset)
    }

    /// What is wrong with it: damaged, or not delivered.
    pub(crate) fn error(self) -> Option<ClientError> {
        ClientError::of(self.0.err)
    }

    /// What was sent along with it and never left this process.
    pub(super) fn opaque(self) -> *mut c_void {
        self.0._private
    }

    /// The record of a fetched message of `partition`.
    ///
    /// A header's name that is not UTF-8 has what is damaged replaced by U+FFFD, and one with a NUL ends there, since
    /// librdkafka tells it as a C string; values are exact.
    pub(crate) fn record(self, partition: TopicPartition) -> Record {
        // SAFETY: librdkafka gives either null or that many bytes, which live as long as the message.
        let (key, value) = unsafe {
            (
                slice(self.0.key, self.0.key_len),
                slice(self.0.payload, self.0.len),
            )
        };
        let (key, value) = copy(key, value);
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is live.
        let millis = unsafe { sys::rd_kafka_message_timestamp(self.0, &mut kind) };
        let known = kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        Record {
            partition,
            offset: self.offset(),
            timestamp: Timestamp::from_millisecond(millis).ok().filter(|_| known),
            key,
            value,
            // SAFETY: the message is live.
            headers: unsafe { headers(self.0) },
        }
    }
}

fn copy(key: Option<&[u8]>, value: Option<&[u8]>) -> (Option<Bytes>, Option<Bytes>) {
    let (Some(key), Some(value)) = (key, value) else {
        return (
            key.map(Bytes::copy_from_slice),
            value.map(Bytes::copy_from_slice),
        );
    };
    let mut both = Vec::with_capacity(key.len() + value.len());
    both.extend_from_slice(key);
    both.extend_from_slice(value);
    let mut first = Bytes::from(both);
    let second = first.split_off(key.len());
    (Some(first), Some(second))
}

unsafe fn headers(message: &sys::rd_kafka_message_t) -> Headers {
    let mut list = std::ptr::null_mut();
    // SAFETY: the message is live; the list stays its own.
    let code = unsafe { sys::rd_kafka_message_headers(message, &mut list) };
    if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Headers::new();
    }
    // SAFETY: the list is live.
    let count = unsafe { sys::rd_kafka_header_cnt(list) };
    // SAFETY: as above, and every index is below the count.
    let all = (0..count).map_while(|index| unsafe { header(list, index) });
    let bytes = all
        .clone()
        .map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
    let mut headers = Headers::with_capacity(count, bytes.sum());
    for (name, value) in all {
        headers.push(&String::from_utf8_lossy(name), value);
    }
    headers
}

unsafe fn header<'a>(
    list: *const sys::rd_kafka_headers_t,
    index: usize,
) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let mut name: *const c_char = std::ptr::null();
    let mut value: *const c_void = std::ptr::null();
    let mut size = 0;
    // SAFETY: the list is live, and so are name and value as long as the message is.
    unsafe {
        let code = sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        Some((CStr::from_ptr(name).to_bytes(), slice(value, size)))
    }
}

/// # Safety
/// `start` is null or points to `length` bytes that live for `'a`.
unsafe fn slice<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: as the caller promised.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), length) })
}
