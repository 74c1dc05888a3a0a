//! Reading the outbox, page by page.

use std::sync::Arc;

use longshore_event::TopicPartition;
use tokio::sync::oneshot;

use crate::backoff::Backoff;
use crate::{OutboxRow, Store, StoreError};

/// Rows in one page.
pub(super) const PAGE: usize = 500;

/// What is to be read, and how far it is.
pub(super) struct Load {
    pub(super) partitions: Vec<TopicPartition>,
    pub(super) after: Option<i64>,
    /// Whose rows were left in the store, and are behind each other again when this has ended.
    pub(super) reloads: Option<Arc<str>>,
    pub(super) backoff: Option<Backoff>,
    /// Told of success and of failure; a load that nobody waits for is tried again.
    pub(super) done: Option<oneshot::Sender<Result<Option<i64>, StoreError>>>,
}

/// A page that was read, or could not be.
pub(super) struct Page {
    pub(super) load: Load,
    pub(super) rows: Result<Vec<OutboxRow>, StoreError>,
}

impl Load {
    /// Reads the next page.
    pub(super) async fn read(mut self, store: Arc<impl Store>) -> Page {
        if let Some(backoff) = &mut self.backoff {
            backoff.wait().await;
        }
        let rows = store.outbox(Some(&self.partitions), self.after, PAGE).await;
        Page { load: self, rows }
    }
}
