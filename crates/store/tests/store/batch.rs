//! Messages for the tests, and what became of them.

use longshore_event::{Headers, Identity, Offset, OutgoingRecord, Position, TopicPartition};
use longshore_store::SqlStore;
use longshore_worker::{Finished, OutboxRow, Statement, Store, sql};
use uuid::Uuid;

pub(crate) fn identity(id: &str) -> Identity {
    Identity {
        source: "test".into(),
        id: id.into(),
    }
}

pub(crate) fn message(id: &str) -> Finished {
    Finished {
        identity: identity(id),
        position: Position {
            partition: TopicPartition::new("orders", 0),
            offset: Offset(0),
        },
        writes: Vec::new(),
        outbox: Vec::new(),
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
        source: TopicPartition::new("orders", partition),
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

pub(crate) async fn seen(store: &SqlStore, ids: &[&str]) -> Vec<bool> {
    let identities: Vec<Identity> = ids.iter().map(|id| identity(id)).collect();
    let identities: Vec<&Identity> = identities.iter().collect();
    store.seen(&identities).await.expect("asked")
}

pub(crate) async fn sequences(store: &SqlStore) -> Vec<i64> {
    let rows = store.outbox(None, None, 1000).await.expect("read");
    rows.iter().map(|row| row.sequence).collect()
}
