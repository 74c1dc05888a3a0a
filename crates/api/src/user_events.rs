//! Hears what becomes of users, whichever process has changed them, and has them forgotten.

use std::sync::Arc;
use std::time::Duration;

use longshore_event::{Event, Record};
use longshore_kafka::{Connection, From, KafkaError, Reader, ReaderEvent};
use longshore_orders::{UserCreated, UserDeleted, UserUpdated};
use tokio::time::sleep;
use tracing::warn;

use crate::UserCache;

/// The wait before the brokers are asked again. Until then every user is read from the store.
const AGAIN: Duration = Duration::from_secs(5);

/// Follows the user events for as long as it is polled. Each process hears all of them, so it is in no group, and since its
/// cache starts empty, what happened before does not matter.
pub(crate) async fn forget_changed_users(connection: Connection, cache: Arc<UserCache>) {
    loop {
        let Err(error) = follow(&connection, &cache).await;
        cache.set_open(false);
        warn!(%error, "user events are not heard; users are not cached");
        sleep(AGAIN).await;
    }
}

async fn follow(
    connection: &Connection,
    cache: &UserCache,
) -> Result<std::convert::Infallible, KafkaError> {
    let topics = [UserCreated::TOPIC, UserUpdated::TOPIC, UserDeleted::TOPIC];
    let mut reader = Reader::open(connection, &topics, From::End).await?;
    cache.set_open(true);
    loop {
        if let ReaderEvent::Record(record) = reader.next().await? {
            hear(&record, cache);
        }
    }
}

/// The key alone says whom it is about.
fn hear(record: &Record, cache: &UserCache) {
    if let Some(user_id) = record
        .key
        .as_deref()
        .and_then(|key| str::from_utf8(key).ok())
    {
        cache.forget(user_id);
    }
}
