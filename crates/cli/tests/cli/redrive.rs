//! Dead letters that go back to the consumer group that failed, or are given up.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use longshore_broker::faults::{ApiKey, Effect, Fault, ResponseError};
use longshore_event::{Headers, OutgoingRecord, Redrive, RedriveAction};
use longshore_kafka::{Admin, Connection, KafkaSource, NewTopic};
use longshore_worker::{Source, SourceEvent};
use serde_json::Value;
use tokio::process::Child;
use tokio::time::Instant;

use crate::support::{Letter, Run, Shop, header};

const DEADLINE: Duration = Duration::from_secs(30);

const REDRIVE: [&str; 3] = ["dlq", "redrive", "order.created"];

async fn redrive(shop: &Shop, arguments: &[&str]) -> Run {
    shop.run(&[&REDRIVE[..], arguments].concat()).await
}

fn letters(count: i64) -> Vec<Letter> {
    let letter = |offset| Letter {
        offset,
        ..Letter::default()
    };
    (0..count).map(letter).collect()
}

/// What a worker reads from the headers of a record.
fn read(record: &Value) -> Redrive {
    let mut headers = Headers::new();
    for header in record["headers"].as_array().expect("headers") {
        let name = header["name"].as_str().expect("a name");
        headers.push(name, header["value"].as_str().map(str::as_bytes));
    }
    Redrive::read(&headers).expect("a redrive")
}

fn origins(records: &[Value]) -> Vec<i64> {
    records
        .iter()
        .map(|record| read(record).origin.offset.0)
        .collect()
}

/// Joins `shop` and has read its partitions when this returns.
async fn member(shop: &Shop, topic: &str) -> KafkaSource {
    let connection = Connection::new(shop.brokers());
    let topics = [topic.to_owned()];
    let source = KafkaSource::subscribe(&connection, "shop", &topics, 100, DEADLINE);
    let mut source = source.await.expect("subscribed");
    loop {
        let event = tokio::time::timeout(DEADLINE, source.next()).await;
        if let SourceEvent::Assigned(_) = event.expect("assigned in time") {
            return source;
        }
    }
}

#[tokio::test]
async fn a_redrive_is_a_dry_run_until_it_is_meant() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(3)).await;

    let run = redrive(&shop, &[]).await;
    assert!(run.stderr.contains("--yes does it"), "{run:?}");
    let told = run.done();
    assert!(
        told.contains("3 dead letters to redrive for consumer group shop"),
        "{told}"
    );
    assert!(told.contains("Refused: payment 17 refused"), "{told}");

    assert!(shop.records("shop.redrive").await.is_empty());
    assert!(shop.records("longshore.redrives").await.is_empty());
}

#[tokio::test]
async fn a_redrive_goes_to_its_group_once_and_is_audited() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(3)).await;

    let told = redrive(&shop, &["--yes", "--as", "oncall"]).await.done();
    assert!(told.contains("3 of 3 dead letters redriven"), "{told}");
    let again = redrive(&shop, &["--yes"]).await;
    assert!(again.stderr.contains("3 skipped"), "{again:?}");
    again.done();

    let records = shop.records("shop.redrive").await;
    assert_eq!(origins(&records), [0, 1, 2], "in order, each once");
    let first = read(&records[0]);
    assert_eq!((first.count, first.action), (1, RedriveAction::Handle));
    assert_eq!(first.origin.to_string(), "order.created/1/0");
    assert_eq!(
        &*first.of.expect("known").partition.topic,
        "order.created.dlq"
    );
    assert_eq!(records[0]["key"], "o-1");
    assert_eq!(records[0]["value"]["total"], 1);
    assert_eq!(header(&records[0], "ce_id"), Some("e-0"));
    assert_eq!(header(&records[0], "__dlq.errors.group"), None);

    let audit = shop.records("longshore.redrives").await;
    let phases: Vec<_> = audit.iter().map(|entry| &entry["value"]["phase"]).collect();
    assert_eq!(phases, ["started", "ended"]);
    let end = &audit[1]["value"];
    assert_eq!(end["by"], "oncall");
    assert_eq!(
        (&end["group"], &end["topic"]),
        (&"shop".into(), &"order.created.dlq".into())
    );
    assert_eq!(
        (&end["selected"], &end["acknowledged"]),
        (&3.into(), &3.into())
    );
    assert_eq!(end["run"], first.run.as_str());

    let open = ["dlq", "list", "order.created", "--state", "open", "--json"];
    assert!(shop.run(&open).await.json().is_empty());
    let stats = shop
        .run(&["dlq", "stats", "order.created", "--json"])
        .await
        .json();
    assert_eq!(
        (&stats[0]["open"], &stats[0]["causes"][0]["redriven"]),
        (&0.into(), &3.into())
    );
}

