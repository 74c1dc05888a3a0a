//! librdkafka's list of partitions with offsets.

use std::ffi::CString;

use longshore_event::{NextOffset, TopicPartition};
use rdkafka_sys as sys;

use super::ClientError;
use super::error::text;

/// The partition of a whole topic (`RD_KAFKA_PARTITION_UA`).
const UNASSIGNED: i32 = -1;

/// A list of partitions that is ours.
#[derive(Debug)]
pub(crate) struct PartitionList {
    list: *mut sys::rd_kafka_topic_partition_list_t,
}

// SAFETY: plain memory with one owner.
unsafe impl Send for PartitionList {}

/// One line of such a list, copied.
#[derive(Debug)]
pub(crate) struct PartitionOffset {
    pub(crate) partition: TopicPartition,
    /// Raw: negative for librdkafka's special values.
    pub(crate) offset: i64,
    pub(crate) error: Option<ClientError>,
}

impl PartitionList {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let capacity = i32::try_from(capacity).unwrap_or(i32::MAX);
        // SAFETY: no precondition; librdkafka aborts the process when there is no memory.
        let list = unsafe { sys::rd_kafka_topic_partition_list_new(capacity) };
        Self { list }
    }

    /// Whole topics, to subscribe to.
    pub(crate) fn of_topics(topics: &[String]) -> Self {
        let mut list = Self::with_capacity(topics.len());
        for topic in topics {
            list.push(topic, UNASSIGNED, None);
        }
        list
    }

    /// Partitions without offsets.
    pub(crate) fn of_partitions<'a>(
        partitions: impl ExactSizeIterator<Item = &'a TopicPartition>,
    ) -> Self {
        let mut list = Self::with_capacity(partitions.len());
        for partition in partitions {
            list.push(&partition.topic, partition.partition, None);
        }
        list
    }

    /// Partitions with the offset to read next.
    pub(crate) fn of_offsets<'a>(
        offsets: impl ExactSizeIterator<Item = (&'a TopicPartition, &'a NextOffset)>,
    ) -> Self {
        let mut list = Self::with_capacity(offsets.len());
        for (partition, next) in offsets {
            list.push(&partition.topic, partition.partition, Some(next.0));
        }
        list
    }

    /// Appends a line; a topic with a NUL in its name, which no broker has, is left out.
    pub(crate) fn push(&mut self, topic: &str, partition: i32, offset: Option<i64>) {
        let Ok(topic) = CString::new(topic) else {
            return;
        };
        // SAFETY: the list is live; the name is copied; the line is part of the list.
        unsafe {
            let line = sys::rd_kafka_topic_partition_list_add(self.list, topic.as_ptr(), partition);
            if let Some(offset) = offset {
                (*line).offset = offset;
            }
        }
    }

    /// A copy of a list that belongs to somebody else.
    ///
    /// # Safety
    /// `list` is null or live.
    pub(crate) unsafe fn copy_of(list: *const sys::rd_kafka_topic_partition_list_t) -> Self {
        if list.is_null() {
            return Self::with_capacity(0);
        }
        // SAFETY: as the caller promised.
        let list = unsafe { sys::rd_kafka_topic_partition_list_copy(list) };
        Self { list }
    }

    pub(crate) fn entries(&self) -> Vec<PartitionOffset> {
        // SAFETY: the list is live.
        unsafe { read(self.list) }
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::rd_kafka_topic_partition_list_t {
        self.list
    }
}

impl Drop for PartitionList {
    fn drop(&mut self) {
        // SAFETY: it is ours, and freed once.
        unsafe { sys::rd_kafka_topic_partition_list_destroy(self.list) }
    }
}

/// The lines of a list.
///
/// # Safety
/// `list` is null or live.
pub(crate) unsafe fn read(
    list: *const sys::rd_kafka_topic_partition_list_t,
) -> Vec<PartitionOffset> {
    // SAFETY: as the caller promised; librdkafka keeps `cnt` lines at `elems`.
    let lines = unsafe {
        if list.is_null() || (*list).elems.is_null() {
            return Vec::new();
        }
        std::slice::from_raw_parts((*list).elems, usize::try_from((*list).cnt).unwrap_or(0))
    };
    lines
        .iter()
        .map(|line| PartitionOffset {
            // SAFETY: the name is a C string that lives as long as the line.
            partition: TopicPartition::new(unsafe { text(line.topic) }, line.partition),
            offset: line.offset,
            error: ClientError::of(line.err),
        })
        .collect()
}
