//! Administration for tools: topics, their configs, offsets. Groups stand in [`groups`].
//!
//! Every call is one or a few requests, each bounded by [`REQUEST`]; none is retried here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use longshore_event::{NextOffset, TopicPartition};
use rdkafka::types::RDKafkaErrorCode;

use crate::native::admin::OffsetAt;
use crate::native::{Client, ClientError, Kind, PartitionOffset, TopicMetadata};
use crate::{Connection, KafkaError};

mod groups;
pub use groups::{GroupDescription, GroupSummary, Member, PartitionLag};

mod types;
pub use types::{NewTopic, PartitionBounds, TopicConfig, TopicDescription};

/// How long one request may take, including the connection.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// How long a created topic may take until the whole cluster tells of it.
const PROPAGATION: Duration = Duration::from_secs(10);

/// How often it is asked about meanwhile.
const PROPAGATION_CHECK: Duration = Duration::from_millis(50);

/// An administrative client. Cloning shares the connection; nothing is sent before the first call.
#[derive(Clone, Debug)]
pub struct Admin {
    client: Arc<Client>,
    brokers: Arc<str>,
}

impl Admin {
    /// Makes a client.
    ///
    /// # Errors
    /// About properties that are not accepted.
    pub fn connect(connection: &Connection) -> Result<Self, KafkaError> {
        let config = connection.without_group().config(&[], &[])?;
        let client = Client::start(Kind::Admin, config);
        let client = client.map_err(|reason| connection.unusable(reason))?;
        Ok(Self {
            client: Arc::new(client),
            brokers: connection.brokers.as_str().into(),
        })
    }

    /// All topics by name, without those that Kafka keeps for itself (`__consumer_offsets` and the like).
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn topics(&self) -> Result<Vec<TopicDescription>, KafkaError> {
        self.run("list topics".to_owned(), |client| {
            let mut topics = client.all_topics(REQUEST)?;
            topics.retain(|topic| !topic.name.starts_with("__"));
            describe(client, topics)
        })
        .await
    }

