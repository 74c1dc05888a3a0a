//! The event bus: what a handler publishes is also told to listeners in the same process, once the log has it.
//!
//! A handler publishes once, with `context.publish(&event)`: the outbox takes the event in with everything else that the
//! message causes, under its key, its correlation id and its time. On its way out the bus logs it and tells it to whoever
//! listens here.
//!
//! # Why listeners come last
//!
//! A listener that was called within the handler would hear of what may never be: the commit can fail, or the process die.
//! One that was called between the commit and the publishing would hear it before every other reader of the log, and not
//! at all after a crash in between. So the bus stands around the publisher, and tells what the brokers have acknowledged.
//! What a crash has left in the outbox is published, and told, by the next owner of its partition; a timer's event is told
//! when it fires. An event is told at least once to some instance of the worker, seldom twice, and nothing is added to what a
//! message costs where nobody listens.
//!
//! What must happen exactly once is no listener's task: it belongs in a handler that reads the event's topic.

use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use longshore_event::{Event, OutgoingRecord, attribute};
use longshore_worker::{PublishError, Publisher};
use tracing::{Level, debug, enabled, error};

/// Tells events to listeners of their types.
#[derive(Default)]
pub struct EventBus {
    /// By topic.
    listeners: HashMap<&'static str, Vec<Listener>>,
}

type Listener = Box<dyn Fn(&OutgoingRecord) + Send + Sync>;

/// An event that the log has.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a, E> {
    event: &'a E,
    record: &'a OutgoingRecord,
}

/// A publisher that tells a bus what it has published.
#[derive(Debug)]
pub struct Announcing<P> {
    publisher: P,
    bus: EventBus,
}

impl<'a, E: Event> Published<'a, E> {
    /// The event itself.
    pub fn event(&self) -> &'a E {
        self.event
    }

    /// What keeps it in order: the id of the aggregate it happened to.
    pub fn key(&self) -> &'a str {
        self.event.key()
    }

    /// Its own id. Told twice, it is the same.
    pub fn id(&self) -> &'a str {
        self.header(attribute::ID).unwrap_or_default()
    }

    /// Shared by all events of one business transaction.
    pub fn correlation_id(&self) -> &'a str {
        let correlation_id = self.header(attribute::CORRELATION_ID);
        correlation_id.unwrap_or_else(|| self.id())
    }

    /// When it happened.
    pub fn time(&self) -> Option<Timestamp> {
        self.header(attribute::TIME)?.parse().ok()
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        self.record.headers.get_str(name)
    }
}

impl EventBus {
    /// A bus that nobody listens to.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells `listener` every event of its type. It is called by the task that publishes, so it has to be quick; what takes
    /// longer it hands on, by a channel for instance. A panic in it is logged.
    #[must_use]
    pub fn on<E: Event>(
        mut self,
        listener: impl Fn(&Published<'_, E>) + Send + Sync + 'static,
    ) -> Self {
        let told = move |record: &OutgoingRecord| {
            let value = record.value.as_deref().unwrap_or_default();
            match serde_json::from_slice::<E>(value) {
                Ok(event) => listener(&Published {
                    event: &event,
                    record,
                }),
                Err(error) => {
                    error!(%error, topic = E::TOPIC, "an event is not told: it is not what its listener reads")
                }
            }
        };
        let listeners = self.listeners.entry(E::TOPIC).or_default();
        listeners.push(Box::new(told));
        self
    }

    /// `publisher`, with this bus around it.
    pub fn around<P: Publisher>(self, publisher: P) -> Announcing<P> {
        Announcing {
            publisher,
            bus: self,
        }
    }

    fn tell(&self, record: &OutgoingRecord) {
        let listeners = self.listeners.get(&*record.topic);
        for listener in listeners.into_iter().flatten() {
            // What a listener keeps is its own; here nothing is left half done.
            if catch_unwind(AssertUnwindSafe(|| listener(record))).is_err() {
                error!(topic = %record.topic, "a listener panicked; the event is published all the same");
            }
        }
    }
}

impl<P: Publisher> Publisher for Announcing<P> {
    async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
        let results = self.publisher.publish(records).await;
        let is_logged = enabled!(Level::DEBUG);
        if self.bus.listeners.is_empty() && !is_logged {
            return results;
        }
        for (record, result) in records.iter().zip(&results) {
            if result.is_ok() {
                if is_logged {
                    log(record);
                }
                self.bus.tell(record);
            }
        }
        results
    }
}

