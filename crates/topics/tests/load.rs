//! Topic files: what they say, and how their faults are told.

use std::fs;
use std::path::Path;

use longshore_topics::{Cleanup, LoadError, Retention, Schema, State, TopicSpec};
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().expect("in a directory")).expect("a directory");
        fs::write(path, text).expect("written");
    }
    dir
}

/// `line: reason` of every fault.
fn faults(files: &[(&str, &str)]) -> Vec<String> {
    let dir = directory(files);
    match TopicSpec::load_dir(dir.path()) {
        Err(LoadError::Invalid(faults)) => faults
            .iter()
            .map(|fault| format!("{}: {}", fault.line, fault.reason))
            .collect(),
        other => panic!("faults were expected, not {other:?}"),
    }
}

#[test]
fn a_file_says_everything_about_a_topic() {
    let dir = directory(&[
        (
            "order.created.toml",
            r#"
name = "order.created"
partitions = 6
replication = 3
retention = "7d"
cleanup = "compact,delete"
max_message_bytes = 2000000
schema = "schemas/order.created.json"
key = "orderId"

[configs]
"segment.bytes" = 1048576
"compression.type" = "zstd"
"preallocate" = true

[dead_letter]
partitions = 2
retention = "forever"
max_message_bytes = 3000000
"#,
        ),
        ("schemas/order.created.json", "{}"),
        ("README.md", "not a topic"),
    ]);

    let specs = TopicSpec::load_dir(dir.path()).unwrap();

    let [spec] = &specs[..] else {
        panic!("one topic, not {specs:?}")
    };
    assert_eq!(spec.cleanup, Cleanup::CompactDelete);
    assert_eq!(spec.key.as_deref(), Some("orderId"));
    assert!(spec.schema.as_deref().is_some_and(Path::is_file));
    let [topic, dead_letters] = &spec.topics()[..] else {
        panic!("a topic and its dead letters")
    };
    assert_eq!((topic.partitions, topic.replication), (6, Some(3)));
    let configs: Vec<_> = topic
        .configs
        .iter()
        .map(|(k, v)| format!("{k}={v}"))
        .collect();
    assert_eq!(
        configs,
        [
            "cleanup.policy=compact,delete",
            "compression.type=zstd",
            "max.message.bytes=2000000",
            "preallocate=true",
            "retention.ms=604800000",
            "segment.bytes=1048576",
        ]
    );
    assert_eq!(dead_letters.name, "order.created.dlq");
    assert_eq!(dead_letters.partitions, 2);
    assert_eq!(dead_letters.configs["retention.ms"], "-1");
    assert_eq!(dead_letters.configs["max.message.bytes"], "3000000");
}

#[test]
fn what_is_left_out_has_a_default() {
    let dir = directory(&[("a.toml", "name = \"a\"\npartitions = 3\n")]);

    let spec = TopicSpec::load_dir(dir.path()).unwrap().remove(0);

    assert_eq!(spec.state, State::Present);
    assert_eq!(spec.replication, None);
    let dead_letters = spec.dead_letter.as_ref().unwrap();
    assert_eq!(dead_letters.partitions, 3);
    assert_eq!(dead_letters.retention, "30d".parse::<Retention>().unwrap());
    // A record of the largest size Kafka allows by default fits with the headers of a dead letter.
    assert!(dead_letters.max_message_bytes > 1_048_588 + 4 * 1024);
    assert_eq!(spec.topics()[0].configs["cleanup.policy"], "delete");
    assert!(!spec.topics()[0].configs.contains_key("retention.ms"));
}

#[test]
fn dead_letters_can_be_turned_off_and_a_dlq_has_none_of_its_own() {
    let dir = directory(&[
        (
            "a.toml",
            "name = \"a\"\npartitions = 1\n[dead_letter]\nenabled = false\n",
        ),
        ("b.toml", "name = \"b.dlq\"\npartitions = 1\n"),
    ]);

    for spec in TopicSpec::load_dir(dir.path()).unwrap() {
        assert_eq!(spec.topics().len(), 1, "{}", spec.name);
    }
}