    /// These topics by name; those that do not exist are left out.
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn describe_topics(
        &self,
        names: &[&str],
    ) -> Result<Vec<TopicDescription>, KafkaError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let action = format!("describe {}", names.join(", "));
        self.run(action, move |client| {
            let topics = names
                .iter()
                .map(|name| client.topic(name, REQUEST))
                .collect::<Result<Vec<_>, _>>()?;
            describe(client, topics.into_iter().flatten().collect())
        })
        .await
    }

    /// One topic.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn topic(&self, name: &str) -> Result<TopicDescription, KafkaError> {
        let found = self.describe_topics(&[name]).await?.pop();
        found.ok_or_else(|| self.unknown_topic(name))
    }

    /// Creates topics one by one, in order, and waits until the cluster tells of them. When one fails, those before
    /// it are there and those behind it are not.
    ///
    /// # Errors
    /// [`KafkaError::TopicExists`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`] (a config or name that the
    /// broker does not accept, too few brokers for the replication).
    pub async fn create_topics(&self, topics: &[NewTopic]) -> Result<(), KafkaError> {
        for topic in topics {
            let name = topic.name.clone();
            let new = topic.clone();
            let created = self.run(format!("create topic {name}"), move |client| {
                let NewTopic {
                    name,
                    partitions,
                    replication,
                    configs,
                } = new;
                client.create_topic(&name, partitions, replication, &configs, REQUEST)
            });
            created.await.map_err(|error| match code_of(&error) {
                Some(RDKafkaErrorCode::TopicAlreadyExists) => KafkaError::TopicExists {
                    topic: name.clone(),
                },
                _ => error,
            })?;
        }
        for topic in topics {
            self.wait_for(&topic.name, topic.partitions).await?;
        }
        Ok(())
    }

    /// Raises the number of partitions to `total`, and waits until the cluster tells of them. Keys move to other
    /// partitions by that.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`] (fewer than there are).
    pub async fn add_partitions(&self, topic: &str, total: i32) -> Result<(), KafkaError> {
        let name = topic.to_owned();
        let count = usize::try_from(total).unwrap_or(0);
        let action = format!("raise the partitions of {topic} to {total}");
        self.run(action, move |client| {
            client.add_partitions(&name, count, REQUEST)
        })
        .await
        .map_err(|error| self.name_topic(topic, error))?;
        self.wait_for(topic, total).await
    }

    /// Sets configs of a topic, or takes them back to the broker's default where the value is `None`; others stay.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`] (nothing is changed then).
    pub async fn alter_configs(
        &self,
        topic: &str,
        changes: &[(&str, Option<&str>)],
    ) -> Result<(), KafkaError> {
        let name = topic.to_owned();
        let changes: Vec<_> = changes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), value.map(str::to_owned)))
            .collect();
        self.run(format!("change configs of {topic}"), move |client| {
            client.alter_configs(&name, &changes, REQUEST)
        })
        .await
        .map_err(|error| self.name_topic(topic, error))
    }

    /// Deletes topics and everything in them.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`], for the first that fails;
    /// the others are deleted nevertheless.
    pub async fn delete_topics(&self, topics: &[&str]) -> Result<(), KafkaError> {
        if topics.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = topics.iter().map(|name| (*name).to_owned()).collect();
        let action = format!("delete {}", topics.join(", "));
        let outcomes = self
            .run(action, move |client| client.delete_topics(&names, REQUEST))
            .await?;
        for (topic, outcome) in outcomes {
            let action = format!("delete {topic}");
            outcome
                .map_err(|error| self.name_topic(&topic, self.failed(action, REQUEST, error)))?;
        }
        Ok(())
    }

    /// Where the partitions of a topic begin and end, by number. The end is that of what is committed: an open
    /// transaction holds it back.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn offsets(&self, topic: &str) -> Result<Vec<PartitionBounds>, KafkaError> {
        let partitions = self.partitions(topic).await?;
        self.run(format!("tell the offsets of {topic}"), move |client| {
            let begin = offsets(client, &partitions, OffsetAt::Begin)?;
            let mut end = offsets(client, &partitions, OffsetAt::End)?;
            let bounds = partitions.into_iter().map(|partition| PartitionBounds {
                begin: begin.get(&partition).copied().unwrap_or(NextOffset(0)),
                end: end.remove(&partition).unwrap_or(NextOffset(0)),
                partition,
            });
            Ok(bounds.collect())
        })
        .await
    }

    /// Where the partitions of a topic end, by number, with the records of transactions that are open: behind the end
    /// that [`Admin::offsets`] tells while there are such.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn high_watermarks(
        &self,
        topic: &str,
    ) -> Result<Vec<(TopicPartition, NextOffset)>, KafkaError> {
        let partitions = self.partitions(topic).await?;
        let action = format!("tell the high watermarks of {topic}");
        self.run(action, move |client| {
            let ends = offsets(client, &partitions, OffsetAt::HighWatermark)?;
            Ok(ends.into_iter().collect())
        })
        .await
    }

    /// For each partition of a topic, the offset of the first record at or after a time; its end if there is none.
    ///
    /// # Errors
    /// [`KafkaError::UnknownTopic`], [`KafkaError::NoAnswer`], [`KafkaError::Refused`].
    pub async fn offsets_at(
        &self,
        topic: &str,
        at: Timestamp,
    ) -> Result<Vec<(TopicPartition, NextOffset)>, KafkaError> {
        let partitions = self.partitions(topic).await?;
        let action = format!("tell the offsets of {topic} at {at}");
        self.run(action, move |client| offsets_from(client, partitions, at))
            .await
    }

    async fn partitions(&self, topic: &str) -> Result<Vec<TopicPartition>, KafkaError> {
        let name = topic.to_owned();
        let action = format!("describe {topic}");
        let found = self.run(action, move |client| client.topic(&name, REQUEST));
        match found.await? {
            Some(topic) => Ok(topic.all_partitions()),
            None => Err(self.unknown_topic(topic)),
        }
    }

    async fn wait_for(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let deadline = Instant::now() + PROPAGATION;
        loop {
            let name = topic.to_owned();
            let action = format!("describe {topic}");
            let found = self.run(action, move |client| client.topic(&name, REQUEST));
            let found = found.await?;
            if found.is_some_and(|topic| topic.partitions >= partitions) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(KafkaError::NoAnswer {
                    brokers: self.brokers.to_string(),
                    action: format!("tell of the partitions of {topic}"),
                    within: PROPAGATION,
                    source: "the topic was created but is not in the cluster's metadata".into(),
                });
            }
            tokio::time::sleep(PROPAGATION_CHECK).await;
        }
    }

    /// Runs a blocking call on a thread for such.
    async fn run<T: Send + 'static>(
        &self,
        action: String,
        call: impl FnOnce(&Client) -> Result<T, ClientError> + Send + 'static,
    ) -> Result<T, KafkaError> {
        let client = Arc::clone(&self.client);
        match tokio::task::spawn_blocking(move || call(&client)).await {
            Ok(result) => result.map_err(|error| self.failed(action, REQUEST, error)),
            Err(error) => Err(KafkaError::Refused {
                action,
                source: error.into(),
            }),
        }
    }

    fn failed(&self, action: String, within: Duration, error: ClientError) -> KafkaError {
        KafkaError::of(&self.brokers, action, within, error)
    }

    fn name_topic(&self, topic: &str, error: KafkaError) -> KafkaError {
        match code_of(&error) {
            Some(RDKafkaErrorCode::UnknownTopicOrPartition) => self.unknown_topic(topic),
            _ => error,
        }
    }

    fn unknown_topic(&self, topic: &str) -> KafkaError {
        KafkaError::UnknownTopic {
            topic: topic.to_owned(),
            brokers: self.brokers.to_string(),
        }
    }
}

