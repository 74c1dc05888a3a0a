//! Messages for the tests, and what became of them.

use jiff::Timestamp;
use longshore_event::{Headers, Identity, Offset, OutgoingRecord, Position, TopicPartition};
use longshore_store::SqlStore;
use longshore_worker::{
    Claim, Commit, Fence, Finished, OutboxRow, Statement, Store, StoreError, sql,
};
use uuid::Uuid;

/// Commits, for facts that are not about fences or times.
pub(crate) trait CommitNow: Store {
    async fn commit_now(&self, messages: &[Finished]) -> Result<(), StoreError> {
        self.commit_at(1_000, messages).await
    }

    async fn commit_at(&self, second: i64, messages: &[Finished]) -> Result<(), StoreError> {
        self.commit_fenced(&[], second, messages).await
    }

    async fn commit_fenced(
        &self,
        fences: &[Fence],
        second: i64,
        messages: &[Finished],
    ) -> Result<(), StoreError> {
        let commit = Commit {
            fences,
            now: at(second),
            messages,
        };
        self.commit(&commit).await
    }
}

impl<S: Store> CommitNow for S {}

/// A time, in seconds.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("in range")
}

pub(crate) fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new("orders", partition)
}

pub(crate) fn position(partition: i32, offset: i64) -> Position {
    Position {
        partition: orders(partition),
        offset: Offset(offset),
    }
}

pub(crate) fn identity(id: &str) -> Identity {
    Identity {
        source: "test".into(),
        id: id.into(),
    }
}

pub(crate) fn message(id: &str) -> Finished {
    Finished {
        identity: identity(id),
        position: position(0, 0),
        key: None,
        claim: Claim::Inbox,
        writes: Vec::new(),
        outbox: Vec::new(),
        timers: Vec::new(),
        parked: None,
        releases: None,
        keeps: None,
    }
}

pub(crate) fn writing(id: &str, write: Statement) -> Finished {
    Finished {
        writes: vec![write],
        ..message(id)
    }
}

/// Counts one up.
pub(crate) fn count(name: &'static str) -> Statement {
    sql("insert into counter (name, count) values ($1, 1) on conflict (name) do update set count = counter.count + 1")
        .bind(name)
}

pub(crate) async fn counted(store: &SqlStore, name: &'static str) -> i64 {
    let read = sql("select count from counter where name = $1").bind(name);
    let row = store.fetch_optional(&read).await.expect("read");
    row.map_or(0, |row| row.integer(0).expect("not null"))
}

pub(crate) fn outgoing(sequence: i64, partition: i32) -> OutboxRow {
    let mut headers = Headers::new();
    headers.push_str("ce_id", &sequence.to_string());
    OutboxRow {
        id: Uuid::new_v4(),
        sequence,
        source: orders(partition),
        record: OutgoingRecord {
            topic: "order.paid".into(),
            key: Some("o-1".into()),
            value: Some("{}".into()),
            headers,
        },
    }
}

pub(crate) fn sending(id: &str, outbox: Vec<OutboxRow>) -> Finished {
    Finished {
        outbox,
        ..message(id)
    }
}

pub(crate) async fn seen(store: &impl Store, ids: &[&str]) -> Vec<bool> {
    let identities: Vec<Identity> = ids.iter().map(|id| identity(id)).collect();
    let identities: Vec<&Identity> = identities.iter().collect();
    store.seen(&identities).await.expect("asked")
}

pub(crate) async fn sequences(store: &impl Store) -> Vec<i64> {
    let rows = store.outbox(None, None, 1000).await.expect("read");
    rows.iter().map(|row| row.sequence).collect()
}
