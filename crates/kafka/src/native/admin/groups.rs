//! Consumer groups: which there are, and who is in them.

use std::time::Duration;

use longshore_event::TopicPartition;
use rdkafka_sys as sys;
use sys::rd_kafka_admin_op_t as Operation;

use super::{ask, c_string, pointers};
use crate::native::Client;
use crate::native::error::{ClientError, text};
use crate::native::partitions::read;

/// A group as the list of groups tells it.
#[derive(Debug)]
pub(crate) struct ListedGroup {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) kind: String,
}

/// A group and its members.
#[derive(Debug)]
pub(crate) struct DescribedGroup {
    pub(crate) state: String,
    pub(crate) assignor: String,
    pub(crate) members: Vec<DescribedMember>,
}

/// A member of a group.
#[derive(Debug)]
pub(crate) struct DescribedMember {
    pub(crate) id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) assignment: Vec<TopicPartition>,
}

impl Client {
    /// All groups of the cluster.
    pub(crate) fn list_groups(&self, within: Duration) -> Result<Vec<ListedGroup>, ClientError> {
        let answer = ask(
            self,
            Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS,
            within,
            // SAFETY: all are live for the call.
            |options, queue| unsafe {
                sys::rd_kafka_ListConsumerGroups(self.handle(), options, queue);
            },
        )?;
        // SAFETY: the answer is live, and so is what is read from it.
        unsafe {
            let result = sys::rd_kafka_event_ListConsumerGroups_result(answer.event);
            let mut count = 0;
            let errors = sys::rd_kafka_ListConsumerGroups_result_errors(result, &mut count);
            // A part of the list would look like all of it.
            if let Some(error) = pointers(errors, count)
                .iter()
                .find_map(|error| ClientError::borrow(*error))
            {
                return Err(error);
            }
            let groups = sys::rd_kafka_ListConsumerGroups_result_valid(result, &mut count);
            let groups = pointers(groups, count).iter().map(|group| ListedGroup {
                name: text(sys::rd_kafka_ConsumerGroupListing_group_id(*group)),
                state: text(sys::rd_kafka_consumer_group_state_name(
                    sys::rd_kafka_ConsumerGroupListing_state(*group),
                )),
                kind: text(sys::rd_kafka_consumer_group_type_name(
                    sys::rd_kafka_ConsumerGroupListing_type(*group),
                )),
            });
            Ok(groups.collect())
        }
    }

    /// One group. A group that does not exist is told as dead and without members by older brokers.
    pub(crate) fn describe_group(
        &self,
        group: &str,
        within: Duration,
    ) -> Result<DescribedGroup, ClientError> {
        let name = c_string(group)?;
        let mut names = [name.as_ptr()];
        let answer = ask(
            self,
            Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
            within,
            // SAFETY: all are live for the call, which copies them.
            |options, queue| unsafe {
                sys::rd_kafka_DescribeConsumerGroups(
                    self.handle(),
                    names.as_mut_ptr(),
                    names.len(),
                    options,
                    queue,
                );
            },
        )?;
        // SAFETY: the answer is live, and so is what is read from it.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeConsumerGroups_result(answer.event);
            let groups = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &mut count);
            let Some(group) = pointers(groups, count).first() else {
                return Ok(DescribedGroup {
                    state: "Dead".to_owned(),
                    assignor: String::new(),
                    members: Vec::new(),
                });
            };
            read_group(*group)
        }
    }
}

/// # Safety
/// `group` is live.
unsafe fn read_group(
    group: *const sys::rd_kafka_ConsumerGroupDescription_t,
) -> Result<DescribedGroup, ClientError> {
    // SAFETY: as the caller promised; every index is below the count.
    unsafe {
        let error = sys::rd_kafka_ConsumerGroupDescription_error(group);
        if let Some(error) = ClientError::borrow(error) {
            return Err(error);
        }
        let count = sys::rd_kafka_ConsumerGroupDescription_member_count(group);
        let members = (0..count)
            .map(|index| read_member(sys::rd_kafka_ConsumerGroupDescription_member(group, index)));
        Ok(DescribedGroup {
            state: text(sys::rd_kafka_consumer_group_state_name(
                sys::rd_kafka_ConsumerGroupDescription_state(group),
            )),
            assignor: text(sys::rd_kafka_ConsumerGroupDescription_partition_assignor(
                group,
            )),
            members: members.collect(),
        })
    }
}

/// # Safety
/// `member` is live.
unsafe fn read_member(member: *const sys::rd_kafka_MemberDescription_t) -> DescribedMember {
    // SAFETY: as the caller promised; what is read from it lives as long.
    unsafe {
        let instance_id = text(sys::rd_kafka_MemberDescription_group_instance_id(member));
        let assignment = sys::rd_kafka_MemberDescription_assignment(member);
        let assignment = if assignment.is_null() {
            Vec::new()
        } else {
            read(sys::rd_kafka_MemberAssignment_partitions(assignment))
        };
        DescribedMember {
            id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
            instance_id: (!instance_id.is_empty()).then_some(instance_id),
            client_id: text(sys::rd_kafka_MemberDescription_client_id(member)),
            host: text(sys::rd_kafka_MemberDescription_host(member)),
            assignment: assignment.into_iter().map(|line| line.partition).collect(),
        }
    }
}