#[tokio::test]
async fn letters_of_several_groups_need_one_named_and_only_its_own_go() {
    let shop = Shop::with_redrives().await;
    let mut all = letters(2);
    all[1].group = "audit";
    shop.fail(&all).await;

    let error = redrive(&shop, &["--yes"]).await.failed();
    assert!(
        error.contains("audit (1), shop (1); --group names one"),
        "{error}"
    );
    redrive(&shop, &["--yes", "--group", "shop"]).await.done();

    assert_eq!(origins(&shop.records("shop.redrive").await), [0]);
}

#[tokio::test]
async fn letters_of_other_systems_go_where_the_user_says() {
    let shop = Shop::with_redrives().await;
    let mut headers = Headers::new();
    headers.push_str("kafka_dlt-original-topic", "order.created");
    headers.push("kafka_dlt-original-partition", Some(&[0, 0, 0, 2]));
    headers.push("kafka_dlt-original-offset", Some(&[0, 0, 0, 0, 0, 0, 1, 0]));
    headers.push_str("kafka_dlt-original-consumer-group", "theirs");
    headers.push_str("kafka_dlt-exception-message", "no such account");
    let spring = OutgoingRecord {
        topic: "order.created.dlq".into(),
        key: Some("o-1".into()),
        value: Some("{}".into()),
        headers,
    };
    let mut headers = Headers::new();
    headers.push_str("topic_poisoned", "order.created");
    headers.push_str("reason_poisoned", "no such account");
    let watermill = OutgoingRecord {
        headers,
        ..spring.clone()
    };
    shop.publish(&[spring, watermill]).await;

    let error = redrive(&shop, &["--yes"]).await.failed();
    assert!(
        error.contains("another system than Longshore: --group"),
        "{error}"
    );
    redrive(&shop, &["--yes", "--group", "shop"]).await.done();

    let records = shop.records("shop.redrive").await;
    assert_eq!(read(&records[0]).origin.to_string(), "order.created/2/256");
    assert_eq!(header(&records[0], "kafka_dlt-original-topic"), None);
    // Watermill does not tell the place: the letter's own stands in, and in the identity too.
    let second = read(&records[1]);
    let of = second.of.expect("known").to_string();
    assert_eq!(&*second.origin.partition.topic, "order.created");
    assert_eq!(header(&records[1], "ce_id"), Some(&*of));
}

#[tokio::test]
async fn a_letter_that_comes_back_again_and_again_is_refused() {
    let shop = Shop::with_redrives().await;
    let mut all = letters(2);
    (all[0].redrive_count, all[1].redrive_count) = (4, 5);
    shop.fail(&all).await;

    let run = redrive(&shop, &["--yes"]).await;
    assert!(
        run.stderr.contains("1 refused: redriven 5 times"),
        "{run:?}"
    );
    run.done();
    assert_eq!(origins(&shop.records("shop.redrive").await), [0]);

    redrive(&shop, &["--yes", "--max-redrives", "6"])
        .await
        .done();
    let records = shop.records("shop.redrive").await;
    assert_eq!(origins(&records), [0, 1]);
    assert_eq!((read(&records[0]).count, read(&records[1]).count), (5, 6));
}

