//! A queue of what a client hears of, and its events as a closed enum.

use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition};
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::ClientError;
use super::admin::Answer;
use super::error::text;
use super::partitions::PartitionList;
use super::record::Message;

/// A queue of librdkafka. One thread polls it; any thread may wake that one.
#[derive(Debug)]
pub(crate) struct Queue {
    queue: *mut sys::rd_kafka_queue_t,
}

// SAFETY: librdkafka's queues are thread-safe by its documentation.
unsafe impl Send for Queue {}
// SAFETY: as above.
unsafe impl Sync for Queue {}

/// What a client hears of.
#[derive(Debug)]
pub(crate) enum Event {
    /// Records that were fetched.
    Fetched(Messages),
    /// Records that were sent, or not.
    Delivered(Messages),
    /// A rebalance gives these partitions.
    Assign(PartitionList),
    /// A rebalance takes these partitions.
    Revoke(PartitionList),
    /// A commit in the background is done.
    Committed {
        result: Result<(), ClientError>,
        offsets: PartitionList,
    },
    /// There is nothing more in a partition for now: the next record will have this offset, or a higher one.
    ReachedEnd(TopicPartition, NextOffset),
    /// Something is wrong.
    Failed { error: ClientError, fatal: bool },
    /// The answer to an administrative request.
    Answered(Answer),
    /// Anything else, which nobody asked for.
    Other,
}

/// The messages of one event, which live as long as it.
#[derive(Debug)]
pub(crate) struct Messages {
    event: *mut sys::rd_kafka_event_t,
}

impl Queue {
    /// # Safety
    /// `queue` is a queue that nobody else destroys.
    pub(crate) unsafe fn from_ptr(queue: *mut sys::rd_kafka_queue_t) -> Self {
        Self { queue }
    }

    /// The next event; `None` when `within` has passed or [`Queue::wake`] was called.
    pub(crate) fn poll(&self, within: Duration) -> Option<Event> {
        let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is live; an event that is returned is ours.
        unsafe {
            let event = sys::rd_kafka_queue_poll(self.queue, millis);
            (!event.is_null()).then(|| Event::take(event))
        }
    }

    /// Ends the poll that is under way, or the next one.
    pub(crate) fn wake(&self) {
        // SAFETY: the queue is live.
        unsafe { sys::rd_kafka_queue_yield(self.queue) }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_queue_t {
        self.queue
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_queue_destroy(self.queue) }
    }
}

impl Event {
    /// # Safety
    /// `event` is live and nobody else destroys it.
    unsafe fn take(event: *mut sys::rd_kafka_event_t) -> Self {
        // SAFETY: the event is live until it is destroyed below or by the one it is handed to; what is read from it
        // is copied.
        unsafe {
            let taken = match sys::rd_kafka_event_type(event) {
                sys::RD_KAFKA_EVENT_FETCH => return Self::Fetched(Messages { event }),
                sys::RD_KAFKA_EVENT_DR => return Self::Delivered(Messages { event }),
                sys::RD_KAFKA_EVENT_REBALANCE => {
                    let list =
                        PartitionList::copy_of(sys::rd_kafka_event_topic_partition_list(event));
                    match sys::rd_kafka_event_error(event) {
                        RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Self::Assign(list),
                        _ => Self::Revoke(list),
                    }
                }
                sys::RD_KAFKA_EVENT_OFFSET_COMMIT => Self::Committed {
                    result: super::error::check(sys::rd_kafka_event_error(event)),
                    offsets: PartitionList::copy_of(sys::rd_kafka_event_topic_partition_list(
                        event,
                    )),
                },
                sys::RD_KAFKA_EVENT_ERROR => Self::error(event),
                kind if Answer::is_kind(kind) => return Self::Answered(Answer::take(event)),
                _ => Self::Other,
            };
            sys::rd_kafka_event_destroy(event);
            taken
        }
    }

    /// # Safety
    /// `event` is live and of the type for errors.
    unsafe fn error(event: *mut sys::rd_kafka_event_t) -> Self {
        // SAFETY: as the caller promised; the partition is a copy and ours.
        unsafe {
            let code = sys::rd_kafka_event_error(event);
            if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
                let line = sys::rd_kafka_event_topic_partition(event);
                if line.is_null() {
                    return Self::Other;
                }
                let partition = TopicPartition::new(text((*line).topic), (*line).partition);
                let end = NextOffset((*line).offset);
                sys::rd_kafka_topic_partition_destroy(line);
                return Self::ReachedEnd(partition, end);
            }
            let reason = sys::rd_kafka_event_error_string(event);
            match ClientError::with_reason(code, reason) {
                Some(error) => Self::Failed {
                    error,
                    fatal: sys::rd_kafka_event_error_is_fatal(event) != 0,
                },
                None => Self::Other,
            }
        }
    }
}

impl Messages {
    /// The next message; it may be looked at until `self` is used again.
    pub(crate) fn next(&mut self) -> Option<Message<'_>> {
        // SAFETY: the event is live, and so are its messages as long as it is.
        unsafe {
            let message = sys::rd_kafka_event_message_next(self.event).as_ref()?;
            Some(Message::new(message))
        }
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        // SAFETY: it is ours, and destroyed once.
        unsafe { sys::rd_kafka_event_destroy(self.event) }
    }
}
