//! Connections to PostgreSQL: a bounded pool, each connection set to the schema of the consumer group.

use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions, Connection};
use tokio::sync::watch;

use crate::OpenError;
use crate::classify::Database;
use crate::store::Inner;

/// Connections of one instance. One commits, the others serve handlers; PostgreSQL's own default allows 100 in all.
const CONNECTIONS: u32 = 8;

/// Time to wait for a connection, new or free.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is asked whether it still lives before it is used. Asking every time would
/// cost each commit a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// Bytes of a name in PostgreSQL (`NAMEDATALEN` less one).
const MAX_NAME_BYTES: usize = 63;

pub(crate) async fn connect(options: &AnyConnectOptions, schema: &str) -> Result<Inner, OpenError> {
    pooled(options, setup(schema)).await
}

/// The same for somebody who only looks: no statement can write.
pub(crate) async fn inspect(options: &AnyConnectOptions, schema: &str) -> Result<Inner, OpenError> {
    let reading = "set default_transaction_read_only = on";
    pooled(options, format!("{reading}; {}", setup(schema))).await
}

async fn pooled(options: &AnyConnectOptions, setup: String) -> Result<Inner, OpenError> {
    check(options).await?;
    let setup: Arc<str> = setup.into();
    let pool = AnyPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_LIMIT)
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            let setup = setup.clone();
            Box::pin(async move {
                sqlx::raw_sql(AssertSqlSafe(setup))
                    .execute(connection)
                    .await?;
                Ok(())
            })
        })
        .connect_lazy_with(options.clone());
    Ok(Inner {
        database: Database::Postgres,
        writer: pool.clone(),
        reader: pool,
        commits: watch::Sender::new(()),
        _lock: None,
    })
}

/// Connects once outside of the pool, which tries again by itself and then only tells that time ran out.
async fn check(options: &AnyConnectOptions) -> Result<(), OpenError> {
    let connection: AnyConnection = tokio::time::timeout(ACQUIRE_LIMIT, options.connect())
        .await
        .map_err(|elapsed| OpenError::Unavailable(elapsed.into()))?
        .map_err(connect_error)?;
    connection
        .close()
        .await
        .map_err(|error| OpenError::Unavailable(error.into()))
}

fn connect_error(error: sqlx::Error) -> OpenError {
    let wrong = match &error {
        // Wrong password, no such database, not allowed.
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("28") || code == "3D000" || code == "42501"),
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => true,
        _ => false,
    };
    if wrong {
        OpenError::Refused(error)
    } else {
        OpenError::Unavailable(error.into())
    }
}

/// What every connection runs first.
///
/// - A lock that somebody else holds, or an instance that froze within a transaction, must not stop the others for
///   ever: they get an error and try again.
/// - An acknowledged commit must survive a power failure even if the server's default is otherwise, since the offset
///   of its message is committed to Kafka next. A stricter default is left as it is.
fn setup(schema: &str) -> String {
    format!(
        "set search_path to {}; \
         set lock_timeout = '10s'; \
         set statement_timeout = '30s'; \
         set idle_in_transaction_session_timeout = '60s'; \
         select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'",
        quoted(schema)
    )
}

/// A name as an identifier.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The schema of a consumer group: the group's own name where it can be one, otherwise what is left of it and a hash,
/// so that no two groups meet in one schema.
pub(crate) fn schema_name(group: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let reserved =
        group.starts_with("pg_") || matches!(group, "" | "public" | "information_schema");
    if !reserved && group.len() <= MAX_NAME_BYTES && group.chars().all(plain) {
        return group.to_owned();
    }
    let hash = format!("_{:016x}", fnv1a(group.as_bytes()));
    let kept = group.chars().map(|c| if plain(c) { c } else { '_' });
    // A prefix, because PostgreSQL reserves what begins with `pg_`.
    let name: String = "group_"
        .chars()
        .chain(kept)
        .take(MAX_NAME_BYTES - hash.len())
        .collect();
    name + &hash
}

/// 64-bit FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same in every version of this program, which the
/// standard library's hasher does not promise.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_group_is_its_own_schema() {
        assert_eq!(schema_name("order-created"), "order-created");
        assert_eq!(schema_name("Shop.v2_x"), "Shop.v2_x");
    }

    #[test]
    fn no_two_groups_share_a_schema() {
        let long = "x".repeat(200);
        let longer = "x".repeat(201);
        let groups = [
            "a b", "a_b", "a/b", "ä", "public", "pg_x", "", &long, &longer, "a\"b",
        ];
        let mut names: Vec<String> = groups.iter().map(|group| schema_name(group)).collect();
        assert!(
            names
                .iter()
                .all(|name| name.len() <= MAX_NAME_BYTES && name.is_ascii())
        );
        assert!(
            names
                .iter()
                .all(|name| !name.starts_with("pg_") && name != "public")
        );
        names.sort();
        names.dedup();
        assert_eq!(names.len(), groups.len());
    }
}