#[tokio::test]
async fn an_edited_value_must_be_what_the_topic_takes_and_the_old_one_is_kept() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(2)).await;

    let error = redrive(&shop, &["--yes", "--edit", "/total=\"much\""])
        .await
        .failed();
    assert!(error.contains("is not what order.created takes"), "{error}");
    assert!(error.contains("nothing was sent: 2 of 2"), "{error}");
    let error = redrive(&shop, &["--edit", "/items/0=1"]).await.failed();
    assert!(error.contains("there is nothing at \"items\""), "{error}");
    assert!(shop.records("shop.redrive").await.is_empty());

    let dry = redrive(&shop, &["--edit", "/total=2"]).await;
    for shown in [
        r#"before  {"orderId":"o-1","total":1}"#,
        r#"after   {"orderId":"o-1","total":2}"#,
    ] {
        assert!(dry.stderr.contains(shown), "{dry:?}");
    }
    let dry = redrive(&shop, &["--edit", "/total=2", "--json"])
        .await
        .json();
    let example = &dry[0]["example"];
    assert_eq!(example["before"], r#"{"orderId":"o-1","total":1}"#);
    assert_eq!(example["after"], r#"{"orderId":"o-1","total":2}"#);

    let edit = [
        "--yes",
        "--limit",
        "1",
        "--edit",
        "/total=2",
        "--edit",
        "/note=\"by hand\"",
    ];
    redrive(&shop, &edit).await.done();
    let with = ["--yes", "--edit-with", "sed 's/\"total\":1/\"total\":3/'"];
    redrive(&shop, &with).await.done();

    let records = shop.records("shop.redrive").await;
    let totals: Vec<_> = records
        .iter()
        .map(|record| &record["value"]["total"])
        .collect();
    assert_eq!(totals, [2, 3]);
    assert_eq!(records[0]["value"]["note"], "by hand");
    for record in &records {
        let old = header(record, "longshore-redrive-original-value");
        assert_eq!(old, Some(r#"{"orderId":"o-1","total":1}"#));
    }
}

#[tokio::test]
async fn an_edit_that_takes_a_record_out_of_the_order_of_its_key_is_refused() {
    let shop = Shop::with_redrives().await;
    let mut all = letters(2);
    all[1].value = Bytes::from_static(br#"{"orderId":7,"total":1}"#);
    shop.fail(&all).await;

    let other = ["--yes", "--edit", "/orderId=\"o-2\""];
    let error = redrive(&shop, &other).await.failed();
    assert!(
        error.contains(
            "the edit changes orderId, the key field of order.created, from \"o-1\" to \"o-2\""
        ),
        "{error}"
    );
    assert!(error.contains("nothing was sent: 2 of 2"), "{error}");
    let with = ["--yes", "--edit-with", "sed 's/o-1/o-2/'"];
    let error = redrive(&shop, &with).await.failed();
    assert!(error.contains("nothing was sent: 1 of 2"), "{error}");
    assert!(shop.records("shop.redrive").await.is_empty());

    // One that did not name the record's key may be mended.
    let mended = ["--yes", "--edit", "/orderId=\"o-1\""];
    redrive(&shop, &mended).await.done();
    let records = shop.records("shop.redrive").await;
    assert_eq!(records[1]["value"]["orderId"], "o-1");
}

#[tokio::test]
async fn programs_are_told_that_nothing_is_meant_as_they_are_told_what_is() {
    let shop = Shop::with_redrives().await;
    let keys = |object: &Value| {
        let keys = object.as_object().expect("an object").keys().cloned();
        keys.collect::<Vec<_>>()
    };
    let known = redrive(&shop, &["--json", "--group", "shop"]).await.json();
    for (command, yes) in [("redrive", false), ("discard", true)] {
        let mut command = vec!["dlq", command, "order.created", "--json"];
        command.extend(yes.then_some("--yes"));
        let told = shop.run(&command).await.json().remove(0);
        assert_eq!(keys(&told), keys(&known[0]));
        assert_eq!(told["action"], command[1]);
        assert_eq!(
            (&told["selected"], &told["group"]),
            (&0.into(), &Value::Null)
        );
        assert_eq!(told["done"], yes);
    }
}

#[tokio::test]
async fn a_discard_is_noted_for_the_group_and_not_redriven_later() {
    let shop = Shop::with_redrives().await;
    let mut all = letters(2);
    all[0].redrive_count = 9;
    all[1].key = "o-2";
    shop.fail(&all).await;
    let discard = ["dlq", "discard", "order.created", "--key", "o-1"];

    shop.run(&discard).await.done();
    assert!(shop.records("shop.redrive").await.is_empty(), "a dry run");
    let told = shop.run(&[&discard[..], &["--yes"]].concat()).await.done();
    assert!(told.contains("1 of 1 dead letter discarded"), "{told}");
    redrive(&shop, &["--yes", "--max-redrives", "99"])
        .await
        .done();

    let records = shop.records("shop.redrive").await;
    let redrives: Vec<_> = records.iter().map(read).collect();
    let actions: Vec<_> = redrives
        .iter()
        .map(|r| (r.origin.offset.0, r.action))
        .collect();
    assert!(
        actions.contains(&(0, RedriveAction::Discard)),
        "{actions:?}"
    );
    assert!(actions.contains(&(1, RedriveAction::Handle)), "{actions:?}");
    assert_eq!(actions.len(), 2);
    let states = shop.run(&[
        "dlq",
        "list",
        "order.created",
        "--state",
        "discarded",
        "--json",
    ]);
    assert_eq!(states.await.json()[0]["key"], "o-1");
}

#[tokio::test]
async fn a_redrive_that_would_not_arrive_is_refused_with_what_to_do() {
    let shop = Shop::with_topics().await;
    shop.fail(&letters(1)).await;
    let error = redrive(&shop, &["--yes"]).await.failed();
    assert!(
        error.contains("topic shop.redrive does not exist"),
        "{error}"
    );
    assert!(
        error.contains("groups = [\"shop\"]") && error.contains("topics apply"),
        "{error}"
    );

    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1)).await;
    let elsewhere = member(&shop, "order.created").await;
    let error = redrive(&shop, &["--yes"]).await.failed();
    assert!(
        error.contains("shop.redrive is not read by the one member of consumer group shop"),
        "{error}"
    );
    let dry = redrive(&shop, &[]).await;
    assert!(dry.stderr.contains("would be refused"), "{dry:?}");
    assert!(shop.records("shop.redrive").await.is_empty());
    drop(elsewhere);

    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1)).await;
    let _reading = member(&shop, "shop.redrive").await;
    let run = redrive(&shop, &["--yes"]).await;
    assert!(!run.stderr.contains("no members"), "{run:?}");
    run.done();
}

