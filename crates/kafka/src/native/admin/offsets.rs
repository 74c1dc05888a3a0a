//! Where partitions begin and end, what stands at a time, and what groups have committed.

use std::time::Duration;

use longshore_event::{NextOffset, TopicPartition};
use rdkafka_sys as sys;
use sys::rd_kafka_OffsetSpec_t as Spec;
use sys::rd_kafka_admin_op_t as Operation;

use super::{ask, ask_with, c_string, pointers};
use crate::native::Client;
use crate::native::error::{ClientError, text};
use crate::native::partitions::{PartitionList, PartitionOffset, read};

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OffsetAt {
    /// The first that can be read.
    Begin,
    /// The one behind the last that readers of committed records get to.
    End,
    /// The one behind the last, whatever becomes of the transactions that are open.
    HighWatermark,
    /// The first whose timestamp is at or after this many milliseconds since 1970; -1 if there is none.
    Millis(i64),
}

/// Which committed offsets are asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Committed<'a> {
    /// Those of every partition that the group has ever committed, whatever a transaction is about to make of them.
    Now,
    /// Those of these partitions that no open transaction is about to change; a partition where one is has an error
    /// (KIP-447).
    Stable(&'a PartitionList),
}

impl OffsetAt {
    /// Whose end it is.
    fn isolation(self) -> sys::rd_kafka_IsolationLevel_t {
        use sys::rd_kafka_IsolationLevel_t as Level;
        match self {
            Self::HighWatermark => Level::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
            Self::Begin | Self::End | Self::Millis(_) => {
                Level::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
            }
        }
    }
}

impl Client {
    /// An offset of each partition, in any order.
    pub(crate) fn list_offsets(
        &self,
        partitions: &[TopicPartition],
        at: OffsetAt,
        within: Duration,
    ) -> Result<Vec<PartitionOffset>, ClientError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let isolation = at.isolation();
        let at = match at {
            OffsetAt::Begin => Spec::RD_KAFKA_OFFSET_SPEC_EARLIEST as i64,
            OffsetAt::End | OffsetAt::HighWatermark => Spec::RD_KAFKA_OFFSET_SPEC_LATEST as i64,
            OffsetAt::Millis(millis) => millis,
        };
        let mut list = PartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.push(&partition.topic, partition.partition, Some(at));
        }
        let answer = ask_with(
            self,
            Operation::RD_KAFKA_ADMIN_OP_LISTOFFSETS,
            within,
            // SAFETY: the options are live.
            |options| unsafe {
                let set = sys::rd_kafka_AdminOptions_set_isolation_level;
                ClientError::take(set(options, isolation))
            },
            // SAFETY: all are live for the call, which copies them.
            |options, queue| unsafe {
                sys::rd_kafka_ListOffsets(self.handle(), list.as_ptr(), options, queue);
            },
        )?;
        // SAFETY: the answer is live, and so is what is read from it.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_ListOffsets_result(answer.event);
            let infos = sys::rd_kafka_ListOffsets_result_infos(result, &mut count);
            let mut offsets = Vec::with_capacity(count);
            for info in pointers(infos, count) {
                let line = &*sys::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let topic = text(line.topic);
                offsets.push(PartitionOffset {
                    partition: TopicPartition::new(topic, line.partition),
                    offset: line.offset,
                    error: ClientError::of(line.err),
                });
            }
            Ok(offsets)
        }
    }

    /// What a group has committed; a negative offset stands for none.
    pub(crate) fn committed_offsets(
        &self,
        group: &str,
        which: Committed<'_>,
        within: Duration,
    ) -> Result<Vec<PartitionOffset>, ClientError> {
        let name = c_string(group)?;
        let (partitions, stable) = match which {
            Committed::Now => (std::ptr::null(), 0),
            Committed::Stable(partitions) => (partitions.as_ptr().cast_const(), 1),
        };
        // SAFETY: name and list are copied; no list means all; the request is ours and destroyed after its last use.
        unsafe {
            let mut request = sys::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), partitions);
            let answer = ask_with(
                self,
                Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS,
                within,
                |options| {
                    let set = sys::rd_kafka_AdminOptions_set_require_stable_offsets;
                    ClientError::take(set(options, stable))
                },
                |options, queue| {
                    sys::rd_kafka_ListConsumerGroupOffsets(
                        self.handle(),
                        &mut request,
                        1,
                        options,
                        queue,
                    );
                },
            );
            sys::rd_kafka_ListConsumerGroupOffsets_destroy_array(&mut request, 1);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_ListConsumerGroupOffsets_result(answer.event);
            let groups = sys::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &mut count);
            let mut offsets = Vec::new();
            for group in pointers(groups, count) {
                if let Some(error) = ClientError::borrow(sys::rd_kafka_group_result_error(*group)) {
                    return Err(error);
                }
                offsets.extend(read(sys::rd_kafka_group_result_partitions(*group)));
            }
            Ok(offsets)
        }
    }

    /// Commits offsets for a group without members; a broker refuses it for one that has some. The outcome of each
    /// partition is in its line.
    pub(crate) fn alter_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, NextOffset)],
        within: Duration,
    ) -> Result<Vec<PartitionOffset>, ClientError> {
        let name = c_string(group)?;
        let list =
            PartitionList::of_offsets(offsets.iter().map(|(partition, next)| (partition, next)));
        // SAFETY: name and list are copied; the request is ours and destroyed after its last use.
        unsafe {
            let mut request =
                sys::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), list.as_ptr());
            let answer = ask(
                self,
                Operation::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS,
                within,
                |options, queue| {
                    sys::rd_kafka_AlterConsumerGroupOffsets(
                        self.handle(),
                        &mut request,
                        1,
                        options,
                        queue,
                    );
                },
            );
            sys::rd_kafka_AlterConsumerGroupOffsets_destroy_array(&mut request, 1);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_AlterConsumerGroupOffsets_result(answer.event);
            let groups = sys::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &mut count);
            let mut altered = Vec::new();
            for group in pointers(groups, count) {
                if let Some(error) = ClientError::borrow(sys::rd_kafka_group_result_error(*group)) {
                    return Err(error);
                }
                altered.extend(read(sys::rd_kafka_group_result_partitions(*group)));
            }
            Ok(altered)
        }
    }
}
