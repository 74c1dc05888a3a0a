//! The topics there are: one file that is replaced at each change, and a directory of logs a topic.

pub(crate) mod config;
pub(crate) mod name;
mod topic;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::durable;
use crate::log::Partition;
use crate::sync::lock;
use config::TopicConfigs;
pub(crate) use topic::Topic;

/// Most partitions of all topics together; each one that holds data keeps a file open.
pub(crate) const MAX_PARTITIONS: usize = 10_000;

/// All topics. Readers take a snapshot; a change replaces it, first on disk and then here.
#[derive(Debug)]
pub(crate) struct Catalog {
    file: PathBuf,
    logs: PathBuf,
    topics: RwLock<Arc<Topics>>,
    /// Held while a change is made, so that changes follow each other.
    changing: Mutex<()>,
}

/// A snapshot of all topics.
#[derive(Debug, Default, Clone)]
pub(crate) struct Topics {
    by_name: BTreeMap<String, Arc<Topic>>,
    by_id: HashMap<Uuid, Arc<Topic>>,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("topic '{0}' exists already")]
    Exists(String),
    #[error("topic '{0}' does not exist")]
    Unknown(String),
    #[error("the broker has room for {MAX_PARTITIONS} partitions, {0} would be needed")]
    TooManyPartitions(usize),
    #[error("the topic metadata cannot be written")]
    Storage(#[source] io::Error),
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredTopics {
    topics: Vec<StoredTopic>,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredTopic {
    name: String,
    /// A UUID.
    id: String,
    partitions: i32,
    configs: TopicConfigs,
}

impl Catalog {
    /// Opens the topics kept in `data`, and recovers their logs.
    ///
    /// # Errors
    ///
    /// A file cannot be read, or is not what was written.
    pub(crate) fn open(data: &Path) -> io::Result<Self> {
        let file = data.join("topics.json");
        let logs = data.join("logs");
        fs::create_dir_all(&logs)?;
        let stored: Option<StoredTopics> = durable::read_json(&file)?;
        let mut topics = Topics::default();
        for stored in stored.into_iter().flat_map(|stored| stored.topics) {
            let id = stored.id.parse().map_err(io::Error::other)?;
            let partitions = open_partitions(&logs, id, 0..stored.partitions)?;
            let topic = Topic::new(&stored.name, id, stored.configs, partitions);
            topics.insert(Arc::new(topic));
        }
        remove_orphans(&logs, &topics)?;
        Ok(Self {
            file,
            logs,
            topics: RwLock::new(Arc::new(topics)),
            changing: Mutex::new(()),
        })
    }

    /// The topics as they are now.
    pub(crate) fn topics(&self) -> Arc<Topics> {
        self.topics
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Creates a topic.
    ///
    /// # Errors
    ///
    /// Nothing was created.
    pub(crate) fn create(
        &self,
        name: &str,
        partitions: i32,
        configs: TopicConfigs,
    ) -> Result<Arc<Topic>, ChangeError> {
        self.change(|topics| {
            if topics.get(name).is_some() {
                return Err(ChangeError::Exists(name.into()));
            }
            topics.check_room(partitions)?;
            let id = Uuid::new_v4();
            let opened =
                open_partitions(&self.logs, id, 0..partitions).map_err(ChangeError::Storage)?;
            let topic = Arc::new(Topic::new(name, id, configs, opened));
            topics.insert(topic.clone());
            Ok(topic)
        })
    }

    /// Gives a topic `partitions` partitions, which must be more than it has.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub(crate) fn grow(&self, name: &str, partitions: i32) -> Result<(), ChangeError> {
        self.change(|topics| {
            let mut topic = topics.version_of(name)?;
            let first = topic.partitions.len() as i32;
            topics.check_room(partitions.saturating_sub(first))?;
            let opened = open_partitions(&self.logs, topic.id, first..partitions);
            topic
                .partitions
                .extend(opened.map_err(ChangeError::Storage)?);
            topics.insert(Arc::new(topic));
            Ok(())
        })
    }

    /// Replaces the configuration of a topic by what `alter` makes of it.
    ///
    /// # Errors
    ///
    /// Nothing was changed.
    pub(crate) fn configure(
        &self,
        name: &str,
        alter: impl FnOnce(&mut TopicConfigs),
    ) -> Result<(), ChangeError> {
        self.change(|topics| {
            let topic = topics.version_of(name)?;
            let mut configs = topic.configs;
            alter(&mut configs);
            let topic = Topic::new(name, topic.id, configs, topic.partitions);
            topics.insert(Arc::new(topic));
            Ok(())
        })
    }

    /// Deletes a topic and its records.
    ///
    /// # Errors
    ///
    /// The topic is still there.
    pub(crate) fn delete(&self, name: &str) -> Result<Arc<Topic>, ChangeError> {
        let topic = self.change(|topics| topics.remove(name))?;
        for partition in &topic.partitions {
            partition.delete();
        }
        let directory = topic_directory(&self.logs, topic.id);
        if let Err(error) = remove_if_there(&directory) {
            // The topic is gone from the metadata; the next start removes what is left of it.
            tracing::warn!(path = %directory.display(), %error, "cannot remove the log of a deleted topic");
        }
        Ok(topic)
    }

    /// Brings everything that was appended to the disk.
    ///
    /// # Errors
    ///
    /// The first log that cannot be flushed; the others are flushed all the same.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let mut result = Ok(());
        for topic in self.topics().iter() {
            for partition in &topic.partitions {
                result = result.and(partition.log().flush());
            }
        }
        result
    }

    fn change<T>(
        &self,
        make: impl FnOnce(&mut Topics) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let _in_turn = lock(&self.changing);
        let mut next = Topics::clone(&self.topics());
        let made = make(&mut next)?;
        durable::replace_json(&self.file, &next.stored()).map_err(ChangeError::Storage)?;
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(made)
    }
}

impl Topics {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<&Arc<Topic>> {
        self.by_id.get(&id)
    }

    /// Sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// Checks that `more` partitions fit.
    ///
    /// # Errors
    ///
    /// They do not.
    pub(crate) fn check_room(&self, more: i32) -> Result<(), ChangeError> {
        let now: usize = self.iter().map(|topic| topic.partitions.len()).sum();
        let needed = now.saturating_add(usize::try_from(more).unwrap_or(0));
        if needed > MAX_PARTITIONS {
            return Err(ChangeError::TooManyPartitions(needed));
        }
        Ok(())
    }

    fn version_of(&self, name: &str) -> Result<Topic, ChangeError> {
        match self.get(name) {
            Some(topic) => Ok(Topic::clone(topic)),
            None => Err(ChangeError::Unknown(name.into())),
        }
    }

    fn insert(&mut self, topic: Arc<Topic>) {
        self.by_id.insert(topic.id, topic.clone());
        self.by_name.insert(topic.name.to_string(), topic);
    }

    fn remove(&mut self, name: &str) -> Result<Arc<Topic>, ChangeError> {
        let topic = self
            .by_name
            .remove(name)
            .ok_or_else(|| ChangeError::Unknown(name.into()))?;
        self.by_id.remove(&topic.id);
        Ok(topic)
    }

    fn stored(&self) -> StoredTopics {
        let topics = self.iter().map(|topic| StoredTopic {
            name: topic.name.to_string(),
            id: topic.id.to_string(),
            partitions: topic.partitions.len() as i32,
            configs: topic.configs.clone(),
        });
        StoredTopics {
            topics: topics.collect(),
        }
    }
}

fn open_partitions(
    logs: &Path,
    topic: Uuid,
    indexes: std::ops::Range<i32>,
) -> io::Result<Vec<Arc<Partition>>> {
    let directory = topic_directory(logs, topic);
    indexes
        .map(|index| Partition::open(index, directory.join(index.to_string())).map(Arc::new))
        .collect()
}

/// Named by id and not by name: a topic that is deleted and created again never sees the old records,
/// and names that differ in case only do not meet on a file system that ignores case.
fn topic_directory(logs: &Path, topic: Uuid) -> PathBuf {
    logs.join(topic.to_string())
}

/// Removes the logs of topics whose deletion a crash interrupted.
fn remove_orphans(logs: &Path, topics: &Topics) -> io::Result<()> {
    for entry in fs::read_dir(logs)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let id = name.and_then(|name| name.parse::<Uuid>().ok());
        if id.is_some_and(|id| topics.by_id(id).is_none()) {
            tracing::info!(path = %path.display(), "remove the log of a deleted topic");
            fs::remove_dir_all(&path)?;
        }
    }
    Ok(())
}

fn remove_if_there(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