/// Starts a redrive of 20 letters a second; returns when it has sent a few.
async fn start_slowly(shop: &Shop) -> Child {
    let slow = ["--yes", "--rate", "20", "--edit", "/total=2"];
    let slow = [&REDRIVE[..], &slow].concat();
    let mut command = shop.command(&slow);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the binary starts");
    let deadline = Instant::now() + DEADLINE;
    while shop.records("shop.redrive").await.len() < 3 {
        assert!(Instant::now() < deadline, "nothing was sent");
    }
    child
}

fn signal(child: &Child, signal: &str) {
    let id = child.id().expect("it runs").to_string();
    let kill = std::process::Command::new("kill")
        .args([signal, &id])
        .status();
    assert!(kill.expect("kill").success());
}

/// The exit code and standard error of a process that ends.
async fn ended(child: Child) -> (Option<i32>, String) {
    let output = tokio::time::timeout(DEADLINE, child.wait_with_output());
    let output = output.await.expect("it ends").expect("output");
    (
        output.status.code(),
        String::from_utf8(output.stderr).expect("UTF-8"),
    )
}

/// Starts a slow redrive and ends it by a signal when it has sent a few letters; its exit code and standard error.
async fn interrupted(shop: &Shop, by: &str) -> (Option<i32>, String) {
    let child = start_slowly(shop).await;
    signal(&child, by);
    ended(child).await
}

/// The command that a run says it can be gone on with.
fn hint(error: &str) -> Vec<&str> {
    let hint = error.rsplit("with: longshore ").next();
    hint.expect("a hint").split_whitespace().collect()
}

