//! The table of a worker's sagas, and its statements: one row a saga, which each recording replaces if it knows the one
//! before.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use longshore_store::{Insertion, Migration};
use longshore_worker::{Statement, sql};

use crate::log::{LogError, Row};
use crate::{Journal, State};

/// The tables of sagas, for [`migrations`](longshore_store::SqlStore::open) of a worker that has some.
///
/// The check is what ends the transaction of a message whose saga somebody else has ended: it fails then. Times are
/// milliseconds since 1970.
pub const TABLES: Migration = Migration {
    module: "saga",
    version: 1,
    name: "sagas",
    sql: "
        create table sagas (
            name text not null,
            id text not null,
            version bigint not null check (version > 0),
            state text not null,
            journal text not null,
            started_at bigint not null,
            changed_at bigint not null,
            primary key (name, id)
        );
        create index sagas_state on sagas (state, started_at);
    ",
};

static RECORDING: LazyLock<Insertion> = LazyLock::new(|| {
    let columns = &[
        ("name", "text"),
        ("id", "text"),
        ("version", "bigint"),
        ("state", "text"),
        ("journal", "text"),
        ("started_at", "bigint"),
        ("changed_at", "bigint"),
    ];
    Insertion::new(
        "sagas",
        columns,
        "on conflict (name, id) do update set version = excluded.version, state = excluded.state, \
         journal = excluded.journal, changed_at = excluded.changed_at \
         where sagas.version = excluded.version - 1 returning name, id",
    )
});

/// Records the rows whose saga is at the version before, or new; returns name and id of those. Of several rows of one
/// saga, the first counts.
pub(crate) fn recording(rows: &[&Row]) -> Statement {
    // One statement may touch a row only once. The rows come in the order of their keys: two instances that lock the same
    // rows then wait for each other and do not deadlock.
    let mut by_key: BTreeMap<(&str, &str), &Row> = BTreeMap::new();
    for row in rows {
        by_key.entry((row.name, &row.id)).or_insert(row);
    }
    RECORDING.of(by_key.into_values(), bind)
}

/// Records the end of a saga in a message's transaction. If another run has recorded since this one did, the check of
/// `version` fails and the transaction with it: a saga ends once.
pub(crate) fn ending(row: &Row) -> Statement {
    let statement = sql(
        "insert into sagas (name, id, version, state, journal, started_at, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         on conflict (name, id) do update set
             version = case when sagas.version = excluded.version - 1 then excluded.version else 0 end,
             state = excluded.state, journal = excluded.journal, changed_at = excluded.changed_at",
    );
    bind(statement, row)
}

/// Says of an unfinished saga that its message is a dead letter. Its next recording says otherwise.
pub(crate) fn sticking(name: &'static str, id: &str, now: Timestamp) -> Statement {
    sql("update sagas set state = 'stuck', changed_at = $3
         where name = $1 and id = $2 and state in ('running', 'compensating')")
    .bind(name)
    .bind(id.to_owned())
    .bind(now.as_millisecond())
}

/// Asks for a saga; [`read`] reads it.
pub(crate) fn one(name: &'static str, id: &str) -> Statement {
    sql("select version, state, journal, started_at, changed_at from sagas where name = $1 and id = $2")
        .bind(name)
        .bind(id.to_owned())
}

pub(crate) fn read(
    name: &'static str,
    id: &str,
    row: &longshore_store::Row,
) -> Result<Row, LogError> {
    let journal: Journal = serde_json::from_str(row.text(2).unwrap_or_default())
        .map_err(|error| LogError::Unreadable(Arc::new(error)))?;
    let state = row.text(1).and_then(State::parse);
    Ok(Row {
        name,
        id: id.to_owned(),
        version: row.integer(0).unwrap_or_default(),
        state: state.unwrap_or_else(|| journal.state()),
        journal,
        started_at: time(row, 3),
        changed_at: time(row, 4),
    })
}

/// A time of a row, which its own program wrote.
pub(crate) fn time(row: &longshore_store::Row, column: usize) -> Timestamp {
    let written = row.integer(column).unwrap_or_default();
    Timestamp::from_millisecond(written).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn bind(statement: Statement, row: &Row) -> Statement {
    // A journal is made of strings, numbers and JSON: it always serialises.
    let journal = serde_json::to_string(&row.journal).expect("a journal is JSON");
    statement
        .bind(row.name)
        .bind(&row.id)
        .bind(row.version)
        .bind(row.state.as_str())
        .bind(journal)
        .bind(row.started_at.as_millisecond())
        .bind(row.changed_at.as_millisecond())
}