fn log(record: &OutgoingRecord) {
    let key = record.key.as_deref().map(String::from_utf8_lossy);
    let header = |name| record.headers.get_str(name).unwrap_or_default();
    debug!(
        topic = %record.topic,
        key = key.as_deref().unwrap_or_default(),
        id = header(attribute::ID),
        correlation_id = header(attribute::CORRELATION_ID),
        "published"
    );
}

impl fmt::Debug for EventBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics = self.listeners.keys();
        f.debug_list().entries(topics).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use longshore_event::{Identity, encode_new};
    use longshore_worker::PublishErrorKind;
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Rang {
        bell: String,
    }

    impl Event for Rang {
        const TYPE: &'static str = "bell.rang";

        fn key(&self) -> &str {
            &self.bell
        }
    }

    /// Brokers that refuse what is for a topic of this name.
    struct Refusing(&'static str);

    impl Publisher for Refusing {
        async fn publish(&self, records: &[OutgoingRecord]) -> Vec<Result<(), PublishError>> {
            let records = records.iter();
            let refused = |record: &OutgoingRecord| PublishError {
                topic: record.topic.clone(),
                kind: PublishErrorKind::UnknownTopic,
                source: "no such topic".into(),
            };
            records
                .map(|record| match *record.topic == *self.0 {
                    true => Err(refused(record)),
                    false => Ok(()),
                })
                .collect()
        }
    }

    fn rang(bell: &str) -> OutgoingRecord {
        let event = Rang { bell: bell.into() };
        let identity = Identity::fresh("test");
        let time = Timestamp::UNIX_EPOCH;
        encode_new(&event, &identity, Some("c-1"), time).expect("a record")
    }

    /// A bus, and what its listener has heard.
    fn listening() -> (EventBus, Arc<Mutex<Vec<String>>>) {
        let heard: Arc<Mutex<Vec<String>>> = Arc::default();
        let all = heard.clone();
        let bus = EventBus::new().on(move |rang: &Published<'_, Rang>| {
            let time = rang.time().expect("a time");
            let line = format!("{} {} {time}", rang.key(), rang.correlation_id());
            all.lock().expect("whole").push(line);
        });
        (bus, heard)
    }

    #[tokio::test]
    async fn listeners_are_told_what_was_published_of_their_type() {
        let (bus, heard) = listening();
        let mut other = rang("east");
        other.topic = "bell.rang.dlq".into();

        let results = bus
            .around(Refusing(""))
            .publish(&[rang("west"), other])
            .await;

        assert_eq!(results.len(), 2);
        assert_eq!(
            *heard.lock().expect("whole"),
            ["west c-1 1970-01-01T00:00:00Z"]
        );
    }

    #[tokio::test]
    async fn what_was_not_published_is_not_told() {
        let (bus, heard) = listening();

        let results = bus
            .around(Refusing(Rang::TOPIC))
            .publish(&[rang("west")])
            .await;

        assert!(results[0].is_err());
        assert!(heard.lock().expect("whole").is_empty());
    }

    #[tokio::test]
    async fn a_listener_that_panics_harms_nobody() {
        let heard: Arc<Mutex<usize>> = Arc::default();
        let count = heard.clone();
        let bus = EventBus::new()
            .on(|_: &Published<'_, Rang>| panic!("on purpose"))
            .on(move |_: &Published<'_, Rang>| *count.lock().expect("whole") += 1);

        let results = bus
            .around(Refusing(""))
            .publish(&[rang("west"), rang("east")])
            .await;

        assert!(results.iter().all(Result::is_ok));
        assert_eq!(*heard.lock().expect("whole"), 2);
    }
}