/// Whether what was written into the redrive topic is decided: no transaction is open, nor about to end.
async fn is_decided(shop: &Shop) -> bool {
    let admin = Admin::connect(&Connection::new(shop.brokers())).expect("valid");
    let written = admin.high_watermarks("shop.redrive").await.expect("told");
    let written: BTreeMap<_, _> = written.into_iter().collect();
    let bounds = admin.offsets("shop.redrive").await.expect("told");
    bounds
        .iter()
        .all(|bounds| bounds.end == written[&bounds.partition])
}

/// What the group gets, once no transaction is open: before the next run has begun, so none that is left open passes.
async fn redriven(shop: &Shop) -> Vec<Value> {
    // Shorter than the time of a transaction: one that was left open is not over by then.
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_decided(shop).await {
        assert!(Instant::now() < deadline, "a transaction was left open");
    }
    shop.records("shop.redrive").await
}

/// Asserts that each of `count` letters is in the redrive topic once.
fn assert_each_once(records: &[Value], count: usize) {
    let places: BTreeSet<_> = records
        .iter()
        .map(|record| read(record).of.expect("known").to_string())
        .collect();
    assert_eq!((records.len(), places.len()), (count, count));
}

#[tokio::test]
async fn a_run_that_was_stopped_says_how_to_go_on_and_does() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1000)).await;

    let (code, error) = interrupted(&shop, "-INT").await;
    assert_eq!(code, Some(1), "{error}");
    let again = hint(&error).join(" ");
    assert!(again.contains(" --rate 20 "), "{again}");
    assert!(
        again.contains(&format!(" --brokers {} ", shop.brokers())),
        "{again}"
    );
    let run = again.split("--resume ").nth(1).expect("an id");
    let run = run.split(' ').next().expect("an id");
    assert!(error.contains(&format!("Run {run} begins.")), "{error}");
    let sent = redriven(&shop).await.len();
    assert!(sent < 1000, "it was stopped: {sent}");
    let stopped = shop.records("longshore.redrives").await;
    let stopped = &stopped.last().expect("an entry")["value"];
    assert_eq!(stopped["phase"], "stopped");
    assert_eq!(stopped["acknowledged"], sent);
    // What failed later is not part of the run.
    let late = Letter {
        offset: 999,
        ..Letter::default()
    };
    shop.fail(&[late]).await;

    assert!(!error.contains("edited"), "not all were sent: {error}");
    let faster: Vec<_> = hint(&error)
        .into_iter()
        .map(|word| if word == "20" { "2000" } else { word })
        .collect();
    let told = shop.run(&faster).await.done();

    assert!(
        told.contains("1000 of 1000 dead letters redriven"),
        "{told}"
    );
    let records = shop.records("shop.redrive").await;
    assert_eq!(origins(&records), (0..1000).collect::<Vec<_>>());
    let runs: BTreeSet<_> = records.iter().map(|record| read(record).run).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
}

#[tokio::test]
async fn a_run_that_was_killed_is_finished_by_the_same_command() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1000)).await;

    let (code, _) = interrupted(&shop, "-KILL").await;
    assert_eq!(code, None);
    redrive(&shop, &["--yes"]).await.done();

    assert_each_once(&redriven(&shop).await, 1000);
}

#[tokio::test]
async fn a_run_that_was_killed_in_a_transaction_leaves_nothing_of_it_to_the_next() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(50)).await;
    // All 50 are written, and never committed.
    let no_commit = Fault::new(ApiKey::EndTxn, Effect::DropUnread).times(u64::MAX);
    shop.faults().inject(no_commit).expect("possible");
    let mut command = shop.command(&[&REDRIVE[..], &["--yes"]].concat());
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the binary starts");
    let deadline = Instant::now() + DEADLINE;
    while is_decided(&shop).await {
        assert!(Instant::now() < deadline, "nothing was written");
    }
    signal(&child, "-KILL");
    ended(child).await;
    shop.faults().clear();

    let audit = shop.records("longshore.redrives").await;
    let run = audit[0]["value"]["run"].as_str().expect("an id");
    let resume = ["--resume", run, "--yes"];
    let told = redrive(&shop, &resume).await.done();

    assert!(told.contains("50 of 50 dead letters redriven"), "{told}");
    assert_each_once(&redriven(&shop).await, 50);
}

