//! Dead letters.

use bytes::Bytes;
use longshore_event::{Headers, OutgoingRecord};

use crate::support::{Letter, Shop};

fn letter(offset: i64, value: &'static [u8]) -> Letter {
    Letter {
        offset,
        message: "payment refused\nby the bank".into(),
        value: Bytes::from_static(value),
        ..Letter::default()
    }
}

#[tokio::test]
async fn dead_letters_are_listed_and_shown_with_their_cause() {
    let shop = Shop::with_topics().await;
    let letters = [letter(41, br#"{"orderId":"o-1"}"#), letter(42, b"\xff\x00")];
    shop.fail(&letters).await;

    let list = shop.run(&["dlq", "list", "order.created"]).await.done();
    assert_eq!(list.lines().count(), 3, "{list}");
    let row = list.lines().nth(1).expect("a row");
    let place = row.split_whitespace().next().expect("a place");
    for word in [
        "o-1",
        "transient",
        "order-created",
        "shop",
        "4",
        "Refused: payment refused\\nby the bank",
        "2026-11-23T08:00:00",
    ] {
        assert!(row.contains(word), "{word} in {row}");
    }

    let shown = shop
        .run(&["dlq", "show", "order.created.dlq", place])
        .await
        .done();
    for word in [
        "payment refused",
        "order.created/1/41",
        "\"orderId\": \"o-1\"",
        "raw = \\xff\\u{1b}",
    ] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let (partition, offset) = place.split_once('/').expect("a place");
    let second = format!(
        "{partition}/{}",
        offset.parse::<i64>().expect("a number") + 1
    );
    let shown = shop
        .run(&["dlq", "show", "order.created", &second])
        .await
        .done();
    assert!(shown.contains("\\xff\\u{0}"), "{shown}");

    let json = shop
        .run(&["dlq", "list", "order.created", "--json"])
        .await
        .json();
    assert_eq!(json[0]["failure"]["kind"], "transient");
    assert_eq!(json[1]["failure"]["offset"], 42);
    let show = ["dlq", "show", "order.created", place, "--json"];
    let shown = shop.run(&show).await.json().remove(0);
    assert_eq!(shown["failure"], json[0]["failure"]);
    assert_eq!(shown["state"], "open");
    assert_eq!(shown["value"]["orderId"], "o-1");
}

#[tokio::test]
async fn a_place_without_a_record_says_what_there_is() {
    let shop = Shop::with_topics().await;
    shop.fail(&[letter(41, b"{}")]).await;

    let error = shop
        .run(&["dlq", "show", "order.created", "0/99"])
        .await
        .failed();
    assert!(
        error.contains("no record at order.created.dlq/0/99"),
        "{error}"
    );
    let error = shop
        .run(&["dlq", "show", "order.created", "9/0"])
        .await
        .failed();
    assert!(error.contains("has no partition 9"), "{error}");
}

#[tokio::test]
async fn no_dead_letters_are_told_as_such() {
    let shop = Shop::with_topics().await;
    let run = shop.run(&["dlq", "list", "order.created"]).await;
    assert!(
        run.stderr
            .contains("no such dead letters in order.created.dlq"),
        "{run:?}"
    );
    assert_eq!(run.done(), "");
}

#[tokio::test]
async fn letters_are_chosen_by_what_failed_how_and_when() {
    let shop = Shop::with_topics().await;
    let letter = Letter::default();
    shop.fail(&[
        letter.clone(),
        Letter {
            key: "o-2",
            offset: 42,
            ..letter.clone()
        },
        Letter {
            message: "no stock".into(),
            offset: 43,
            ..letter.clone()
        },
        Letter {
            group: "audit",
            offset: 44,
            ..letter.clone()
        },
        Letter {
            failed_at: "2026-11-23T10:00:00Z",
            offset: 45,
            ..letter
        },
    ])
    .await;
    let chosen = async |arguments: &[&str]| -> Vec<i64> {
        let list = [&["dlq", "list", "order.created", "--json"], arguments].concat();
        let letters = shop.run(&list).await.json();
        let offsets = letters
            .iter()
            .map(|letter| letter["failure"]["offset"].as_i64());
        let mut offsets: Vec<_> = offsets.map(|offset| offset.expect("a number")).collect();
        offsets.sort_unstable();
        offsets
    };
    for (arguments, offsets) in [
        (&[][..], &[41, 42, 43, 44, 45][..]),
        (&["--key", "o-2"], &[42]),
        (&["--error", "no stock"], &[43]),
        (&["--error", "Refused: no"], &[43]),
        (&["--error", "refused: NO"], &[43]),
        (&["--group", "audit"], &[44]),
        (&["--since", "2026-11-23T09:00:00Z"], &[45]),
        (
            &["--until", "2026-11-23T08:00:01Z", "--group", "shop"],
            &[41, 42, 43],
        ),
        (&["--header", "ce_id=e-44"], &[44]),
        (&["--state", "open", "--key", "o-2"], &[42]),
        (&["--state", "redriven"], &[]),
    ] {
        assert_eq!(chosen(arguments).await, offsets, "{arguments:?}");
    }
}

#[tokio::test]
async fn statistics_group_failures_with_the_same_cause() {
    let shop = Shop::with_topics().await;
    let letter = Letter::default();
    shop.fail(&[
        letter.clone(),
        Letter {
            message: "payment 18 refused".into(),
            group: "audit",
            failed_at: "2026-11-23T09:00:00Z",
            ..letter.clone()
        },
        Letter {
            message: "no stock".into(),
            ..letter
        },
    ])
    .await;

    let stats = shop
        .run(&["dlq", "stats", "order.created", "--json"])
        .await
        .json()
        .remove(0);
    assert_eq!((&stats["letters"], &stats["open"]), (&3.into(), &3.into()));
    let causes = stats["causes"].as_array().expect("causes");
    assert_eq!(causes.len(), 2, "{stats}");
    let first = &causes[0];
    assert_eq!(first["count"], 2);
    assert_eq!(first["groups"], serde_json::json!(["audit", "shop"]));
    assert_eq!(first["first"], "2026-11-23T08:00:00Z");
    assert_eq!(first["last"], "2026-11-23T09:00:00Z");

    let fingerprint = first["fingerprint"].as_str().expect("text");
    let text = shop.run(&["dlq", "stats", "order.created"]).await.done();
    assert!(
        text.contains(fingerprint) && text.contains("Refused: no stock"),
        "{text}"
    );
    assert!(text.contains("3 dead letters, 3 open, 2 causes"), "{text}");
    assert!(!text.contains('\x1b'), "colour without a terminal: {text}");
    let list = [
        "dlq",
        "list",
        "order.created",
        "--json",
        "--fingerprint",
        &fingerprint[..8],
    ];
    assert_eq!(shop.run(&list).await.json().len(), 2);
}

#[tokio::test]
async fn letters_of_other_systems_are_read_too() {
    let shop = Shop::with_topics().await;
    let mut headers = Headers::new();
    headers.push_str("kafka_dlt-original-topic", "order.created");
    headers.push("kafka_dlt-original-partition", Some(&[0, 0, 0, 2]));
    headers.push("kafka_dlt-original-offset", Some(&[0, 0, 0, 0, 0, 0, 1, 0]));
    headers.push_str(
        "kafka_dlt-exception-fqcn",
        "java.lang.IllegalStateException",
    );
    headers.push_str("kafka_dlt-exception-message", "no such account");
    let spring = OutgoingRecord {
        topic: "order.created.dlq".into(),
        key: Some("o-1".into()),
        value: Some("{}".into()),
        headers,
    };
    let nothing = OutgoingRecord {
        headers: Headers::new(),
        ..spring.clone()
    };
    shop.publish(&[spring, nothing]).await;

    let list = shop.run(&["dlq", "list", "order.created"]).await.done();
    assert!(list.contains("spring"), "{list}");
    assert!(
        list.contains("java.lang.IllegalStateException: no such account"),
        "{list}"
    );
    assert!(list.contains("no dead letter of a known system"), "{list}");
    let place = list
        .lines()
        .nth(1)
        .and_then(|line| line.split_whitespace().next());
    let show = ["dlq", "show", "order.created", place.expect("a place")];
    let shown = shop.run(&show).await.done();
    assert!(shown.contains("order.created/2/256"), "{shown}");
    let stats = shop
        .run(&["dlq", "stats", "order.created", "--json"])
        .await
        .json()
        .remove(0);
    assert_eq!(
        (&stats["letters"], &stats["unknown"]),
        (&1.into(), &1.into())
    );
}
