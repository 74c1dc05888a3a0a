//! Commands: a transaction that no message causes, its rows numbered in the order of the commits; and the lease of whoever
//! publishes them.

use jiff::Timestamp;
use longshore_event::TopicPartition;
use longshore_worker::{CommandStore, Finished, Lease, OutboxRow, StoreError};
use sqlx::{AnyConnection, Row as _};

use crate::access::run;
use crate::classify::Database;
use crate::column::time;
use crate::commit::{Failed, unavailable};
use crate::{Migration, SqlStore, inbox, outbox};

/// The tables that a store needs to take commands; among the migrations of whoever opens it.
pub const COMMAND_TABLES: Migration = Migration {
    module: "longshore-commands",
    version: 1,
    name: "sequences and leases",
    sql: "
        create table command_sequences (
            source text not null primary key,
            last bigint not null
        );
        create table leases (
            name text not null primary key,
            holder text not null,
            until bigint not null
        );
    ",
};

/// The row stays locked until the commit, so whoever is given a later number has waited for the commit of the earlier one:
/// no reader finds a number and then, later, a smaller one.
const TAKE_SEQUENCES: &str = "insert into command_sequences (source, last) values ($1, $2) \
     on conflict (source) do update set last = command_sequences.last + excluded.last returning last";

const LEASE: &str = "insert into leases (name, holder, until) values ($1, $2, $3) \
     on conflict (name) do update set holder = excluded.holder, until = excluded.until \
     where leases.holder = excluded.holder or leases.until <= $4";

impl CommandStore for SqlStore {
    async fn commit_command(&self, command: &Finished, now: Timestamp) -> Result<(), StoreError> {
        let transaction = self.transaction(async |database, connection| {
            write(database, connection, command, now.as_millisecond()).await
        });
        self.within(transaction).await
    }

    async fn lease(&self, lease: &Lease<'_>, now: Timestamp) -> Result<bool, StoreError> {
        self.within(async {
            let mut connection = self.writing().await?;
            let taken = sqlx::query(LEASE)
                .bind(lease.name)
                .bind(lease.holder)
                .bind(time(lease.until))
                .bind(time(now))
                .execute(&mut *connection)
                .await
                .map_err(unavailable)?;
            Ok(taken.rows_affected() > 0)
        })
        .await
    }

    fn is_shared(&self) -> bool {
        self.inner.database == Database::Postgres
    }
}

/// The claim comes first, so that a copy waits before it has changed anything; the sequence last, since commands of all
/// instances wait for each other from there on.
async fn write(
    database: Database,
    connection: &mut AnyConnection,
    command: &Finished,
    now: i64,
) -> Result<(), StoreError> {
    let failed = |(text, error): Failed| database.text_error(text, error);
    let claimed = inbox::insert(connection, std::slice::from_ref(command), now).await;
    if !claimed.map_err(failed)? {
        return Err(StoreError::Duplicate);
    }
    for statement in &command.writes {
        run(connection, statement)
            .await
            .map_err(|error| database.statement_error(statement, error))?;
    }
    if command.outbox.is_empty() {
        return Ok(());
    }
    let source = &command.position.partition;
    let last = take_sequences(connection, source, command.outbox.len())
        .await
        .map_err(|error| database.text_error(TAKE_SEQUENCES, error))?;
    let mut rows = command.outbox.clone();
    for (row, sequence) in rows.iter_mut().rev().zip((0..=last).rev()) {
        row.sequence = sequence;
    }
    let rows: Vec<&OutboxRow> = rows.iter().collect();
    outbox::insert(database, connection, &rows, now)
        .await
        .map_err(failed)
}

/// The last of `count` sequences that are the caller's.
async fn take_sequences(
    connection: &mut AnyConnection,
    source: &TopicPartition,
    count: usize,
) -> sqlx::Result<i64> {
    sqlx::query(TAKE_SEQUENCES)
        .bind(source.to_string())
        .bind(count as i64)
        .fetch_one(connection)
        .await?
        .try_get(0)
}
