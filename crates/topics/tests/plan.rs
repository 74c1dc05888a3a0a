//! The plan: a pure diff, checked on examples and on a model of a cluster.

use std::collections::BTreeMap;

use longshore_topics::{ActualTopic, Change, DesiredTopic, Plan, State, plan};
use proptest::prelude::*;

fn desired(name: &str, partitions: i32, configs: &[(&str, &str)]) -> DesiredTopic {
    DesiredTopic {
        name: name.into(),
        state: State::Present,
        partitions,
        replication: None,
        configs: map(configs),
    }
}

fn actual(name: &str, partitions: i32, configs: &[(&str, &str)]) -> ActualTopic {
    ActualTopic {
        name: name.into(),
        partitions,
        replication: 1,
        configs: map(configs),
    }
}

fn map(configs: &[(&str, &str)]) -> BTreeMap<String, String> {
    configs
        .iter()
        .map(|(k, v)| ((*k).into(), (*v).into()))
        .collect()
}

fn text(plan: &Plan) -> String {
    plan.to_string()
}

#[test]
fn a_missing_topic_is_created() {
    let plan = plan(&[desired("a", 3, &[("retention.ms", "604800000")])], &[]);

    assert_eq!(
        text(&plan),
        "+ a\n    + partitions = 3\n    + retention.ms = 604800000 (7d)\nPlan: 1 to create, 0 to change, 0 to replace, 0 to delete"
    );
    assert_eq!(plan.destructive().count(), 0);
}

#[test]
fn growing_warns_that_keys_move() {
    let plan = plan(&[desired("a", 3, &[])], &[actual("a", 1, &[])]);

    assert!(matches!(
        &plan.changes[..],
        [Change::Grow { from: 1, to: 3, .. }]
    ));
    assert!(text(&plan).contains("partitions = 1 -> 3"));
    assert!(text(&plan).contains("keys move"));
}

#[test]
fn configurations_are_set_changed_and_taken_back() {
    let plan = plan(
        &[desired(
            "a",
            1,
            &[("cleanup.policy", "delete"), ("segment.bytes", "2")],
        )],
        &[actual(
            "a",
            1,
            &[("segment.bytes", "1"), ("preallocate", "true")],
        )],
    );

    let text = text(&plan);
    assert!(text.contains("    + cleanup.policy = delete\n"), "{text}");
    assert!(text.contains("    ~ segment.bytes = 1 -> 2\n"), "{text}");
    assert!(
        text.contains("    - preallocate = true -> (default)\n"),
        "{text}"
    );
    assert!(
        text.ends_with("0 to create, 1 to change, 0 to replace, 0 to delete"),
        "{text}"
    );
}

#[test]
fn keeping_less_warns_and_keeping_more_does_not() {
    let change = |from, to| {
        plan(
            &[desired("a", 1, &[("retention.ms", to)])],
            &[actual("a", 1, &[("retention.ms", from)])],
        )
    };
    assert!(text(&change("2000", "1000")).contains("may be deleted"));
    assert!(text(&change("-1", "1000")).contains("may be deleted"));
    assert!(!text(&change("1000", "2000")).contains("may be deleted"));
    assert!(!text(&change("1000", "-1")).contains("may be deleted"));
}

#[test]
fn the_order_of_cleanup_policies_means_nothing() {
    let plan = plan(
        &[desired("a", 1, &[("cleanup.policy", "compact,delete")])],
        &[actual("a", 1, &[("cleanup.policy", "delete,compact")])],
    );
    assert!(plan.is_empty(), "{plan}");
}

#[test]
fn shrinking_and_deleting_are_destructive() {
    let absent = DesiredTopic {
        state: State::Absent,
        ..desired("gone", 1, &[])
    };
    let plan = plan(
        &[desired("a", 1, &[]), absent.clone()],
        &[actual("a", 3, &[]), actual("gone", 1, &[])],
    );

    let topics: Vec<_> = plan.destructive().map(Change::topic).collect();
    assert_eq!(topics, ["a", "gone"]);
    let again = longshore_topics::plan(&[absent], &[]);
    assert!(
        again.is_empty(),
        "an absent topic that is not there needs nothing"
    );
}

#[test]
fn replication_that_differs_is_a_note_and_no_change() {
    let wanted = DesiredTopic {
        replication: Some(3),
        ..desired("a", 1, &[])
    };
    let plan = plan(&[wanted], &[actual("a", 1, &[])]);

    assert!(plan.is_empty());
    assert!(
        plan.notes[0].contains("replication 1 and should have 3"),
        "{plan:?}"
    );
}

