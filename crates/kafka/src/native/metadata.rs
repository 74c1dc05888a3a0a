//! What the cluster says about its topics.

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use longshore_event::TopicPartition;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka_sys as sys;

use super::Client;
use super::error::{ClientError, check, text};

/// A topic as the cluster knows it.
#[derive(Debug)]
pub(crate) struct TopicMetadata {
    pub(crate) name: String,
    pub(crate) partitions: i32,
    /// Of its first partition; all have the same in practice.
    pub(crate) replication: i32,
}

impl TopicMetadata {
    /// Its partitions, by number.
    pub(crate) fn all_partitions(&self) -> Vec<TopicPartition> {
        let topic: Arc<str> = self.name.as_str().into();
        (0..self.partitions)
            .map(|partition| TopicPartition::new(Arc::clone(&topic), partition))
            .collect()
    }
}

impl Client {
    /// All topics that can be told of; waits at most `within`.
    pub(crate) fn all_topics(&self, within: Duration) -> Result<Vec<TopicMetadata>, ClientError> {
        let topics = self.metadata(true, std::ptr::null_mut(), within)?;
        Ok(topics.into_iter().filter_map(Result::ok).collect())
    }

    /// One topic, which is not created by asking; `None` if there is none of that name. Waits at most `within`.
    pub(crate) fn topic(
        &self,
        name: &str,
        within: Duration,
    ) -> Result<Option<TopicMetadata>, ClientError> {
        let Ok(c_name) = CString::new(name) else {
            return Ok(None);
        };
        // SAFETY: the handle is live; a topic's configuration may be null; the topic is ours to destroy.
        let found = unsafe {
            let topic =
                sys::rd_kafka_topic_new(self.handle(), c_name.as_ptr(), std::ptr::null_mut());
            if topic.is_null() {
                return check(sys::rd_kafka_last_error()).map(|()| None);
            }
            let found = self.metadata(false, topic, within);
            sys::rd_kafka_topic_destroy(topic);
            found
        };
        match found?.pop().transpose() {
            Ok(topic) => Ok(topic),
            Err(error) if error.code == RDKafkaErrorCode::UnknownTopicOrPartition => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether any broker answers within that time.
    pub(crate) fn is_reachable(&self, within: Duration) -> bool {
        self.metadata(false, std::ptr::null_mut(), within).is_ok()
    }

    fn metadata(
        &self,
        all: bool,
        topic: *mut sys::rd_kafka_topic_t,
        within: Duration,
    ) -> Result<Vec<Result<TopicMetadata, ClientError>>, ClientError> {
        let millis = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
        let mut metadata = std::ptr::null();
        // SAFETY: the handle is live; the topic is live or null; the answer is ours to destroy and is read before.
        unsafe {
            check(sys::rd_kafka_metadata(
                self.handle(),
                all.into(),
                topic,
                &mut metadata,
                millis,
            ))?;
            let topics = read(&*metadata);
            sys::rd_kafka_metadata_destroy(metadata);
            Ok(topics)
        }
    }
}

/// # Safety
/// `metadata` is live.
unsafe fn read(metadata: &sys::rd_kafka_metadata) -> Vec<Result<TopicMetadata, ClientError>> {
    // SAFETY: librdkafka keeps as many topics and partitions as it says there are.
    unsafe {
        let topics = slice(metadata.topics, metadata.topic_cnt).iter();
        let topics = topics.map(|topic| {
            match topic.err {
                // A new topic whose leaders are being elected exists.
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE => {}
                code => check(code)?,
            }
            let first = slice(topic.partitions, topic.partition_cnt).first();
            Ok(TopicMetadata {
                name: text(topic.topic),
                partitions: topic.partition_cnt,
                replication: first.map_or(0, |partition| partition.replica_cnt),
            })
        });
        topics.collect()
    }
}

/// # Safety
/// `start` is null or points to `count` items.
unsafe fn slice<'a, T>(start: *const T, count: i32) -> &'a [T] {
    if start.is_null() {
        return &[];
    }
    // SAFETY: as the caller promised.
    unsafe { std::slice::from_raw_parts(start, usize::try_from(count).unwrap_or(0)) }
}
