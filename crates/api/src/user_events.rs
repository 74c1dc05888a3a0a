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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::User;
    use jiff::Timestamp;
    use longshore_event::{Identity, encode_new};
    use longshore_kafka::KafkaPublisher;
    use longshore_orders::Role;
    use longshore_testkit::broker::TestBroker;
    use longshore_testkit::wait::eventually;
    use longshore_worker::Publisher;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(flavor = "multi_thread")]
    async fn a_user_that_another_process_has_deleted_is_forgotten() {
        let topics = [UserCreated::TOPIC, UserUpdated::TOPIC, UserDeleted::TOPIC];
        let broker = TestBroker::own(&topics).await;
        broker.create_topics(&topics.map(|topic| (topic, 2))).await;
        let cache = Arc::new(UserCache::default());
        let hearing = forget_changed_users(broker.connection(), cache.clone());
        let hearing = tokio::spawn(hearing);
        let user = User {
            user_id: "u-1".to_owned(),
            email: "a@b".to_owned(),
            name: "Ada".to_owned(),
            role: Role::Customer,
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
        };
        eventually("changes are heard of", LIMIT, async || {
            cache.put(user.clone(), cache.epoch());
            cache.get("u-1").ok_or("not kept")
        })
        .await;

        let deleted = UserDeleted {
            user_id: "u-1".to_owned(),
            deleted_at: Timestamp::now(),
        };
        let identity = Identity::fresh("another");
        let record = encode_new(&deleted, &identity, None, Timestamp::now()).expect("JSON");
        let publisher = KafkaPublisher::connect(&broker.connection()).expect("a producer");
        for result in publisher.publish(&[record]).await {
            result.expect("published");
        }

        eventually("forgotten", LIMIT, async || match cache.get("u-1") {
            None => Ok(()),
            Some(_) => Err("still there"),
        })
        .await;
        hearing.abort();
    }
}
