//! Topics, configs, offsets and groups, as tools see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use longshore_event::{NextOffset, Offset, TopicPartition};
use longshore_kafka::{Admin, KafkaError, NewTopic};

use crate::support::{
    connection, fill, finished, new_topic, records, stop, subscribe, unique, within,
};

fn admin() -> Admin {
    Admin::connect(&connection()).expect("valid properties")
}

#[tokio::test]
async fn a_topic_is_described_as_it_was_created() {
    let configs = [("retention.ms", "3600000"), ("cleanup.policy", "compact")];
    let configs: BTreeMap<String, String> = configs
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    let new = NewTopic {
        name: unique("described"),
        partitions: 5,
        replication: -1,
        configs: configs.clone(),
    };
    admin()
        .create_topics(std::slice::from_ref(&new))
        .await
        .expect("created");

    let found = admin().topic(&new.name).await.expect("described");
    assert_eq!((found.partitions, found.replication), (5, 1));
    let own: BTreeMap<_, _> = found
        .configs
        .into_iter()
        .filter(|(_, config)| !config.is_default)
        .filter_map(|(name, config)| Some((name, config.value?)))
        .collect();
    assert_eq!(own, configs);
    let all = admin().topics().await.expect("listed");
    assert!(all.iter().any(|topic| topic.name == new.name));
}

#[tokio::test]
async fn a_topic_that_exists_is_not_created_again() {
    let topic = new_topic("twice", 1).await;
    let again = NewTopic {
        name: topic.clone(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::new(),
    };
    let error = admin()
        .create_topics(&[again])
        .await
        .expect_err("it exists");
    assert!(matches!(error, KafkaError::TopicExists { topic: named } if named == topic));
}

#[tokio::test]
async fn a_wrong_config_is_refused_with_what_the_broker_says() {
    let new = NewTopic {
        name: unique("wrong"),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::from([("no.such.config".to_owned(), "1".to_owned())]),
    };
    let error = admin()
        .create_topics(&[new])
        .await
        .expect_err("no such config");
    let KafkaError::Refused { source, .. } = error else {
        panic!("{error}");
    };
    assert!(source.to_string().contains("no.such.config"), "{source}");
}

#[tokio::test]
async fn configs_change_one_by_one_and_go_back_to_their_default() {
    let topic = new_topic("altered", 1).await;
    let set = [
        ("retention.ms", Some("1000")),
        ("max.message.bytes", Some("2000")),
    ];
    admin().alter_configs(&topic, &set).await.expect("set");
    admin()
        .alter_configs(&topic, &[("retention.ms", None)])
        .await
        .expect("taken back");

    let configs = admin().topic(&topic).await.expect("described").configs;
    assert!(configs["retention.ms"].is_default);
    let kept = &configs["max.message.bytes"];
    assert_eq!(
        (kept.value.as_deref(), kept.is_default),
        (Some("2000"), false)
    );
}

#[tokio::test]
async fn partitions_grow_and_never_shrink() {
    let topic = new_topic("grown", 1).await;
    admin().add_partitions(&topic, 4).await.expect("grown");
    assert_eq!(
        admin().topic(&topic).await.expect("described").partitions,
        4
    );
    let error = admin().add_partitions(&topic, 2).await.expect_err("fewer");
    assert!(matches!(error, KafkaError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let name = unique("nothing");
    let topic = admin().topic(&name).await.expect_err("no topic");
    assert!(matches!(topic, KafkaError::UnknownTopic { .. }), "{topic}");
    let deleted = admin().delete_topics(&[&name]).await.expect_err("no topic");
    assert!(
        matches!(deleted, KafkaError::UnknownTopic { .. }),
        "{deleted}"
    );
    let altered = admin()
        .alter_configs(&name, &[("retention.ms", Some("1"))])
        .await;
    let altered = altered.expect_err("no topic");
    assert!(
        matches!(altered, KafkaError::UnknownTopic { .. }),
        "{altered}"
    );
    let group = admin().describe_group(&name).await.expect_err("no group");
    assert!(matches!(group, KafkaError::UnknownGroup { .. }), "{group}");
    let described = admin().describe_topics(&[&name]).await.expect("none");
    assert_eq!(described, []);
}

#[tokio::test]
async fn a_deleted_topic_is_gone() {
    let topic = new_topic("gone", 1).await;
    admin().delete_topics(&[&topic]).await.expect("deleted");
    within("the topic to go", async {
        while admin().topic(&topic).await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn offsets_are_told_by_bounds_and_by_time() {
    let topic = new_topic("offsets", 1).await;
    let before = Timestamp::now();
    fill(&topic, 7).await;
    let later = Timestamp::now() + std::time::Duration::from_secs(60);

    let bounds = admin().offsets(&topic).await.expect("told");
    assert_eq!(bounds.len(), 1);
    assert_eq!(
        (bounds[0].begin, bounds[0].end),
        (NextOffset(0), NextOffset(7))
    );
    let first = admin().offsets_at(&topic, before).await.expect("told");
    assert_eq!(first[0].1, NextOffset(0));
    let end = admin().offsets_at(&topic, later).await.expect("told");
    assert_eq!(end[0].1, NextOffset(7));
}

#[tokio::test]
async fn a_group_is_described_with_members_and_lag() {
    let topic = new_topic("lag", 2).await;
    fill(&topic, 20).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = records(&mut source, 20).await;

    let running = admin().describe_group(&group).await.expect("described");
    assert_eq!(running.state, "Stable");
    assert_eq!(running.members.len(), 1);
    assert_eq!(running.members[0].assignment.len(), 2);
    assert_eq!(running.members[0].client_id, "longshore");
    let lag: i64 = running
        .partitions
        .iter()
        .map(|partition| partition.lag)
        .sum();
    assert_eq!(lag, 20);
    let id = Some(&running.members[0].id);
    assert!(
        running
            .partitions
            .iter()
            .all(|p| p.member.as_ref() == id && p.committed.is_none())
    );

    stop(&mut source, &finished(&read)).await;
    let stopped = admin().describe_group(&group).await.expect("described");
    assert_eq!(stopped.state, "Empty");
    assert!(
        stopped
            .partitions
            .iter()
            .all(|p| p.lag == 0 && p.member.is_none())
    );
    let groups = admin().groups().await.expect("listed");
    let listed = groups
        .iter()
        .find(|listed| listed.name == group)
        .expect("in the list");
    assert_eq!(listed.state, "Empty");
}

#[tokio::test]
async fn offsets_are_committed_for_a_group_that_nobody_is_in() {
    let topic = new_topic("sought", 1).await;
    fill(&topic, 10).await;
    let group = unique("sought");
    let partition = TopicPartition::new(topic.as_str(), 0);
    let offsets = [(partition, NextOffset(4))];

    // A group that never was, and one that is empty again.
    admin()
        .commit_offsets(&group, &offsets)
        .await
        .expect("committed");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let first = records(&mut source, 1).await;
    assert_eq!(first[0].offset, Offset(4));

    let error = admin()
        .commit_offsets(&group, &offsets)
        .await
        .expect_err("it has a member");
    assert!(matches!(error, KafkaError::ActiveGroup { .. }), "{error:?}");

    stop(&mut source, &[]).await;
    let offsets = [(offsets[0].0.clone(), NextOffset(9))];
    admin()
        .commit_offsets(&group, &offsets)
        .await
        .expect("committed again");
    let found = admin().describe_group(&group).await.expect("described");
    assert_eq!(found.partitions[0].committed, Some(NextOffset(9)));
}
