//! Plan, apply, list.

use crate::support::{Shop, run};

/// The topics of the broker, listed where there are no topic files.
async fn of_broker(shop: &Shop) -> String {
    let mut list = shop.command(&["topics", "list"]);
    list.current_dir(shop.path("broker"));
    let run = run(list, b"").await;
    assert!(
        run.stderr.contains("There is no directory topics"),
        "{run:?}"
    );
    run.done()
}

#[tokio::test]
async fn an_apply_makes_what_the_plan_says_and_a_second_one_changes_nothing() {
    let shop = Shop::open().await;

    let plan = shop.run(&["topics", "plan"]).await.done();
    assert!(plan.contains("+ order.created\n"), "{plan}");
    assert!(plan.contains("+ order.created.dlq\n"), "{plan}");
    assert!(
        plan.ends_with("Plan: 2 to create, 0 to change, 0 to replace, 0 to delete\n"),
        "{plan}"
    );
    let listed = shop.run(&["topics", "list"]).await.done();
    assert!(listed.contains("missing"), "a plan does nothing: {listed}");

    shop.run(&["topics", "apply"]).await.done();

    let again = shop.run(&["topics", "apply", "--json"]).await.json();
    assert_eq!(again[0]["applied"], 0, "{again:?}");
    let plan = shop.run(&["topics", "plan"]).await.done();
    assert!(plan.starts_with("Nothing to do"), "{plan}");
    let listed = shop.run(&["topics", "list"]).await.done();
    assert_eq!(listed.matches("as its file says").count(), 2, "{listed}");
}

#[tokio::test]
async fn partitions_grow_and_configurations_change_in_place() {
    let shop = Shop::with_topics().await;
    shop.write(
        "topics/order.created.toml",
        "name = \"order.created\"\npartitions = 5\nretention = \"1h\"\n[configs]\n\"segment.bytes\" = 1048576\n[dead_letter]\nenabled = false\n",
    );

    let plan = shop.run(&["topics", "plan"]).await.done();
    assert!(plan.contains("~ partitions = 3 -> 5"), "{plan}");
    assert!(
        plan.contains("~ retention.ms = 604800000 (7d) -> 3600000 (1h)"),
        "{plan}"
    );
    assert!(plan.contains("+ segment.bytes = 1048576"), "{plan}");
    assert!(plan.contains("keys move"), "{plan}");
    shop.run(&["topics", "apply"]).await.done();

    let plan = shop.run(&["topics", "plan"]).await.done();
    assert!(plan.starts_with("Nothing to do"), "{plan}");
    let topics = shop
        .run(&["topics", "list", "--json"])
        .await
        .json()
        .remove(0);
    let orders = topics
        .as_array()
        .expect("a list")
        .iter()
        .find(|t| t["topic"] == "order.created");
    assert_eq!(orders.expect("there")["partitions"], 5);
}

#[tokio::test]
async fn nothing_is_shrunk_or_deleted_unless_that_is_allowed() {
    let shop = Shop::with_topics().await;
    shop.write(
        "topics/order.created.toml",
        "name = \"order.created\"\npartitions = 1\n",
    );

    let refused = shop.run(&["topics", "apply", "--yes"]).await.failed();
    assert!(refused.contains("nothing was changed"), "{refused}");
    assert!(refused.contains("--allow-destructive"), "{refused}");
    let listed = of_broker(&shop).await;
    assert!(listed.contains("order.created      3"), "{listed}");

    shop.run(&["topics", "apply", "--yes", "--allow-destructive"])
        .await
        .done();
    let listed = of_broker(&shop).await;
    assert!(listed.contains("order.created      1"), "{listed}");

    shop.write(
        "topics/order.created.toml",
        "name = \"order.created\"\nstate = \"absent\"\n",
    );
    shop.run(&["topics", "apply"]).await.failed();
    shop.run(&["topics", "apply", "--allow-destructive"])
        .await
        .done();
    let listed = shop.run(&["topics", "list"]).await.done();
    assert!(!listed.contains("order.created"), "{listed}");
}

#[tokio::test]
async fn a_topic_that_no_file_names_is_left_alone() {
    let shop = Shop::with_topics().await;
    shop.write("other/a.toml", "name = \"a\"\npartitions = 1\n");

    shop.run(&[
        "topics",
        "apply",
        "--topics-dir",
        "other",
        "--allow-destructive",
    ])
    .await
    .done();

    let listed = shop
        .run(&["topics", "list", "--topics-dir", "other"])
        .await
        .done();
    assert!(
        listed
            .lines()
            .any(|l| l.starts_with("order.created ") && l.ends_with("no file")),
        "{listed}"
    );
}

#[tokio::test]
async fn a_directory_that_is_named_must_be_there() {
    let shop = Shop::open().await;
    for command in [
        &["topics", "list"][..],
        &["produce", "order.created", "--file", "-"],
        &["dlq", "redrive", "order.created"],
    ] {
        let named = [command, &["--topics-dir", "topisc"]].concat();
        let named = shop.run(&named).await;
        let mut from_environment = shop.command(command);
        from_environment.env("LONGSHORE_TOPICS_DIR", "topisc");
        for run in [named, run(from_environment, b"").await] {
            assert_eq!(run.code, 2, "{run:?}");
            assert!(run.stderr.contains("there is no such directory"), "{run:?}");
        }
    }
}

#[tokio::test]
async fn a_fault_in_a_file_is_told_with_its_line_and_nothing_is_done() {
    let shop = Shop::open().await;
    shop.write(
        "topics/bad.toml",
        "name = \"bad\"\npartitions = 1\nretentoin = \"7d\"\n",
    );

    let error = shop.run(&["topics", "apply"]).await.failed();

    assert!(error.contains("bad.toml:3: "), "{error}");
    let listed = of_broker(&shop).await;
    assert!(!listed.contains("order.created"), "{listed}");
}

#[tokio::test]
async fn a_configuration_that_the_broker_does_not_take_is_told_with_its_topic() {
    let shop = Shop::open().await;
    shop.write(
        "topics/order.created.toml",
        "name = \"order.created\"\npartitions = 1\n[configs]\n\"retention.byts\" = 1\n",
    );

    let error = shop.run(&["topics", "apply"]).await.failed();

    assert!(error.contains("cannot change order.created"), "{error}");
    assert!(error.contains("retention.byts"), "{error}");
}