#[test]
fn every_fault_is_told_with_its_line() {
    let found = faults(&[(
        "a.toml",
        r#"name = "a b"
partitions = 0
replication = 99999
retention = "soon"
schema = "schemas/none.json"

[configs]
"retention.ms" = 5
segment.bytes = 1

[dead_letter]
max_message_bytes = 1000
"#,
    )]);

    for (line, word) in [
        ("1: ", "\"a b\" contains ' '"),
        ("2: ", "partitions must be from 1"),
        ("3: ", "replication must be at most 32767"),
        ("4: ", "\"soon\" is no retention"),
        ("5: ", "there is no schema"),
        ("8: ", "use the field `retention`"),
        ("9: ", "quote the whole name"),
        ("12: ", "must be at least"),
    ] {
        assert!(
            found
                .iter()
                .any(|fault| fault.starts_with(line) && fault.contains(word)),
            "{line}{word} in {found:#?}"
        );
    }
    assert_eq!(found.len(), 8, "{found:#?}");
}

#[test]
fn an_unknown_field_and_broken_toml_are_faults_of_their_line() {
    let found = faults(&[
        (
            "a.toml",
            "name = \"a\"\npartitions = 1\nretentoin = \"7d\"\n",
        ),
        ("b.toml", "name = \"b\"\npartitions = \n"),
        ("c.toml", "name = \"c\"\ncleanup = \"shred\"\n"),
        ("d.toml", "name = \"d\"\n"),
    ]);

    assert!(
        found[0].starts_with("3: ") && found[0].contains("retentoin"),
        "{found:#?}"
    );
    assert!(found[1].starts_with("2: "), "{found:#?}");
    assert!(
        found[2].starts_with("2: ") && found[2].contains("shred"),
        "{found:#?}"
    );
    assert!(found[3].contains("no partitions"), "{found:#?}");
}

#[test]
fn names_that_kafka_cannot_tell_apart_are_refused() {
    let found = faults(&[
        ("a.toml", "name = \"a.b\"\npartitions = 1\n"),
        ("b.toml", "name = \"a_b\"\npartitions = 1\n"),
        ("c.toml", "name = \"a.b\"\npartitions = 1\n"),
    ]);

    assert!(
        found
            .iter()
            .any(|fault| fault.contains("a_b collides with a.b")),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("already described")),
        "{found:#?}"
    );
}

#[test]
fn a_name_leaves_room_for_its_dead_letter_topic() {
    let name = "x".repeat(248);

    let found = faults(&[("a.toml", &format!("name = \"{name}\"\npartitions = 1\n"))]);

    assert!(
        found[0].contains("no room for the dead-letter topic"),
        "{found:#?}"
    );
}

#[test]
fn a_directory_that_is_missing_or_empty_names_the_option() {
    let dir = directory(&[]);
    for path in [dir.path().to_owned(), dir.path().join("none")] {
        let error = TopicSpec::load_dir(path).unwrap_err();
        assert!(error.to_string().contains("--topics-dir"), "{error}");
    }
}

#[test]
fn the_topic_files_and_schemas_of_this_repository_are_valid() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../topics");

    let specs = TopicSpec::load_dir(dir).unwrap();

    for name in [
        "order.created",
        "order.paid",
        "order.shipped",
        "order.delivered",
        "order.cancelled",
    ] {
        let spec = specs.iter().find(|spec| spec.name == name).expect(name);
        assert_eq!(spec.key.as_deref(), Some("orderId"), "{name}");
        let schema = Schema::load(spec.schema.as_ref().expect(name)).unwrap();
        assert!(
            schema.validate(&serde_json::json!({})).is_err(),
            "{name} takes anything"
        );
    }
}
