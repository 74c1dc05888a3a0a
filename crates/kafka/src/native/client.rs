//! A handle of librdkafka: made from properties, destroyed with its last owner, its log in ours.

use std::ffi::{CString, c_char, c_int};
use std::mem::ManuallyDrop;
use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition};
use rdkafka::config::NativeClientConfig;
use rdkafka::types::RDKafkaRespErr;
use rdkafka_sys as sys;

use super::error::{ClientError, check, text};
use super::{PartitionList, Queue};

/// What a client is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Reads.
    Consumer,
    /// Writes.
    Producer,
    /// Administers. It hears of nothing but answers: nobody takes anything else from its queue.
    Admin,
}

/// A librdkafka client. Its calls may come from any thread.
#[derive(Debug)]
pub(crate) struct Client {
    handle: *mut sys::rd_kafka_t,
}

// SAFETY: librdkafka's handle is thread-safe by its documentation.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Starts a client. Nothing is sent yet.
    ///
    /// # Errors
    /// What librdkafka says about properties that do not fit together.
    pub(crate) fn start(kind: Kind, config: NativeClientConfig) -> Result<Self, String> {
        let (kind, events) = match kind {
            Kind::Consumer => (
                sys::rd_kafka_type_t::RD_KAFKA_CONSUMER,
                sys::RD_KAFKA_EVENT_REBALANCE | sys::RD_KAFKA_EVENT_ERROR,
            ),
            Kind::Producer => (
                sys::rd_kafka_type_t::RD_KAFKA_PRODUCER,
                sys::RD_KAFKA_EVENT_DR | sys::RD_KAFKA_EVENT_ERROR,
            ),
            // Of the two that librdkafka has, the lighter one.
            Kind::Admin => (sys::rd_kafka_type_t::RD_KAFKA_PRODUCER, 0),
        };
        // Freed by librdkafka with the client, and by us only if there is none.
        let config = ManuallyDrop::new(config);
        let mut reason = [0 as c_char; 512];
        // SAFETY: the configuration is live; the buffer is as long as is said.
        let handle = unsafe {
            sys::rd_kafka_conf_set_events(config.ptr(), events);
            sys::rd_kafka_conf_set_log_cb(config.ptr(), Some(log));
            sys::rd_kafka_new(kind, config.ptr(), reason.as_mut_ptr(), reason.len())
        };
        if handle.is_null() {
            drop(ManuallyDrop::into_inner(config));
            // SAFETY: librdkafka wrote a C string that fits.
            return Err(unsafe { text(reason.as_ptr()) });
        }
        Ok(Self { handle })
    }

    pub(crate) fn handle(&self) -> *mut sys::rd_kafka_t {
        self.handle
    }

    /// The queue of errors and delivery reports.
    pub(crate) fn main_queue(&self) -> Queue {
        // SAFETY: the handle is live.
        unsafe { Queue::from_ptr(sys::rd_kafka_queue_get_main(self.handle)) }
    }

    /// The queue of records and of everything else that a consumer hears of.
    pub(crate) fn consumer_queue(&self) -> Queue {
        // SAFETY: the handle is live and a consumer with a group id, which is what has this queue.
        unsafe {
            sys::rd_kafka_poll_set_consumer(self.handle);
            Queue::from_ptr(sys::rd_kafka_queue_get_consumer(self.handle))
        }
    }

    /// An empty queue, for one answer.
    pub(crate) fn new_queue(&self) -> Queue {
        // SAFETY: the handle is live.
        unsafe { Queue::from_ptr(sys::rd_kafka_queue_new(self.handle)) }
    }

    /// Joins the group, for these topics.
    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<(), ClientError> {
        let list = PartitionList::of_topics(topics);
        // SAFETY: both are live; the list is copied.
        check(unsafe { sys::rd_kafka_subscribe(self.handle, list.as_ptr()) })
    }

    /// Starts leaving the group; what is left to do comes through `queue`, until [`Client::is_closed`].
    pub(crate) fn close_into(&self, queue: &Queue) -> Result<(), ClientError> {
        // SAFETY: both are live; the error object is ours.
        unsafe {
            let error = sys::rd_kafka_consumer_close_queue(self.handle, queue.as_ptr());
            ClientError::take(error).map_or(Ok(()), Err)
        }
    }

    /// Whether the group has been left.
    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { sys::rd_kafka_consumer_closed(self.handle) == 1 }
    }

    /// Whether the assignment is gone already, so that the partitions may have another owner.
    pub(crate) fn is_assignment_lost(&self) -> bool {
        // SAFETY: the handle is live.
        unsafe { sys::rd_kafka_assignment_lost(self.handle) == 1 }
    }

    /// Starts reading what a rebalance assigned.
    pub(crate) fn accept(&self, list: &PartitionList) -> Result<(), ClientError> {
        // SAFETY: handle and list are live; the error object is ours.
        unsafe {
            if self.is_cooperative() {
                let error = sys::rd_kafka_incremental_assign(self.handle, list.as_ptr());
                return ClientError::take(error).map_or(Ok(()), Err);
            }
        }
        self.assign(list)
    }

    /// Stops reading what a rebalance revoked.
    pub(crate) fn let_go(&self, list: &PartitionList) -> Result<(), ClientError> {
        // SAFETY: handle and list are live; the error object is ours; null means that nothing is assigned.
        unsafe {
            if self.is_cooperative() {
                let error = sys::rd_kafka_incremental_unassign(self.handle, list.as_ptr());
                return ClientError::take(error).map_or(Ok(()), Err);
            }
            check(sys::rd_kafka_assign(self.handle, std::ptr::null()))
        }
    }

    /// Reads exactly these partitions, from the offsets in the list.
    pub(crate) fn assign(&self, list: &PartitionList) -> Result<(), ClientError> {
        // SAFETY: both are live; the list is copied.
        check(unsafe { sys::rd_kafka_assign(self.handle, list.as_ptr()) })
    }

    /// Stops fetching; what was fetched ahead is thrown away.
    pub(crate) fn pause(&self, list: &PartitionList) -> Result<(), ClientError> {
        // SAFETY: both are live.
        check(unsafe { sys::rd_kafka_pause_partitions(self.handle, list.as_ptr()) })
    }

    /// Fetches again.
    pub(crate) fn resume(&self, list: &PartitionList) -> Result<(), ClientError> {
        // SAFETY: both are live.
        check(unsafe { sys::rd_kafka_resume_partitions(self.handle, list.as_ptr()) })
    }

    /// Starts committing; the outcome comes to `queue` as [`super::Event::Committed`].
    pub(crate) fn commit(&self, list: &PartitionList, queue: &Queue) -> Result<(), ClientError> {
        // SAFETY: all are live; the list is copied; no callback is given.
        check(unsafe {
            sys::rd_kafka_commit_queue(
                self.handle,
                list.as_ptr(),
                queue.as_ptr(),
                None,
                std::ptr::null_mut(),
            )
        })
    }

    /// Commits and waits for the broker's answer, at most `within`. An answer that is still missing then is dropped.
    pub(crate) fn commit_within(
        &self,
        list: &PartitionList,
        within: Duration,
    ) -> Result<(), ClientError> {
        let queue = self.new_queue();
        self.commit(list, &queue)?;
        match queue.poll(within) {
            Some(super::Event::Committed { result, .. }) => result,
            Some(_) => Ok(()),
            None => Err(timed_out()),
        }
    }

    /// The end of a partition as the last fetch told it; `None` before the first.
    pub(crate) fn cached_end(&self, partition: &TopicPartition) -> Option<NextOffset> {
        let topic = CString::new(&*partition.topic).ok()?;
        let (mut low, mut high) = (-1, -1);
        // SAFETY: the handle and the string are live; both numbers are ours. Nothing is sent.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(
                self.handle,
                topic.as_ptr(),
                partition.partition,
                &mut low,
                &mut high,
            )
        };
        (check(code).is_ok() && high >= 0).then_some(NextOffset(high))
    }

    /// The error that made this client useless; `None` while it works.
    pub(crate) fn fatal_error(&self) -> Option<ClientError> {
        let mut reason = [0 as c_char; 512];
        // SAFETY: the handle is live; the buffer is as long as is said and holds a C string in any case.
        unsafe {
            let code = sys::rd_kafka_fatal_error(self.handle, reason.as_mut_ptr(), reason.len());
            ClientError::with_reason(code, reason.as_ptr())
        }
    }

    fn is_cooperative(&self) -> bool {
        // SAFETY: the handle is live; the string is static.
        unsafe { text(sys::rd_kafka_rebalance_protocol(self.handle)) == "COOPERATIVE" }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // SAFETY: nobody else destroys it. A consumer has left its group before, by `close_into`, or never joined one;
        // the flag keeps librdkafka from waiting for an answer to a close of its own.
        unsafe {
            sys::rd_kafka_destroy_flags(
                self.handle,
                sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE as c_int,
            );
        }
    }
}

fn timed_out() -> ClientError {
    ClientError {
        code: RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT.into(),
        reason: "no answer in time".to_owned(),
    }
}

/// librdkafka's log lines, from any of its threads, by the syslog levels it uses.
unsafe extern "C" fn log(
    _: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both are C strings that live for the call.
    let (facility, line) = unsafe { (text(facility), text(line)) };
    // A property of another kind of client: one connection serves them all.
    let level = if facility == "CONFWARN" { 7 } else { level };
    match level {
        // Connections come and go, and the events of the client say what matters: nothing here is worse than a warning.
        0..=4 => tracing::warn!(target: "librdkafka", facility, "{line}"),
        5 | 6 => tracing::info!(target: "librdkafka", facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", facility, "{line}"),
    }
}
