//! The topics of redrives, as the files of the topics ask for them.

use longshore_topics::{DesiredTopic, LoadError, State, TopicSpec, desired_topics};

fn load(files: &[(&str, &str)]) -> Result<Vec<TopicSpec>, LoadError> {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        std::fs::write(dir.path().join(name), text).expect("written");
    }
    TopicSpec::load_dir(dir.path())
}

fn desired(files: &[(&str, &str)]) -> Vec<DesiredTopic> {
    desired_topics(&load(files).expect("valid"))
}

fn names(topics: &[DesiredTopic]) -> Vec<&str> {
    topics.iter().map(|topic| topic.name.as_str()).collect()
}

#[test]
fn a_group_has_a_redrive_topic_as_wide_as_the_topic_and_kept_as_long_as_its_dead_letters() {
    let topics = desired(&[(
        "a.toml",
        "name = \"a\"\npartitions = 6\nreplication = 3\n[dead_letter]\npartitions = 1\nretention = \"90d\"\n[redrive]\ngroups = [\"billing\"]\n",
    )]);

    assert_eq!(
        names(&topics),
        ["a", "a.dlq", "billing.redrive", "longshore.redrives"]
    );
    let redrive = &topics[2];
    assert_eq!((redrive.partitions, redrive.replication), (6, Some(3)));
    assert_eq!(redrive.configs["retention.ms"], "7776000000");
    let bytes = |topic: &DesiredTopic| {
        topic.configs["max.message.bytes"]
            .parse::<i64>()
            .expect("a number")
    };
    assert!(
        bytes(redrive) >= bytes(&topics[1]) + 12 * 1024,
        "an old value fits"
    );
    let audit = &topics[3];
    assert_eq!((audit.partitions, audit.replication), (1, Some(3)));
    assert_eq!(audit.configs["retention.ms"], "-1");
}

#[test]
fn a_group_that_reads_several_topics_has_one_redrive_topic_as_large_as_the_largest() {
    let topics = desired(&[
        (
            "a.toml",
            "name = \"a\"\npartitions = 6\n[redrive]\ngroups = [\"g\"]\n",
        ),
        (
            "b.toml",
            "name = \"b\"\npartitions = 2\nmax_message_bytes = 5000000\n[dead_letter]\nretention = \"forever\"\n[redrive]\ngroups = [\"g\", \"h\"]\n",
        ),
    ]);

    assert_eq!(
        names(&topics),
        [
            "a",
            "a.dlq",
            "b",
            "b.dlq",
            "g.redrive",
            "h.redrive",
            "longshore.redrives"
        ]
    );
    let redrive = &topics[4];
    assert_eq!(redrive.partitions, 6);
    assert_eq!(redrive.configs["retention.ms"], "-1");
    assert!(
        redrive.configs["max.message.bytes"]
            .parse::<i64>()
            .expect("a number")
            > 5_000_000
    );
}

#[test]
fn a_redrive_topic_goes_with_the_last_topic_that_needs_it() {
    let absent = "name = \"a\"\nstate = \"absent\"\n[redrive]\ngroups = [\"g\"]\n";
    let present = "name = \"b\"\npartitions = 1\n[redrive]\ngroups = [\"g\"]\n";
    let state = |files: &[(&str, &str)]| {
        let topics = desired(files);
        let found = topics.iter().find(|topic| topic.name == "g.redrive");
        found.expect("named").state
    };
    assert_eq!(state(&[("a.toml", absent)]), State::Absent);
    assert_eq!(
        state(&[("a.toml", absent), ("b.toml", present)]),
        State::Present
    );
}

#[test]
fn without_groups_nothing_is_added() {
    let topics = desired(&[("a.toml", "name = \"a\"\npartitions = 1\n")]);
    assert_eq!(names(&topics), ["a", "a.dlq"]);
}

#[test]
fn faults_of_redrives_are_told_with_their_line() {
    let text =
        "name = \"a\"\npartitions = 1\n[redrive]\ngroups = [\n\"g\",\n\"\",\n\"g\",\n\"a b\",\n]\n";
    let Err(LoadError::Invalid(faults)) = load(&[("a.toml", text)]) else {
        panic!("faults were expected");
    };
    let told: Vec<_> = faults
        .iter()
        .map(|fault| (fault.line, fault.reason.as_str()))
        .collect();
    assert_eq!(told[0], (6, "a consumer group has a name"));
    assert_eq!(told[1], (7, "group g is named twice"));
    assert_eq!(told[2].0, 8);
    assert!(
        told[2].1.starts_with("no redrive topic for group a b"),
        "{told:?}"
    );
}

#[test]
fn a_redrive_topic_cannot_have_a_file_of_its_own() {
    let redrive = "name = \"a\"\npartitions = 1\n[redrive]\ngroups = [\"g\"]\n";
    let file = "name = \"g.redrive\"\npartitions = 1\n";
    let Err(error) = load(&[("a.toml", redrive), ("g.toml", file)]) else {
        panic!("a fault was expected");
    };
    assert!(
        error
            .to_string()
            .contains("topic g.redrive is already described"),
        "{error}"
    );
}