fn describe(
    client: &Client,
    topics: Vec<TopicMetadata>,
) -> Result<Vec<TopicDescription>, ClientError> {
    let names: Vec<String> = topics.iter().map(|topic| topic.name.clone()).collect();
    let mut configs = BTreeMap::new();
    for (name, entries) in client.describe_configs(&names, REQUEST)? {
        let entries = entries?.into_iter().map(|entry| {
            let config = TopicConfig {
                value: entry.value,
                is_default: !entry.is_own,
            };
            (entry.name, config)
        });
        configs.insert(name, entries.collect());
    }
    let mut topics: Vec<_> = topics
        .into_iter()
        .map(|topic| TopicDescription {
            configs: configs.remove(&topic.name).unwrap_or_default(),
            partitions: topic.partitions,
            replication: topic.replication,
            name: topic.name,
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// The offset of each partition at or after a time, or its end; in the order of the partitions.
pub(crate) fn offsets_from(
    client: &Client,
    partitions: Vec<TopicPartition>,
    at: Timestamp,
) -> Result<Vec<(TopicPartition, NextOffset)>, ClientError> {
    let found = offsets(client, &partitions, OffsetAt::Millis(at.as_millisecond()))?;
    let ends = offsets(client, &partitions, OffsetAt::End)?;
    let offsets = partitions.into_iter().map(|partition| {
        let none_so_new = NextOffset(-1);
        let next = match found.get(&partition) {
            Some(next) if *next > none_so_new => *next,
            _ => ends.get(&partition).copied().unwrap_or(NextOffset(0)),
        };
        (partition, next)
    });
    Ok(offsets.collect())
}

/// An offset of each partition.
pub(crate) fn offsets(
    client: &Client,
    partitions: &[TopicPartition],
    at: OffsetAt,
) -> Result<BTreeMap<TopicPartition, NextOffset>, ClientError> {
    let lines = client.list_offsets(partitions, at, REQUEST)?;
    let lines = lines
        .into_iter()
        .map(|line: PartitionOffset| match line.error {
            Some(error) => Err(error),
            None => Ok((line.partition, NextOffset(line.offset))),
        });
    lines.collect()
}

fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    let (KafkaError::Refused { source, .. } | KafkaError::NoAnswer { source, .. }) = error else {
        return None;
    };
    source.downcast_ref::<ClientError>().map(|error| error.code)
}
