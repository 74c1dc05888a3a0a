//! Help, exit codes, completions, brokers that are down.

use crate::support::{longshore, run};

#[tokio::test]
async fn wrong_usage_exits_with_2_and_says_what_is_right() {
    for (arguments, word) in [
        (&["frobnicate"][..], "frobnicate"),
        (&["produce", "order.created"], "--file"),
        (
            &["produce", "t", "--file", "-", "--rate", "fast"],
            "records a second",
        ),
        (
            &["produce", "t", "--file", "-", "--header", "novalue"],
            "KEY=VALUE",
        ),
        (&["tail"], "<TOPICS>"),
        (&["tail", "t", "--from", "someday"], "how long ago"),
        (&["tail", "t", "--filter", "nothing"], "FIELD=VALUE"),
        (&["dlq", "show", "t", "12"], "PARTITION/OFFSET"),
        (&["dlq", "stats", "t", "--since", "soon"], "how long ago"),
        (&["dlq", "stats", "t", "--since", "1y"], "units w, d, h"),
        (
            &["dlq", "redrive", "t", "--fingerprint", ""],
            "first characters",
        ),
        (
            &["dlq", "list", "t", "--fingerprint", "timeout"],
            "first characters",
        ),
        (&["dlq", "discard", "t", "--error", ""], "leave it out"),
        (&["dlq", "list", "t", "--header", "=shop"], "KEY=VALUE"),
        (&["dlq", "redrive", "t", "--edit", "a=1"], "POINTER=JSON"),
        (
            &["dlq", "redrive", "t", "--limit", "0"],
            "a whole number from 1 on",
        ),
        (
            &["dlq", "redrive", "t", "--limit", "-1"],
            "a whole number from 1 on",
        ),
        (
            &["produce", "t", "--file", "-", "--count", "1e3"],
            "a whole number from 1 on",
        ),
        (
            &["dlq", "redrive", "t", "--rate", "-1"],
            "more than 0, such as 500",
        ),
        (&["dlq", "redrive", "t", "--group", ""], "cannot be empty"),
        (&["dlq", "stats", ""], "cannot be empty"),
        (
            &["dlq", "list", "t", "--since", "1h", "--until", "2h"],
            "is later than --until",
        ),
        (
            &["dlq", "discard", "t", "--since", "1h", "--until", "2h"],
            "is later than --until",
        ),
        (&["groups", "seek", "", "--to", "end"], "cannot be empty"),
        (&["stuck", "--worker", "localhost"], "HOST:PORT"),
        (&["stuck", "--worker", "http://localhost:1"], "HOST:PORT"),
        (&["dlq", "discard", "t", "--edit", "/a=1"], "--edit"),
        (&["groups", "seek", "g"], "--to"),
        (&["groups", "seek", "g", "--to", "there"], "an offset"),
        (
            &["groups", "seek", "g", "--to", "end", "--partition", "1"],
            "--topic",
        ),
        (&["topics", "list", "--kafka", "nonsense"], "KEY=VALUE"),
        (&["sandbox", "--outage", "auth"], "not auth"),
        (&["sandbox", "--errors", "payment=110%"], "10%"),
        (&["sandbox", "--latency", "payment"], "SERVICE=TIME"),
    ] {
        let run = run(longshore(arguments), b"").await;
        assert_eq!(run.code, 2, "{arguments:?}: {run:#?}");
        assert!(run.stderr.contains(word), "{arguments:?}: {run:#?}");
        assert_eq!(run.stdout, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn a_filter_that_is_empty_in_the_environment_does_not_select_all() {
    for name in [
        "LONGSHORE_DLQ_FINGERPRINT",
        "LONGSHORE_DLQ_ERROR",
        "LONGSHORE_DLQ_HEADER",
    ] {
        let mut command = longshore(&["dlq", "discard", "t", "--yes"]);
        command.env(name, "");
        let run = run(command, b"").await;
        assert_eq!(run.code, 2, "{name}: {run:#?}");
    }
}

#[tokio::test]
async fn help_has_examples_and_no_colour_where_there_is_no_terminal() {
    for arguments in [
        &["--help"][..],
        &["produce", "--help"],
        &["topics", "apply", "--help"],
    ] {
        let help = run(longshore(arguments), b"").await.done();
        assert!(
            help.contains("longshore topics apply") || help.contains("longshore produce"),
            "{help}"
        );
        assert!(help.contains("[env: KAFKA_BROKERS"), "{help}");
        assert!(!help.contains('\x1b'), "{help}");
    }
}

#[tokio::test]
async fn there_are_completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(longshore(&["completions", shell]), b"").await.done();
        assert!(script.contains("topics-dir"), "{shell}");
    }
}

#[tokio::test]
async fn brokers_that_are_down_are_named_with_what_to_do() {
    // Port 1 is reserved and nobody listens there.
    let arguments = ["groups", "list", "--brokers", "127.0.0.1:1"];
    let error = run(longshore(&arguments), b"").await.failed();
    assert!(
        error.starts_with("error: no answer from 127.0.0.1:1"),
        "{error}"
    );
    assert!(error.contains("check --brokers"), "{error}");
}

#[tokio::test]
async fn a_property_that_librdkafka_does_not_know_is_named() {
    let arguments = ["groups", "list", "--kafka", "fetch.speed=9"];
    let error = run(longshore(&arguments), b"").await.failed();
    assert!(error.contains("fetch.speed=9"), "{error}");
}

#[tokio::test]
async fn properties_come_from_the_environment_one_a_line() {
    let mut command = longshore(&["groups", "list"]);
    command.env("LONGSHORE_KAFKA", "client.id=mine\n\nfetch.speed=9\n");
    let error = run(command, b"").await.failed();
    assert!(error.contains("fetch.speed=9"), "{error}");
}
