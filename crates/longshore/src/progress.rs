//! How far the group was before this worker, which tells of its own commits alone.

use std::sync::OnceLock;
use std::time::Duration;

use longshore_event::TopicPartition;
use longshore_kafka::{Admin, Connection};
use longshore_worker::Report;
use tracing::debug;

/// Time for the brokers to say it: shorter than the time-outs of those who ask for the status.
const ANSWER: Duration = Duration::from_secs(2);

/// Asks the brokers what the group has committed, when somebody asks for the status and the worker does not know.
#[derive(Debug)]
pub(crate) struct Progress {
    connection: Connection,
    /// Connected when it is first needed.
    admin: OnceLock<Admin>,
}

impl Progress {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            admin: OnceLock::new(),
        }
    }

    /// Puts into the report what the group has committed of partitions of which the worker has committed nothing yet.
    /// What the brokers do not say in time stays unknown.
    pub(crate) async fn complete(&self, report: &mut Report) {
        let mut unknown = report
            .partitions
            .iter()
            .filter(|one| one.committed.is_none());
        if unknown.next().is_none() || report.broker_unavailable.is_some() {
            return;
        }
        let Some(admin) = self.admin() else { return };
        let asked = tokio::time::timeout(ANSWER, admin.committed_offsets(&report.group)).await;
        let Ok(Ok(committed)) = asked else {
            debug!(
                ?asked,
                "the brokers do not tell what the group has committed"
            );
            return;
        };
        for one in &mut report.partitions {
            let partition = TopicPartition::new(one.topic.as_str(), one.partition);
            let before = committed.get(&partition).map(|next| next.0);
            one.committed = one.committed.or(before);
        }
    }

    fn admin(&self) -> Option<&Admin> {
        if self.admin.get().is_none() {
            let admin = Admin::connect(&self.connection);
            // Another request may have been faster; then this one goes.
            self.admin.set(admin.ok()?).ok();
        }
        self.admin.get()
    }
}
