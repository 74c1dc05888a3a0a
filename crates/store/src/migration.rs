//! Tables and their versions. The runtime and the application each count their own.

use std::collections::{HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use sqlx::{AssertSqlSafe, Row as _, Transaction};

use crate::OpenError;
use crate::postgres::quoted;
use crate::store::Inner;
use crate::tables::RUNTIME;

/// One step of the tables of one module. What has been released is never changed; a later step follows it.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Whose tables: each module counts its own versions.
    pub module: &'static str,
    /// Counted upwards from 1.
    pub version: i64,
    /// What it does, in a few words.
    pub name: &'static str,
    /// One or more statements in the SQL that SQLite and PostgreSQL share.
    pub sql: &'static str,
}

/// The one lock that all instances of all groups in a database take to migrate: `longshor` as a number.
const ADVISORY_LOCK: i64 = 0x6c6f_6e67_7368_6f72;

/// Brings the tables up to date, in one transaction.
pub(crate) async fn migrate(
    store: &Inner,
    schema: Option<&str>,
    application: &[Migration],
) -> Result<(), OpenError> {
    let mut transaction = store.writer.begin().await.map_err(unavailable)?;
    if let Some(schema) = schema {
        enter(&mut transaction, schema)
            .await
            .map_err(|error| wrong(store, error))?;
    }
    let applied = applied(&mut transaction)
        .await
        .map_err(|error| wrong(store, error))?;
    let all: Vec<&Migration> = RUNTIME.iter().chain(application).collect();
    refuse_newer(&applied, &all)?;
    for migration in all {
        if !applied.contains(&(migration.module.to_owned(), migration.version)) {
            run(&mut transaction, migration)
                .await
                .map_err(|source| failed(store, migration, source))?;
        }
    }
    transaction.commit().await.map_err(unavailable)
}

/// Waits for other instances, then makes sure that there is a schema. Creating one needs a privilege even if it is
/// there already, so it is looked for first: an operator may have created it for a user who may not.
async fn enter(transaction: &mut Transaction<'_, sqlx::Any>, schema: &str) -> sqlx::Result<()> {
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(ADVISORY_LOCK)
        .execute(&mut **transaction)
        .await?;
    let found = sqlx::query("select 1 from pg_namespace where nspname = $1")
        .bind(schema)
        .fetch_optional(&mut **transaction)
        .await?;
    if found.is_none() {
        let create = format!("create schema {}", quoted(schema));
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut **transaction)
            .await?;
    }
    Ok(())
}

async fn applied(
    transaction: &mut Transaction<'_, sqlx::Any>,
) -> sqlx::Result<HashSet<(String, i64)>> {
    sqlx::raw_sql(
        "create table if not exists longshore_migrations (
            module text not null,
            version bigint not null,
            name text not null,
            applied_at bigint not null,
            primary key (module, version)
        )",
    )
    .execute(&mut **transaction)
    .await?;
    let rows = sqlx::query("select module, version from longshore_migrations")
        .fetch_all(&mut **transaction)
        .await?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

fn refuse_newer(applied: &HashSet<(String, i64)>, all: &[&Migration]) -> Result<(), OpenError> {
    let mut known: HashMap<&str, i64> = HashMap::new();
    for migration in all {
        let latest = known.entry(migration.module).or_default();
        *latest = migration.version.max(*latest);
    }
    for (module, found) in applied {
        // The tables of a module that is not used this time are nobody's concern.
        if let Some(&known) = known.get(module.as_str())
            && *found > known
        {
            return Err(OpenError::Newer {
                module: module.clone(),
                found: *found,
                known,
            });
        }
    }
    Ok(())
}

async fn run(
    transaction: &mut Transaction<'_, sqlx::Any>,
    migration: &Migration,
) -> sqlx::Result<()> {
    sqlx::raw_sql(migration.sql)
        .execute(&mut **transaction)
        .await?;
    sqlx::query(
        "insert into longshore_migrations (module, version, name, applied_at) values ($1, $2, $3, $4)",
    )
    .bind(migration.module)
    .bind(migration.version)
    .bind(migration.name)
    .bind(now())
    .execute(&mut **transaction)
    .await?;
    Ok(())
}

/// Milliseconds since 1970, UTC. Nothing is decided by it here; it tells an operator when a row was written.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

fn failed(store: &Inner, migration: &Migration, source: sqlx::Error) -> OpenError {
    if !store.database.lies_in_the_statement(&source) {
        return wrong(store, source);
    }
    OpenError::Migration {
        module: migration.module,
        version: migration.version,
        name: migration.name,
        source,
    }
}

fn wrong(store: &Inner, error: sqlx::Error) -> OpenError {
    // Not allowed to create a schema or a table.
    let forbidden = error
        .as_database_error()
        .and_then(|error| error.code())
        .is_some_and(|code| code == "42501");
    if forbidden || store.database.lies_in_the_statement(&error) {
        OpenError::Refused(error)
    } else {
        unavailable(error)
    }
}

fn unavailable(error: sqlx::Error) -> OpenError {
    OpenError::Unavailable(error.into())
}
