//! Where it begins, what it shows, when it leaves.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};

use crate::support::{Shop, longshore};

const DEADLINE: Duration = Duration::from_secs(30);

async fn produce(shop: &Shop, range: std::ops::Range<u32>) {
    let lines: String = range
        .map(|n| format!("{{\"orderId\":\"o-{n}\",\"total\":{n}}}\n"))
        .collect();
    shop.run_with(
        &["produce", "order.created", "--file", "-"],
        lines.as_bytes(),
    )
    .await
    .done();
}

async fn totals(shop: &Shop, more: &[&str]) -> Vec<i64> {
    let arguments = [&["tail", "order.created", "--exit", "--json"], more].concat();
    let records = shop.run(&arguments).await.json();
    let total = |record: &serde_json::Value| record["value"]["total"].as_i64().expect("a total");
    let mut totals: Vec<i64> = records.iter().map(total).collect();
    totals.sort_unstable();
    totals
}

#[tokio::test]
async fn it_begins_where_it_is_told_and_leaves_at_the_end() {
    let shop = Shop::with_topics().await;
    produce(&shop, 0..30).await;
    let between = jiff::Timestamp::now();
    produce(&shop, 30..33).await;

    assert_eq!(
        totals(&shop, &["--from", "beginning"]).await,
        (0..33).collect::<Vec<_>>()
    );
    assert_eq!(totals(&shop, &["--from", "end"]).await, Vec::<i64>::new());
    assert_eq!(
        totals(&shop, &["--from", &between.to_string()]).await,
        [30, 31, 32]
    );
    assert_eq!(totals(&shop, &["--from", "1h"]).await.len(), 33);
    // The last of each of three partitions.
    assert_eq!(totals(&shop, &["--from", "-1"]).await.len(), 3);
    assert_eq!(totals(&shop, &["--from", "-1000"]).await.len(), 33);
}

#[tokio::test]
async fn a_filter_leaves_what_it_holds_for() {
    let shop = Shop::with_topics().await;
    produce(&shop, 0..20).await;

    let of = async |filters: &[&str]| {
        let filters: Vec<_> = filters
            .iter()
            .flat_map(|filter| ["--filter", filter])
            .collect();
        totals(&shop, &[&["--from", "beginning"], &filters[..]].concat()).await
    };
    assert_eq!(of(&["orderId=o-7"]).await, [7]);
    assert_eq!(
        of(&["key~o-1", "total!=1"]).await,
        (10..20).collect::<Vec<_>>()
    );
    assert_eq!(of(&["header.ce_type=other"]).await, Vec::<i64>::new());
}

#[tokio::test]
async fn text_is_one_line_a_record() {
    let shop = Shop::with_topics().await;
    let arguments = [
        "produce",
        "order.created",
        "--file",
        "-",
        "-H",
        "correlation-id=c-1",
    ];
    shop.run_with(&arguments, b"{\"orderId\":\"o-1\",\"total\":1}\n")
        .await
        .done();

    let text = shop
        .run(&["tail", "order.created", "--from", "beginning", "--exit"])
        .await
        .done();

    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("order.created/"), "{text}");
    assert!(text.contains("@0 2"), "{text}");
    assert!(text.contains(" o-1 id="), "{text}");
    assert!(
        text.ends_with(" correlation=c-1 {\"orderId\":\"o-1\",\"total\":1}\n"),
        "{text}"
    );
}

#[tokio::test]
async fn it_follows_until_it_is_told_to_stop() {
    let shop = Shop::with_topics().await;
    produce(&shop, 0..1).await;
    let mut child = longshore(&["tail", "order.created", "--from", "beginning", "--json"])
        .env("KAFKA_BROKERS", shop.brokers())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut next = async || {
        let line = tokio::time::timeout(DEADLINE, lines.next_line()).await;
        line.expect("a record in time")
            .expect("readable")
            .expect("a line")
    };
    assert!(next().await.contains("o-0"), "what was there");

    produce(&shop, 1..2).await;

    assert!(next().await.contains("o-1"), "what came later");
    let id = child.id().expect("running").to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-INT", &id])
        .status()
        .await;
    assert!(killed.expect("kill").success());
    let status = tokio::time::timeout(DEADLINE, child.wait())
        .await
        .expect("it leaves in time");
    assert_eq!(status.expect("a status").code(), Some(0));
}

#[tokio::test]
async fn an_unknown_topic_is_an_error() {
    let shop = Shop::with_topics().await;
    let error = shop
        .run(&["tail", "order.created", "nowhere"])
        .await
        .failed();
    assert!(error.contains("topic nowhere does not exist"), "{error}");
}
