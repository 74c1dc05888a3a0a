//! One batch on its way to a topic.

use std::sync::Arc;
use std::time::Duration;

use longshore_event::OutgoingRecord;
use tokio::time::sleep;

use crate::{OutboxRow, PublishError, Publisher};

/// What the rows of a batch are. A topic may have one batch of each kind under way: timers keep no order with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Outbox,
    Timers,
}

/// A batch to send, after a wait if the last one failed.
pub(super) struct Batch {
    pub(super) kind: Kind,
    pub(super) topic: Arc<str>,
    pub(super) rows: Vec<OutboxRow>,
    pub(super) wait: Option<Duration>,
}

/// A batch that was sent, with its result for each row.
pub(super) struct Sent {
    pub(super) kind: Kind,
    pub(super) topic: Arc<str>,
    pub(super) rows: Vec<OutboxRow>,
    pub(super) results: Vec<Result<(), PublishError>>,
}

/// Sends a batch. The records are lent to the publisher, not copied for it.
pub(super) async fn send<P: Publisher>(publisher: Arc<P>, batch: Batch) -> Sent {
    if let Some(wait) = batch.wait {
        sleep(wait).await;
    }
    let (tags, records): (Vec<_>, Vec<OutgoingRecord>) = batch
        .rows
        .into_iter()
        .map(|row| ((row.id, row.sequence, row.source), row.record))
        .unzip();
    let results = publisher.publish(&records).await;
    let rows = tags
        .into_iter()
        .zip(records)
        .map(|((id, sequence, source), record)| OutboxRow {
            id,
            sequence,
            source,
            record,
        })
        .collect();
    Sent {
        kind: batch.kind,
        topic: batch.topic,
        rows,
        results,
    }
}
