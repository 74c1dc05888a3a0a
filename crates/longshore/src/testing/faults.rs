//! What a test breaks, and mends again: the store, the brokers, single topics.

use std::sync::atomic::Ordering;

use longshore_worker::PublishErrorKind;

use super::TestWorker;

/// What the worker is told of brokers that a test has taken down.
pub(super) const OUTAGE: &str = "the test has taken the brokers down";

impl TestWorker {
    /// The next `calls` calls of the store fail as in an outage, those of the handler among them.
    ///
    /// # Panics
    /// If the worker has no store; so do the other faults of the store.
    #[track_caller]
    pub fn store_fails(&self, calls: usize) {
        self.has_store_or_panic();
        self.site.gate.fail_calls(calls);
    }

    /// From now on every call of the store fails as in an outage, until [`store_up`](Self::store_up).
    #[track_caller]
    pub fn store_down(&self) {
        self.has_store_or_panic();
        self.site.gate.set_down(true);
    }

    /// Ends [`store_down`](Self::store_down).
    #[track_caller]
    pub fn store_up(&self) {
        self.has_store_or_panic();
        self.site.gate.set_down(false);
    }

    /// The next `commits` commits take effect, but the worker is told that the store is not available: it cannot know.
    #[track_caller]
    pub fn store_loses_answers(&self, commits: usize) {
        self.has_store_or_panic();
        self.site.gate.lose_answers(commits);
    }

    /// From now on nothing can be read, published or committed to the group, until [`brokers_up`](Self::brokers_up).
    pub fn brokers_down(&self) {
        self.site.brokers_down.store(true, Ordering::Relaxed);
        self.site.publisher.unavailable();
        if let Some(instance) = &self.instance {
            instance.control.unavailable(OUTAGE);
        }
    }

    /// Ends [`brokers_down`](Self::brokers_down) and [`brokers_lose_answers`](Self::brokers_lose_answers).
    pub fn brokers_up(&self) {
        self.site.publisher.available();
        if self.site.brokers_down.swap(false, Ordering::Relaxed)
            && let Some(instance) = &self.instance
        {
            instance.control.available();
        }
    }

    /// From now on records are published, but the worker is not told until [`brokers_up`](Self::brokers_up). If it crashes
    /// meanwhile it publishes them again, under the same ids; a worker in transactions does not, for their offsets are
    /// committed with them.
    pub fn brokers_lose_answers(&self) {
        self.site.publisher.lose_acknowledgements();
    }

    /// The next `records` records to be published fail, each once; they are tried again.
    pub fn publishing_fails(&self, records: u64) {
        for record in 1..=records {
            let kind = PublishErrorKind::Unavailable;
            self.site.publisher.fail_record(record, kind);
        }
    }

    /// From now on every record for the topic is refused for this reason, until [`topic_accepts`](Self::topic_accepts). What is
    /// for it waits in the outbox; without one, everything waits.
    pub fn topic_refuses(&self, topic: &str, reason: PublishErrorKind) {
        self.site.publisher.refuse_topic(topic, reason);
    }

    /// Ends [`topic_refuses`](Self::topic_refuses).
    pub fn topic_accepts(&self, topic: &str) {
        self.site.publisher.accept_topic(topic);
    }

    #[track_caller]
    fn has_store_or_panic(&self) {
        let name = self.site.name;
        let has_store = self.instance.as_ref().is_none_or(|one| one.store.is_some());
        assert!(
            has_store,
            "{name} has no store: it is built with `plain` or `transactional`"
        );
    }
}
