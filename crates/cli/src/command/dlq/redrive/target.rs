//! Whether a redrive would arrive: the topics are there, and the group reads its own.

use longshore_event::redrive_topic;
use longshore_kafka::{Admin, KafkaError};
use longshore_topics::REDRIVES_TOPIC;

use crate::output::note;

/// Why nothing can be sent to `group` now, and what to do about it; `None` if nothing speaks against it. What may be
/// meant so, such as a group whose workers are stopped, is told.
pub(super) async fn refusal(admin: &Admin, group: &str) -> Result<Option<String>, KafkaError> {
    let topic = redrive_topic(group);
    let found = admin.describe_topics(&[&*topic, REDRIVES_TOPIC]).await?;
    let is_there = |name: &str| found.iter().any(|found| found.name == name);
    if !is_there(&topic) {
        return Ok(Some(format!(
            "topic {topic} does not exist; name the group in the file of its topic ([redrive] groups = [\"{group}\"]) and run `longshore topics apply`"
        )));
    }
    if !is_there(REDRIVES_TOPIC) {
        return Ok(Some(format!(
            "topic {REDRIVES_TOPIC}, where redrives are audited, does not exist; run `longshore topics apply`"
        )));
    }
    let described = match admin.describe_group(group).await {
        Err(KafkaError::UnknownGroup { .. }) => {
            note(format_args!(
                "Consumer group {group} has never read anything here: is it the right one? It gets the letters when its workers start."
            ));
            return Ok(None);
        }
        described => described?,
    };
    if described.members.is_empty() {
        note(format_args!(
            "Consumer group {group} has no members now: it gets the letters when its workers start."
        ));
        return Ok(None);
    }
    let assigned = described
        .members
        .iter()
        .flat_map(|member| &member.assignment);
    if assigned
        .into_iter()
        .any(|partition| partition.topic == topic)
    {
        return Ok(None);
    }
    if described.state != "Stable" {
        note(format_args!(
            "Consumer group {group} is rebalancing ({}); whether it reads {topic} is not known.",
            described.state
        ));
        return Ok(None);
    }
    let readers = match described.members.len() {
        1 => "the one member".to_owned(),
        count => format!("any of the {count} members"),
    };
    Ok(Some(format!(
        "{topic} is not read by {readers} of consumer group {group}; restart its workers, which look for it when they start"
    )))
}
