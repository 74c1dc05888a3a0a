//! Checks before work starts, so that what is missing is said at the start and not by the first message.

use std::path::Path;

use longshore_event::{dead_letter_topic, redrive_topic};
use longshore_kafka::{Admin, Connection, KafkaError};
use longshore_services::ServiceClient;
use longshore_topics::TopicSpec;
use tracing::warn;

use crate::RunError;
use crate::error::chain;

/// The topics of a worker must be in the directory it was pointed to: one that is not is a typing mistake, or a
/// directory of something else.
pub(crate) fn topics_are_described(dir: &Path, topics: &[String]) -> Result<(), RunError> {
    let specs = TopicSpec::load_dir(dir).map_err(RunError::TopicsDir)?;
    let missing = |topic: &&String| !specs.iter().any(|spec| spec.name == **topic);
    match topics.iter().find(missing) {
        None => Ok(()),
        Some(topic) => Err(RunError::UndescribedTopic {
            topic: topic.clone(),
            dir: dir.to_owned(),
        }),
    }
}

/// What a worker subscribes to: its topics, and the topic through which its dead letters come back, if there is one.
pub(crate) async fn with_redrive_topic(
    connection: &Connection,
    group: &str,
    reads: &[String],
) -> Vec<String> {
    let redrive = redrive_topic(group);
    let mut topics = reads.to_vec();
    match existing(connection, &[&redrive]).await {
        Ok(found) if found.is_empty() => warn!(
            topic = %redrive,
            "redrive topic does not exist; dead letters cannot come back until `longshore topics apply` creates it and the worker is restarted"
        ),
        Ok(_) => topics.push(redrive.to_string()),
        // The subscription itself says what is wrong with the brokers.
        Err(error) => warn!(
            error = chain(&error),
            "could not look for the redrive topic"
        ),
    }
    topics
}

/// Warns of topics without which nothing is lost but something waits. The topics that are read are none of them: without
/// those the worker does not start.
pub(crate) async fn warn_of_missing_topics(
    connection: &Connection,
    reads: &[String],
    publishes: &[String],
) {
    let dead_letters: Vec<_> = reads.iter().map(|topic| dead_letter_topic(topic)).collect();
    let dead_letters: Vec<&str> = dead_letters.iter().map(|topic| &**topic).collect();
    let publishes: Vec<&str> = publishes.iter().map(String::as_str).collect();
    let found = match existing(connection, &[&dead_letters[..], &publishes[..]].concat()).await {
        Ok(found) => found,
        Err(error) => {
            warn!(
                error = chain(&error),
                "could not check that dead-letter topics exist"
            );
            return;
        }
    };
    let missing = |topic: &&&str| !found.iter().any(|name| name == **topic);
    for topic in dead_letters.iter().filter(missing) {
        warn!(
            topic,
            "dead-letter topic does not exist; dead letters wait in the outbox until `longshore topics apply` creates it"
        );
    }
    for topic in publishes.iter().filter(missing) {
        warn!(
            topic,
            "topic does not exist; events for it wait in the outbox until `longshore topics apply` creates it"
        );
    }
}

/// Warns of services that do not answer. Messages that need them wait.
pub(crate) async fn warn_of_services_away(services: ServiceClient) {
    for health in services.health().await {
        if let Some(problem) = health.problem {
            warn!(service = %health.service, url = health.url, problem, "service is not healthy");
        }
    }
}

async fn existing(connection: &Connection, topics: &[&str]) -> Result<Vec<String>, KafkaError> {
    let found = Admin::connect(connection)?.describe_topics(topics).await?;
    Ok(found.into_iter().map(|topic| topic.name).collect())
}
