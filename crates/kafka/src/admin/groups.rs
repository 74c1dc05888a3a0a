//! Consumer groups for tools: which there are, who is in one, and how far behind it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use longshore_event::{NextOffset, TopicPartition};
use rdkafka::types::RDKafkaErrorCode::{
    CoordinatorLoadInProgress, CoordinatorNotAvailable, GroupIdNotFound, NonEmptyGroup,
    NotCoordinator, RebalanceInProgress, UnknownMemberId,
};

use super::{Admin, REQUEST, code_of, offsets};
use crate::KafkaError;
use crate::native::admin::{Committed, DescribedGroup, DescribedMember, OffsetAt};
use crate::native::{Client, ClientError};

/// How soon a coordinator that moves is asked again; given up after [`REQUEST`].
const COORDINATOR_CHECK: Duration = Duration::from_millis(100);

/// A consumer group, as the list of groups tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    /// Its name.
    pub name: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// `Classic`, or `Consumer` for KIP-848; `Unknown` when the broker is too old to tell.
    pub protocol: String,
}

/// A consumer group, its members and its lag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// `Stable`, `Empty`, `PreparingRebalance`, ...
    pub state: String,
    /// How partitions are given to members, such as `cooperative-sticky`; empty while there are no members.
    pub assignor: String,
    /// The members, by id.
    pub members: Vec<Member>,
    /// Every partition that the group has committed or is reading now, in order.
    pub partitions: Vec<PartitionLag>,
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The id the broker gave it.
    pub id: String,
    /// Its `group.instance.id`, if it is a static member.
    pub instance_id: Option<String>,
    /// Its `client.id`.
    pub client_id: String,
    /// Where it connects from.
    pub host: String,
    /// What it reads.
    pub assignment: Vec<TopicPartition>,
}

/// How far a group is behind on a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    /// The partition.
    pub partition: TopicPartition,
    /// What the group has committed; `None` if nothing yet.
    pub committed: Option<NextOffset>,
    /// The end of the partition.
    pub end: NextOffset,
    /// Records from the committed offset to the end; from the partition's begin if nothing is committed.
    pub lag: i64,
    /// The id of the member that reads it; `None` if nobody does.
    pub member: Option<String>,
}

impl Admin {
    /// All consumer groups, by name.
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn groups(&self) -> Result<Vec<GroupSummary>, KafkaError> {
        let action = "list consumer groups".to_owned();
        let listed = self.run(action, |client| client.list_groups(REQUEST));
        let groups = listed.await?.into_iter().map(|group| GroupSummary {
            name: group.name,
            state: group.state,
            protocol: group.kind,
        });
        let mut groups: Vec<_> = groups.collect();
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// One consumer group.
    ///
    /// # Errors
    /// [`KafkaError::UnknownGroup`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn describe_group(&self, group: &str) -> Result<GroupDescription, KafkaError> {
        let name = group.to_owned();
        let action = format!("describe consumer group {group}");
        let described = self.run(action, move |client| describe(client, name));
        described.await?.ok_or_else(|| KafkaError::UnknownGroup {
            group: group.to_owned(),
            brokers: self.brokers.to_string(),
        })
    }

    /// What a consumer group has committed, of every partition of which it has committed anything.
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, NextOffset>, KafkaError> {
        let name = group.to_owned();
        let action = format!("read what consumer group {group} has committed");
        self.run(action, move |client| committed(client, &name))
            .await
    }

    /// Commits offsets in the name of a group that has no members, such as to read records again or to pass some over.
    /// Other partitions keep what they have.
    ///
    /// # Errors
    /// [`KafkaError::ActiveGroup`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`] for the first partition that is
    /// refused; others may have been changed then.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, NextOffset)],
    ) -> Result<(), KafkaError> {
        if offsets.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + REQUEST;
        let altered = loop {
            let (name, offsets) = (group.to_owned(), offsets.to_vec());
            let action = format!("commit offsets for consumer group {group}");
            let altered = self.run(action, move |client| {
                let lines = client.alter_offsets(&name, &offsets, REQUEST)?;
                lines
                    .into_iter()
                    .find_map(|line| line.error)
                    .map_or(Ok(()), Err)
            });
            let altered = altered.await;
            // A coordinator that moves, or is loaded for the first time, is there in a moment; the same offsets twice
            // are the same offsets.
            let moves = altered
                .as_ref()
                .err()
                .and_then(code_of)
                .is_some_and(|code| {
                    matches!(
                        code,
                        NotCoordinator | CoordinatorNotAvailable | CoordinatorLoadInProgress
                    )
                });
            if !moves || Instant::now() > deadline {
                break altered;
            }
            tokio::time::sleep(COORDINATOR_CHECK).await;
        };
        altered.map_err(|error| match code_of(&error) {
            Some(NonEmptyGroup | UnknownMemberId | RebalanceInProgress) => {
                KafkaError::ActiveGroup {
                    group: group.to_owned(),
                }
            }
            _ => error,
        })
    }
}

