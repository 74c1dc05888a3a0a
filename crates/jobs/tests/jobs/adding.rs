//! How jobs get in.

use std::time::Duration;

use longshore_event::Headers;
use longshore_jobs::{JobState, NewJob};

use crate::support::{Act, Place, Site, config, job};

pub(crate) async fn a_job_is_added_once_however_often_its_message_comes(place: &Place) {
    let site = Site::open(place, config()).await;
    let value = serde_json::to_vec(&job("j-1", Act::Succeed)).expect("JSON");
    for offset in [7, 7, 8] {
        site.take_in(offset, value.clone(), Headers::new()).await;
    }
    let _executor = site.start();

    let done = site.until("j-1", JobState::Completed).await;

    assert_eq!(done.attempts_made, 1);
    assert_eq!(
        site.jobs.list(None, None, 10).await.expect("listed").len(),
        1
    );
}

pub(crate) async fn a_job_whose_unique_key_is_taken_is_dropped_and_says_so(place: &Place) {
    let site = Site::open(place, config()).await;
    site.add(&job("first", Act::Succeed).unique("mail-o-1"))
        .await;
    site.add(&job("second", Act::Succeed).unique("mail-o-1"))
        .await;
    site.add(&job("other", Act::Succeed).unique("mail-o-2"))
        .await;

    let second = site.show("second").await.expect("there");
    assert_eq!(second.state, JobState::Duplicate);
    assert_eq!(second.duplicate_of.as_deref(), Some("first"));

    let _executor = site.start();
    site.until("first", JobState::Completed).await;
    site.until("other", JobState::Completed).await;
    site.add(&job("third", Act::Succeed).unique("mail-o-1"))
        .await;
    site.until("third", JobState::Completed).await;
    assert_eq!(site.ran(), ["first", "other", "third"]);
}

pub(crate) async fn a_job_is_added_through_the_topic_of_its_queue(place: &Place) {
    let site = Site::open(place, config()).await;
    let by_hand = job("by-hand", Act::Succeed)
        .priority(3)
        .delay(Duration::from_secs(5));
    let any = serde_json::to_value(&by_hand).expect("JSON");
    let any: NewJob<serde_json::Value> = serde_json::from_value(any).expect("a job");
    site.jobs
        .add("bell", &any, Some("c-1"))
        .await
        .expect("added");
    site.jobs
        .add("bell", &any, Some("c-1"))
        .await
        .expect("added again");

    let records = site.outgoing().await;

    assert_eq!(records.len(), 1, "the same job is the same record");
    let record = &records[0];
    assert_eq!(&*record.topic, "jobs.bell");
    assert_eq!(record.headers.get_str("correlation-id"), Some("c-1"));
    let value = record.value.as_deref().expect("a value").to_vec();
    site.take_in(1, value, record.headers.clone()).await;
    let added = site.show("by-hand").await.expect("there");
    assert_eq!((added.state, added.priority), (JobState::Delayed, 3));
}