#[tokio::test]
async fn of_two_runs_at_once_the_first_is_fenced_and_each_letter_goes_once() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1000)).await;

    let first = start_slowly(&shop).await;
    let second = redrive(&shop, &["--yes"]).await;
    let (code, error) = ended(first).await;

    assert!(second.stderr.contains("skipped"), "{second:?}");
    second.done();
    assert_eq!(code, Some(1), "{error}");
    assert!(
        error.contains("fenced: another run for consumer group shop has begun"),
        "{error}"
    );
    assert_each_once(&redriven(&shop).await, 1000);
    let told = shop.run(&hint(&error)).await;
    assert!(told.stderr.contains("skipped"), "{told:?}");
    told.done();
    assert_each_once(&redriven(&shop).await, 1000);
}

#[tokio::test]
async fn runs_that_begin_together_send_each_letter_once() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(600)).await;

    let run = || redrive(&shop, &["--yes", "--rate", "2000"]);
    let (first, second, third) = tokio::join!(run(), run(), run());

    let fenced = |run: &Run| run.stderr.contains("fenced: another run");
    for run in [&first, &second, &third] {
        assert!(run.code == 0 || fenced(run), "{run:?}");
    }
    redrive(&shop, &["--yes"]).await.done();
    assert_each_once(&redriven(&shop).await, 600);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_in_the_topic_and_not_sent_again() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(20)).await;
    // The commit happens; the coordinator is gone for as long as the run may ask again in vain.
    let unanswered = Fault::new(ApiKey::EndTxn, Effect::DropDone).times(2);
    shop.faults().inject(unanswered).expect("possible");

    let told = redrive(&shop, &["--yes"]).await.done();

    assert!(told.contains("20 of 20 dead letters redriven"), "{told}");
    assert_each_once(&redriven(&shop).await, 20);
}

#[tokio::test]
async fn a_letter_that_cannot_be_written_harms_no_other() {
    let shop = Shop::with_topics().await;
    let topic = |name: &str, bytes: &str| NewTopic {
        name: name.to_owned(),
        partitions: 1,
        replication: 1,
        configs: BTreeMap::from([("max.message.bytes".to_owned(), bytes.to_owned())]),
    };
    let topics = [
        topic("shop.redrive", "4000"),
        topic("longshore.redrives", "100000"),
    ];
    let admin = Admin::connect(&Connection::new(shop.brokers())).expect("valid");
    admin.create_topics(&topics).await.expect("created");
    let mut all = letters(10);
    all[4].value = incompressible(6000);
    shop.fail(&all).await;

    let run = redrive(&shop, &["--yes"]).await;

    assert!(run.stderr.contains("max.message.bytes"), "{run:?}");
    assert!(run.stdout.contains("9 of 10 dead letters"), "{run:?}");
    let error = run.failed();
    assert!(error.contains("1 dead letter could not be sent"), "{error}");
    let expected: Vec<_> = (0..10).filter(|offset| *offset != 4).collect();
    assert_eq!(origins(&redriven(&shop).await), expected);
    let audit = shop.records("longshore.redrives").await;
    let end = &audit.last().expect("an entry")["value"];
    assert_eq!(
        (&end["phase"], &end["acknowledged"], &end["failed"]),
        (&"stopped".into(), &9.into(), &1.into())
    );

    let again = shop.run(&hint(&error)).await;
    assert!(again.stdout.contains("9 of 10 dead letters"), "{again:?}");
    again.failed();
    assert_eq!(origins(&redriven(&shop).await), expected);
}

#[tokio::test]
async fn what_may_be_secret_is_not_repeated_by_the_hint_how_to_go_on() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1)).await;
    let refusal = Effect::Fail(ResponseError::TopicAuthorizationFailed);
    let refusal = Fault::new(ApiKey::AddPartitionsToTxn, refusal);
    shop.faults().inject(refusal).expect("possible");

    let given = [
        "--yes",
        "--kafka",
        "client.id=hush",
        "--topics-dir",
        "topics",
        "--edit",
        "/total=2",
    ];
    let error = redrive(&shop, &given).await.failed();

    assert!(!error.contains("hush"), "{error}");
    assert!(error.contains("--kafka may hold a password"), "{error}");
    let again = hint(&error);
    assert!(
        again
            .windows(2)
            .any(|two| two == ["--topics-dir", "topics"]),
        "{again:?}"
    );
    shop.run(&again).await.done();
    assert_each_once(&redriven(&shop).await, 1);
}