fn describe(client: &Client, name: String) -> Result<Option<GroupDescription>, ClientError> {
    let described = match client.describe_group(&name, REQUEST) {
        Err(error) if error.code == GroupIdNotFound => return Ok(None),
        described => described?,
    };
    let committed = committed(client, &name)?;
    // What Kafka says of a group that it does not know.
    if described.state == "Dead" && committed.is_empty() {
        return Ok(None);
    }
    let partitions = lags(client, &described.members, committed)?;
    let DescribedGroup {
        state,
        assignor,
        members,
    } = described;
    let mut members: Vec<_> = members.into_iter().map(Member::from).collect();
    members.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(Some(GroupDescription {
        name,
        state,
        assignor,
        members,
        partitions,
    }))
}

fn committed(
    client: &Client,
    group: &str,
) -> Result<BTreeMap<TopicPartition, NextOffset>, ClientError> {
    let lines = match client.committed_offsets(group, Committed::Now, REQUEST) {
        Err(error) if error.code == GroupIdNotFound => Vec::new(),
        lines => lines?,
    };
    let lines = lines.into_iter().filter(|line| line.offset >= 0);
    Ok(lines
        .map(|line| (line.partition, NextOffset(line.offset)))
        .collect())
}

fn lags(
    client: &Client,
    members: &[DescribedMember],
    committed: BTreeMap<TopicPartition, NextOffset>,
) -> Result<Vec<PartitionLag>, ClientError> {
    let owners: BTreeMap<&TopicPartition, &str> = members
        .iter()
        .flat_map(|member| member.assignment.iter().map(|p| (p, member.id.as_str())))
        .collect();
    let partitions: BTreeSet<&TopicPartition> =
        committed.keys().chain(owners.keys().copied()).collect();
    let partitions = existing(client, partitions)?;
    let begins = offsets(client, &partitions, OffsetAt::Begin)?;
    let ends = offsets(client, &partitions, OffsetAt::End)?;
    let lags = partitions.into_iter().map(|partition| {
        let end = ends.get(&partition).copied().unwrap_or(NextOffset(0));
        let begin = begins.get(&partition).copied().unwrap_or(end);
        let committed = committed.get(&partition).copied();
        // Records below the begin are gone, and with them the lag they were.
        let next = committed.unwrap_or(begin).max(begin);
        PartitionLag {
            committed,
            end,
            lag: (end.0 - next.0).max(0),
            member: owners.get(&partition).map(|id| (*id).to_owned()),
            partition,
        }
    });
    Ok(lags.collect())
}

/// Without the partitions of topics that were deleted since the group committed them.
fn existing(
    client: &Client,
    partitions: BTreeSet<&TopicPartition>,
) -> Result<Vec<TopicPartition>, ClientError> {
    let topics: BTreeSet<&str> = partitions.iter().map(|p| &*p.topic).collect();
    let mut counts = BTreeMap::new();
    for topic in topics {
        if let Some(found) = client.topic(topic, REQUEST)? {
            counts.insert(topic, found.partitions);
        }
    }
    let partitions = partitions.into_iter().filter(|partition| {
        let count = counts.get(&*partition.topic);
        count.is_some_and(|count| partition.partition < *count)
    });
    Ok(partitions.cloned().collect())
}

impl From<DescribedMember> for Member {
    fn from(member: DescribedMember) -> Self {
        Self {
            id: member.id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.host,
            assignment: member.assignment,
        }
    }
}