#[test]
fn the_plan_as_json_says_what_is_done_to_which_topic() {
    let plan = plan(&[desired("a", 2, &[])], &[actual("a", 1, &[])]);

    let json = serde_json::to_value(&plan).unwrap();

    assert_eq!(
        json["changes"][0],
        serde_json::json!({"action": "grow", "topic": "a", "from": 1, "to": 2})
    );
}

/// What a broker does with a plan.
fn apply(plan: &Plan, cluster: &mut BTreeMap<String, ActualTopic>) {
    for change in &plan.changes {
        match change.clone() {
            Change::Create {
                topic,
                partitions,
                replication,
                configs,
            }
            | Change::Replace {
                topic,
                to: partitions,
                replication,
                configs,
                ..
            } => {
                let made = ActualTopic {
                    name: topic.clone(),
                    partitions,
                    replication: replication.unwrap_or(1),
                    configs,
                };
                cluster.insert(topic, made);
            }
            Change::Grow { topic, from, to } => {
                let topic = cluster.get_mut(&topic).expect("planned from this cluster");
                assert_eq!(topic.partitions, from);
                assert!(to > from, "Kafka only ever adds partitions");
                topic.partitions = to;
            }
            Change::Configure { topic, configs } => {
                let topic = cluster.get_mut(&topic).expect("planned from this cluster");
                for change in configs {
                    match change.to {
                        Some(value) => drop(topic.configs.insert(change.name, value)),
                        None => drop(topic.configs.remove(&change.name)),
                    }
                }
            }
            Change::Delete { topic } => drop(cluster.remove(&topic)),
        }
    }
}

fn any_configs() -> impl Strategy<Value = BTreeMap<String, String>> {
    let name = prop::sample::select(vec!["cleanup.policy", "retention.ms", "segment.bytes"]);
    let value = prop::sample::select(vec!["1", "-1", "compact", "delete,compact"]);
    prop::collection::btree_map(
        name.prop_map(String::from),
        value.prop_map(String::from),
        0..3,
    )
}

prop_compose! {
    fn any_desired()(
        state in prop::sample::select(vec![State::Present, State::Present, State::Absent]),
        partitions in 1..5,
        configs in any_configs(),
    ) -> DesiredTopic {
        DesiredTopic { name: String::new(), state, partitions, replication: None, configs }
    }
}

prop_compose! {
    fn any_actual()(partitions in 1..5, configs in any_configs()) -> ActualTopic {
        ActualTopic { name: String::new(), partitions, replication: 1, configs }
    }
}

fn named<T>(topics: BTreeMap<u8, T>, name: impl Fn(&mut T) -> &mut String) -> Vec<T> {
    topics
        .into_iter()
        .map(|(number, mut topic)| {
            *name(&mut topic) = format!("t{number}");
            topic
        })
        .collect()
}

proptest! {
    #[test]
    fn a_plan_once_applied_leaves_nothing_to_do(
        desired in prop::collection::btree_map(0..6_u8, any_desired(), 0..6),
        actual in prop::collection::btree_map(0..6_u8, any_actual(), 0..6),
    ) {
        let desired = named(desired, |topic| &mut topic.name);
        let before = named(actual, |topic| &mut topic.name);
        let mut cluster: BTreeMap<_, _> =
            before.iter().map(|topic| (topic.name.clone(), topic.clone())).collect();

        apply(&plan(&desired, &before), &mut cluster);

        let after: Vec<_> = cluster.values().cloned().collect();
        prop_assert_eq!(plan(&desired, &after), Plan::default());
        for topic in &desired {
            let found = cluster.get(&topic.name).map(|topic| topic.partitions);
            prop_assert_eq!(found, (topic.state == State::Present).then_some(topic.partitions));
        }
        for topic in &before {
            if !desired.iter().any(|other| other.name == topic.name) {
                prop_assert_eq!(cluster.get(&topic.name), Some(topic), "left alone");
            }
        }
    }

    #[test]
    fn without_its_destructive_steps_a_plan_loses_no_topic_and_no_partition(
        desired in prop::collection::btree_map(0..6_u8, any_desired(), 0..6),
        actual in prop::collection::btree_map(0..6_u8, any_actual(), 0..6),
    ) {
        let desired = named(desired, |topic| &mut topic.name);
        let before = named(actual, |topic| &mut topic.name);
        let mut cluster: BTreeMap<_, _> =
            before.iter().map(|topic| (topic.name.clone(), topic.clone())).collect();
        let mut plan = plan(&desired, &before);
        plan.changes.retain(|change| !change.is_destructive());

        apply(&plan, &mut cluster);

        for topic in &before {
            prop_assert!(cluster[&topic.name].partitions >= topic.partitions);
        }
    }
}
