//! What a worker says of itself while it runs: for readiness checks and for people.

use longshore_event::TopicPartition;
use tokio::sync::watch;
use tracing::{error, info};

/// A worker's state at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The partitions that are this worker's.
    pub assigned: Vec<TopicPartition>,
    /// Why the broker cannot be reached, if it cannot.
    pub broker_unavailable: Option<String>,
    /// Why effects cannot be committed, if they cannot.
    pub commits_unavailable: Option<String>,
    /// Whether the worker is leaving.
    pub stopping: bool,
}

impl Status {
    /// Whether messages are being processed: partitions assigned, nothing out of reach, not leaving.
    pub fn ready(&self) -> bool {
        !self.assigned.is_empty()
            && self.broker_unavailable.is_none()
            && self.commits_unavailable.is_none()
            && !self.stopping
    }
}

/// Where the parts of a worker write its status. Watchers are woken by changes alone.
#[derive(Clone, Debug)]
pub(crate) struct StatusBoard(watch::Sender<Status>);

impl StatusBoard {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(Status::default()))
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Status> {
        self.0.subscribe()
    }

    pub(crate) fn now(&self) -> Status {
        self.0.borrow().clone()
    }

    pub(crate) fn assigned(&self, partitions: Vec<TopicPartition>) {
        self.0
            .send_if_modified(|status| replace(&mut status.assigned, partitions));
    }

    pub(crate) fn broker(&self, unavailable: Option<String>) {
        self.0
            .send_if_modified(|status| replace(&mut status.broker_unavailable, unavailable));
    }

    /// The commit target cannot be reached. Logged once an outage, however many parts of the worker notice.
    pub(crate) fn commits_failed(&self, reason: &str) {
        let mut began = false;
        self.0.send_if_modified(|status| {
            began = status.commits_unavailable.is_none();
            replace(&mut status.commits_unavailable, Some(reason.to_owned()))
        });
        if began {
            error!(
                reason,
                "commit target unavailable; work waits and is retried for ever"
            );
        }
    }

    /// The commit target answers.
    pub(crate) fn commits_recovered(&self) {
        let ended = self
            .0
            .send_if_modified(|status| replace(&mut status.commits_unavailable, None));
        if ended {
            info!("commit target available again");
        }
    }

    pub(crate) fn stopping(&self) {
        self.0
            .send_if_modified(|status| replace(&mut status.stopping, true));
    }
}

fn replace<T: PartialEq>(place: &mut T, value: T) -> bool {
    let changed = *place != value;
    *place = value;
    changed
}