#[tokio::test]
async fn a_redrive_topic_that_refuses_stops_the_run_with_the_cause() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(10)).await;
    let refusal = Effect::Fail(ResponseError::TopicAuthorizationFailed);
    let refusal = Fault::new(ApiKey::AddPartitionsToTxn, refusal);
    shop.faults().inject(refusal).expect("possible");

    let error = redrive(&shop, &["--yes"]).await.failed();

    assert!(error.contains("authorization failed"), "{error}");
    assert!(redriven(&shop).await.is_empty());
    shop.run(&hint(&error)).await.done();
    assert_each_once(&redriven(&shop).await, 10);
}

/// Bytes that no codec makes fewer.
fn incompressible(count: usize) -> Bytes {
    let mut state = 1_u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.take(count).collect()
}

#[tokio::test]
async fn records_of_aborted_transactions_are_no_redrives_whatever_the_isolation_level() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(50)).await;
    let no_commit = Fault::new(ApiKey::EndTxn, Effect::DropUnread).times(u64::MAX);
    shop.faults().inject(no_commit).expect("possible");
    let child = shop.command(&[&REDRIVE[..], &["--yes"]].concat()).spawn();
    let child = child.expect("the binary starts");
    let deadline = Instant::now() + DEADLINE;
    while is_decided(&shop).await {
        assert!(Instant::now() < deadline, "nothing was written");
    }
    signal(&child, "-KILL");
    ended(child).await;
    shop.faults().clear();

    let uncommitted = ["--yes", "--kafka", "isolation.level=read_uncommitted"];
    let told = redrive(&shop, &uncommitted).await.done();

    assert!(told.contains("50 of 50 dead letters redriven"), "{told}");
    assert_each_once(&redriven(&shop).await, 50);
}

#[tokio::test]
async fn a_resumed_run_keeps_its_limit_and_runs_no_command_that_stands_in_a_topic() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(3)).await;
    let with = ["--edit-with", "cat"];
    let limited = [&["--yes", "--json", "--limit", "2"], &with[..]].concat();
    let run = redrive(&shop, &limited).await.json().remove(0);
    assert_eq!(
        (&run["acknowledged"], &run["done"]),
        (&2.into(), &true.into())
    );
    let id = run["run"].as_str().expect("an id");

    let error = redrive(&shop, &["--resume", id, "--yes"]).await.failed();
    assert!(error.contains("give --edit-with again"), "{error}");
    let resumed = [&["--resume", id, "--yes"], &with[..]].concat();
    redrive(&shop, &resumed).await.done();
    assert_eq!(shop.records("shop.redrive").await.len(), 2);

    let error = redrive(&shop, &["--resume", "none", "--yes"])
        .await
        .failed();
    assert!(error.contains("there is no run none"), "{error}");
    let error = shop
        .run(&["dlq", "discard", "order.created", "--resume", id])
        .await
        .failed();
    assert!(
        error.contains("is a Redrive of order.created.dlq"),
        "{error}"
    );
    assert_eq!(
        redrive(&shop, &["--resume", id, "--key", "o-1"]).await.code,
        2
    );
}

#[tokio::test]
async fn what_somebody_else_wrote_into_the_topics_of_redrives_does_no_harm() {
    let shop = Shop::with_redrives().await;
    shop.fail(&letters(1)).await;
    let garbage = |topic: &str, value: &'static str| OutgoingRecord {
        topic: topic.into(),
        key: None,
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: Headers::new(),
    };
    shop.publish(&[
        garbage("longshore.redrives", "no JSON"),
        garbage("longshore.redrives", "{\"run\":1}"),
        garbage("shop.redrive", "{}"),
    ])
    .await;

    let told = redrive(&shop, &["--yes"]).await.done();
    assert!(told.contains("1 of 1"), "{told}");
    shop.run(&["dlq", "list", "order.created"]).await.done();
}
