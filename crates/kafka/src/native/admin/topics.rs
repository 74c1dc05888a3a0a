//! Creating, growing and deleting topics.

use std::collections::BTreeMap;
use std::ffi::c_char;
use std::time::Duration;

use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Operation;

use super::{Answer, ask, c_string, no_memory_or_invalid, pointers};
use crate::native::Client;
use crate::native::error::{ClientError, check, text};

/// What became of one topic of a request.
pub(crate) type TopicOutcome = (String, Result<(), ClientError>);

impl Client {
    /// Creates a topic; a replication of -1 leaves it to the broker.
    pub(crate) fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication: i32,
        configs: &BTreeMap<String, String>,
        within: Duration,
    ) -> Result<(), ClientError> {
        let c_name = c_string(name)?;
        let mut reason = [0 as c_char; 256];
        // SAFETY: the strings are live and copied; the new topic is ours and destroyed below, after its last use.
        unsafe {
            let mut topic = sys::rd_kafka_NewTopic_new(
                c_name.as_ptr(),
                partitions,
                replication,
                reason.as_mut_ptr(),
                reason.len(),
            );
            if topic.is_null() {
                return Err(no_memory_or_invalid(&reason));
            }
            let answer = set_configs(topic, configs).and_then(|()| {
                ask(
                    self,
                    Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS,
                    within,
                    |options, queue| {
                        sys::rd_kafka_CreateTopics(self.handle(), &mut topic, 1, options, queue);
                    },
                )
            });
            sys::rd_kafka_NewTopic_destroy_array(&mut topic, 1);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_CreateTopics_result(answer.event);
            let results = sys::rd_kafka_CreateTopics_result_topics(result, &mut count);
            only(results, count)
        }
    }

    /// Raises the number of partitions of a topic to `total`.
    pub(crate) fn add_partitions(
        &self,
        name: &str,
        total: usize,
        within: Duration,
    ) -> Result<(), ClientError> {
        let c_name = c_string(name)?;
        let mut reason = [0 as c_char; 256];
        // SAFETY: the string is live and copied; the request's item is ours and destroyed after its last use.
        unsafe {
            let mut grown = sys::rd_kafka_NewPartitions_new(
                c_name.as_ptr(),
                total,
                reason.as_mut_ptr(),
                reason.len(),
            );
            if grown.is_null() {
                return Err(no_memory_or_invalid(&reason));
            }
            let answer = ask(
                self,
                Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS,
                within,
                |options, queue| {
                    sys::rd_kafka_CreatePartitions(self.handle(), &mut grown, 1, options, queue);
                },
            );
            sys::rd_kafka_NewPartitions_destroy_array(&mut grown, 1);
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_CreatePartitions_result(answer.event);
            let results = sys::rd_kafka_CreatePartitions_result_topics(result, &mut count);
            only(results, count)
        }
    }

    /// Deletes topics; one outcome a topic.
    pub(crate) fn delete_topics(
        &self,
        names: &[String],
        within: Duration,
    ) -> Result<Vec<TopicOutcome>, ClientError> {
        let c_names = names.iter().map(|name| c_string(name));
        let c_names = c_names.collect::<Result<Vec<_>, _>>()?;
        // SAFETY: the strings are live and copied; the request's items are ours and destroyed after their last use.
        unsafe {
            let items = c_names
                .iter()
                .map(|name| sys::rd_kafka_DeleteTopic_new(name.as_ptr()));
            let mut items: Vec<_> = items.collect();
            let answer: Result<Answer, _> = ask(
                self,
                Operation::RD_KAFKA_ADMIN_OP_DELETETOPICS,
                within,
                |options, queue| {
                    sys::rd_kafka_DeleteTopics(
                        self.handle(),
                        items.as_mut_ptr(),
                        items.len(),
                        options,
                        queue,
                    );
                },
            );
            sys::rd_kafka_DeleteTopic_destroy_array(items.as_mut_ptr(), items.len());
            let answer = answer?;
            let mut count = 0;
            let result = sys::rd_kafka_event_DeleteTopics_result(answer.event);
            let results = sys::rd_kafka_DeleteTopics_result_topics(result, &mut count);
            Ok(outcomes(results, count))
        }
    }
}

/// # Safety
/// `topic` is live.
unsafe fn set_configs(
    topic: *mut sys::rd_kafka_NewTopic_t,
    configs: &BTreeMap<String, String>,
) -> Result<(), ClientError> {
    for (name, value) in configs {
        let (name, value) = (c_string(name)?, c_string(value)?);
        // SAFETY: as the caller promised; the strings are copied.
        check(unsafe { sys::rd_kafka_NewTopic_set_config(topic, name.as_ptr(), value.as_ptr()) })?;
    }
    Ok(())
}

/// # Safety
/// `results` are `count` live results.
unsafe fn only(
    results: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Result<(), ClientError> {
    // SAFETY: as the caller promised.
    let outcomes = unsafe { outcomes(results, count) };
    outcomes.into_iter().try_for_each(|(_, outcome)| outcome)
}

/// # Safety
/// `results` are `count` live results.
unsafe fn outcomes(
    results: *mut *const sys::rd_kafka_topic_result_t,
    count: usize,
) -> Vec<TopicOutcome> {
    // SAFETY: as the caller promised; the strings live as long as the results.
    unsafe { pointers(results, count) }
        .iter()
        .map(|result| unsafe {
            let failed = ClientError::with_reason(
                sys::rd_kafka_topic_result_error(*result),
                sys::rd_kafka_topic_result_error_string(*result),
            );
            let name = text(sys::rd_kafka_topic_result_name(*result));
            (name, failed.map_or(Ok(()), Err))
        })
        .collect()
}
