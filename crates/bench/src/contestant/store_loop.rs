//! A loop by hand that promises what the `store` strategy promises: inbox, write and outbox of a poll in one
//! transaction, then the outbox is published and cleared, then the offsets are committed.

use anyhow::Context;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, AssertSqlSafe};

use super::Task;
use super::loops::{acknowledged, clients, poll, produce};
use crate::note::{COUNT, Echo, Note, TABLE};

pub(super) async fn run(task: Task) -> anyhow::Result<()> {
    let pool = open(&task).await?;
    let (consumer, producer) = clients(&task)?;
    loop {
        let batch = tokio::task::block_in_place(|| poll(&consumer))?;
        if batch.is_empty() {
            continue;
        }
        let fresh = handle(&pool, batch).await?;
        tokio::task::block_in_place(|| -> anyhow::Result<()> {
            for (id, echo) in &fresh {
                produce(&producer, &task.output, echo, id)?;
            }
            acknowledged(&producer);
            Ok(())
        })?;
        clear(&pool, &fresh).await?;
        consumer.commit_consumer_state(CommitMode::Async)?;
    }
}

async fn open(task: &Task) -> anyhow::Result<AnyPool> {
    sqlx::any::install_default_drivers();
    let (url, first) = match task.store.strip_prefix("sqlite:") {
        Some(path) => (
            format!("sqlite:{path}-by-hand?mode=rwc"),
            "pragma journal_mode = wal; pragma synchronous = full".to_owned(),
        ),
        None => {
            let schema = task.group.replace('-', "_") + "_by_hand";
            let create =
                format!("create schema if not exists {schema}; set search_path to {schema}");
            (task.store.clone(), create)
        }
    };
    let options: AnyConnectOptions = url.parse()?;
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .connect_with(options)
        .await?;
    for statement in first.split(';').chain([
        TABLE,
        "create table inbox (source text not null, id text not null, primary key (source, id))",
        "create table outbox (id text not null primary key, topic text not null, key text not null, value text not null)",
    ]) {
        sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&pool).await?;
    }
    Ok(pool)
}

/// One transaction for a poll: the messages that are new, each with its write and its outbox row.
async fn handle(pool: &AnyPool, batch: Vec<OwnedMessage>) -> anyhow::Result<Vec<(String, Echo)>> {
    let mut fresh = Vec::with_capacity(batch.len());
    let mut transaction = pool.begin().await?;
    for message in &batch {
        let headers = message.headers().context("headers")?;
        let id = headers
            .iter()
            .find(|header| header.key == "ce_id")
            .and_then(|header| header.value)
            .context("ce_id")?;
        let id = std::str::from_utf8(id)?.to_owned();
        let seen = sqlx::query(
            "insert into inbox (source, id) values ('bench', $1) on conflict do nothing",
        )
        .bind(&id)
        .execute(&mut *transaction)
        .await?;
        if seen.rows_affected() == 0 {
            continue;
        }
        let note: Note = serde_json::from_slice(message.payload().unwrap_or_default())?;
        sqlx::query(COUNT)
            .bind(&note.key)
            .execute(&mut *transaction)
            .await?;
        let echo = Echo::from(&note);
        sqlx::query("insert into outbox (id, topic, key, value) values ($1, 'bench.echo', $2, $3)")
            .bind(&id)
            .bind(&echo.key)
            .bind(serde_json::to_string(&echo)?)
            .execute(&mut *transaction)
            .await?;
        fresh.push((id, echo));
    }
    transaction.commit().await?;
    Ok(fresh)
}

async fn clear(pool: &AnyPool, published: &[(String, Echo)]) -> anyhow::Result<()> {
    let mut transaction = pool.begin().await?;
    for (id, _) in published {
        sqlx::query("delete from outbox where id = $1")
            .bind(id)
            .execute(&mut *transaction)
            .await?;
    }
    Ok(transaction.commit().await?)
}
