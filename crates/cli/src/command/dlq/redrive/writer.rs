//! The one writer of a group's redrive topic: what stands there once it has begun is all that other runs ever write.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::bail;
use longshore_event::{OutgoingRecord, redrive_topic};
use longshore_kafka::{Admin, KafkaError, NotPublished, TransactionalPublisher};

use super::Job;
use crate::command::dlq::settled::Settled;

/// What this does to a group, in the transactional id that its runs share.
const PURPOSE: &str = "redrive";
/// How long a transaction may take before the brokers abort it. One that a killed run left open holds the readers of the
/// redrive topic up for as long, unless another run begins.
pub(super) const TRANSACTION: Duration = Duration::from_secs(30);
/// How long transactions of others in the redrive topic are waited for, which hide what stands behind them.
const OTHERS: Duration = Duration::from_secs(60);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(200);

/// A transactional producer for the redrive topic of one group.
pub(super) struct Writer<'a> {
    job: &'a Job<'a>,
    admin: Admin,
    publisher: TransactionalPublisher,
}

impl<'a> Writer<'a> {
    /// Begins: any other run for the group is fenced, and what one left open is ended.
    pub(super) async fn begin(job: &'a Job<'a>) -> anyhow::Result<Self> {
        let connection = job.global.connection();
        let writer = Self {
            job,
            admin: Admin::connect(&connection)?,
            publisher: TransactionalPublisher::new(&connection, &job.group, PURPOSE, TRANSACTION)?,
        };
        // What a run of another host left open may take a while to end.
        let deadline = Instant::now() + TRANSACTION;
        loop {
            match writer.publisher.begin().await {
                Err(KafkaError::NoAnswer { .. }) if Instant::now() < deadline => {}
                begun => break begun?,
            }
        }
        writer.decided().await?;
        Ok(writer)
    }

    /// Begins again, and finds what stands in the topic now.
    ///
    /// # Errors
    /// [`KafkaError::NoAnswer`] when it may be tried again.
    pub(super) async fn begin_again(&self) -> anyhow::Result<Settled> {
        self.publisher.begin().await?;
        self.decided().await?;
        Ok(self.settled().await?)
    }

    /// What stands in the topic.
    pub(super) async fn settled(&self) -> Result<Settled, KafkaError> {
        Settled::silently(self.job.global, &self.job.topic, &self.job.group).await
    }

    /// Writes all records, or none.
    pub(super) async fn write(&self, records: Vec<OutgoingRecord>) -> Result<(), NotPublished> {
        self.publisher.publish(records).await
    }

    /// Aborts what is being written, unless it is about to be committed. Nothing more is written.
    pub(super) fn give_up(&self) {
        self.publisher.give_up();
    }

    /// Waits until readers get to the end of the topic. Other runs have no transaction open any more, but whoever else may
    /// write to the topic might: what our runs have committed behind such a one would not be seen.
    async fn decided(&self) -> anyhow::Result<()> {
        let topic = redrive_topic(&self.job.group);
        let written = self.admin.high_watermarks(&topic).await?;
        let written: BTreeMap<_, _> = written.into_iter().collect();
        let deadline = Instant::now() + OTHERS;
        loop {
            let mut bounds = self.admin.offsets(&topic).await?;
            bounds.retain(|bounds| {
                let written = written.get(&bounds.partition);
                written.is_some_and(|written| bounds.end < *written)
            });
            let Some(open) = bounds.first() else {
                return Ok(());
            };
            if Instant::now() > deadline {
                bail!(
                    "what stands in {} behind offset {} is not known, because a transaction is open there that no redrive began; end the program that did",
                    open.partition,
                    open.end.0
                );
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
