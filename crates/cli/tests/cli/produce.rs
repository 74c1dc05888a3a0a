//! What is sent, what is refused, how it is told.

use std::collections::HashSet;

use serde_json::Value;

use crate::support::Shop;

const TAIL: [&str; 6] = [
    "tail",
    "order.created",
    "--from",
    "beginning",
    "--exit",
    "--json",
];

fn header<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let headers = record["headers"].as_array().expect("headers");
    headers.iter().find(|header| header["name"] == name)?["value"].as_str()
}

#[tokio::test]
async fn lines_become_events_with_their_keys_and_headers() {
    let shop = Shop::with_topics().await;
    let lines: String = (0..200)
        .map(|n| format!("{{\"orderId\": \"o-{}\",  \"total\":{n}}}\n", n % 7))
        .collect();
    let file = shop.write("orders.jsonl", &lines);

    let summary = shop
        .run(&["produce", "order.created", "--file", &file, "--json"])
        .await
        .json();

    assert_eq!(
        (&summary[0]["sent"], &summary[0]["acked"]),
        (&200.into(), &200.into())
    );
    let records = shop.run(&TAIL).await.json();
    assert_eq!(records.len(), 200);
    let ids: HashSet<_> = records
        .iter()
        .map(|record| header(record, "ce_id"))
        .collect();
    assert_eq!(ids.len(), 200, "every record is an event of its own");
    for key in 0..7 {
        let key = format!("o-{key}");
        let of_key: Vec<_> = records
            .iter()
            .filter(|record| record["key"] == key)
            .collect();
        assert!(
            of_key
                .iter()
                .all(|record| record["partition"] == of_key[0]["partition"])
        );
        assert!(
            of_key.is_sorted_by_key(|record| record["value"]["total"].as_i64()),
            "in order"
        );
        assert_eq!(header(of_key[0], "ce_type"), Some("order.created"));
        assert_eq!(header(of_key[0], "ce_source"), Some("longshore-cli"));
        assert_eq!(header(of_key[0], "ce_subject"), Some(&*key));
        assert_eq!(
            header(of_key[0], "correlation-id"),
            header(of_key[0], "ce_id")
        );
        assert_eq!(header(of_key[0], "content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn every_bad_line_is_told_with_its_number_and_nothing_is_sent() {
    let shop = Shop::with_topics().await;
    let input = concat!(
        "{\"orderId\":\"o-1\",\"total\":1}\n",
        "{\"orderId\":\"o-2\",\"total\":\"x\"}\n",
        "\n",
        "{\"orderId\":\n",
        "{\"orderId\":\"o-3\",\"total\":3}\n",
        "{\"total\":4}\n",
    );

    let run = shop
        .run_with(
            &["produce", "order.created", "--file", "-"],
            input.as_bytes(),
        )
        .await;

    let error = run.failed();
    for expected in [
        "standard input:2: /total: ",
        "standard input:4: no JSON",
        "standard input:6: ",
    ] {
        assert!(error.contains(expected), "{expected} in {error}");
    }
    assert!(
        !error.contains("input:1:") && !error.contains("input:5:"),
        "{error}"
    );
    assert!(error.contains("nothing was sent: 3 of 5 lines"), "{error}");
    assert_eq!(shop.run(&TAIL).await.done(), "");
}

#[tokio::test]
async fn sending_again_gives_the_same_ids_only_if_they_come_from_a_field() {
    let shop = Shop::with_topics().await;
    let file = shop.write("orders.jsonl", "{\"orderId\":\"o-1\",\"total\":1}\n");
    let produce = ["produce", "order.created", "--file", &file];
    for _ in 0..2 {
        shop.run(&produce).await.done();
        shop.run(&[&produce[..], &["--id-field", "orderId"]].concat())
            .await
            .done();
    }

    let records = shop.run(&TAIL).await.json();

    let ids: Vec<_> = records
        .iter()
        .map(|record| header(record, "ce_id"))
        .collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[1], ids[3]);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 3);
}

#[tokio::test]
async fn headers_and_the_count_are_the_users() {
    let shop = Shop::with_topics().await;
    let input = "{\"orderId\":\"o-1\",\"total\":1}\n".repeat(5);
    let arguments = [
        "produce",
        "order.created",
        "--file",
        "-",
        "--count",
        "3",
        "--header",
        "ce_id=mine",
        "-H",
        "extra=a=b",
    ];

    let summary = shop.run_with(&arguments, input.as_bytes()).await.done();

    assert!(
        summary.starts_with("order.created: 3 sent, 3 acked in "),
        "{summary}"
    );
    let records = shop.run(&TAIL).await.json();
    assert_eq!(records.len(), 3);
    assert_eq!(header(&records[0], "ce_id"), Some("mine"));
    assert_eq!(header(&records[0], "correlation-id"), Some("mine"));
    assert_eq!(header(&records[0], "extra"), Some("a=b"));
}

#[tokio::test]
async fn an_unknown_topic_is_an_error_that_names_the_way_to_create_it() {
    let shop = Shop::open().await;
    let arguments = ["produce", "order.created", "--file", "-"];

    let error = shop
        .run_with(&arguments, b"{\"orderId\":\"o-1\",\"total\":1}")
        .await
        .failed();

    assert!(
        error.contains("topic order.created does not exist"),
        "{error}"
    );
    assert!(error.contains("longshore topics apply"), "{error}");
}

#[tokio::test]
async fn a_topic_without_a_file_takes_any_json_and_a_note_says_so() {
    let shop = Shop::with_topics().await;
    let arguments = [
        "produce",
        "order.created.dlq",
        "--file",
        "-",
        "--key-field",
        "id",
    ];

    let run = shop.run_with(&arguments, b"{\"id\":7}\n").await;

    assert!(run.stderr.contains("unchecked"), "{run:?}");
    run.done();
    let tail = [
        "tail",
        "order.created.dlq",
        "--from",
        "beginning",
        "--exit",
        "--json",
    ];
    assert_eq!(shop.run(&tail).await.json()[0]["key"], "7");
    let error = shop.run_with(&arguments, b"no json\n").await.failed();
    assert!(error.contains("standard input:1: no JSON"), "{error}");
}

#[tokio::test]
async fn a_rate_is_kept() {
    let shop = Shop::with_topics().await;
    let input = "{\"orderId\":\"o-1\",\"total\":1}\n".repeat(21);
    let arguments = [
        "produce",
        "order.created",
        "--file",
        "-",
        "--rate",
        "20/s",
        "--json",
    ];

    let summary = shop.run_with(&arguments, input.as_bytes()).await.json();

    assert_eq!(summary[0]["acked"], 21);
    // The last of 21 records is due after 20/20 s.
    assert!(
        summary[0]["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds >= 1.0),
        "{summary:?}"
    );
}

#[tokio::test]
async fn a_record_that_the_broker_refuses_is_told_with_its_line() {
    let shop = Shop::open().await;
    shop.write(
        "topics/order.created.toml",
        "name = \"order.created\"\npartitions = 1\nkey = \"orderId\"\nmax_message_bytes = 1000\n",
    );
    shop.run(&["topics", "apply"]).await.done();
    // Twice the limit even when compressed.
    let incompressible: String = (0..100).map(|_| uuid::Uuid::new_v4().to_string()).collect();
    let input = format!(
        "{{\"orderId\":\"a\"}}\n{{\"orderId\":\"b\",\"x\":\"{}\"}}\n",
        incompressible
    );

    let run = shop
        .run_with(
            &["produce", "order.created", "--file", "-"],
            input.as_bytes(),
        )
        .await;

    assert!(run.stdout.contains("2 sent, 1 acked"), "{run:?}");
    let error = run.failed();
    assert!(
        error.contains("standard input:2: ") && error.contains("max.message.bytes"),
        "{error}"
    );
    assert!(
        error.contains("1 of 2 records were not confirmed"),
        "{error}"
    );
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let shop = Shop::with_topics().await;
    let error = shop
        .run(&["produce", "order.created", "--file", "none.jsonl"])
        .await
        .failed();
    assert!(error.contains("cannot read none.jsonl"), "{error}");
}
