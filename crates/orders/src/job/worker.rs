//! The worker of the job queues: takes jobs in, keeps figures for reports, and runs what is due.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore::{Companion, Correlated, WorkerBuilder};
use longshore_event::{DecodeError, Envelope, Event, Payload, Record};
use longshore_jobs::{
    AnyJob, JobCompleted, JobFailed, JobIntake, Jobs, QueueConfig, Queues, Rate, TOPIC_PREFIX,
    router,
};
use longshore_store::Migration;
use longshore_worker::{Context, Failure, Handler};

use crate::job::figures::{self, ReportTable};
use crate::job::mailer::{ConfiguredMailer, MailDirectory, MailerError, Smtp};
use crate::job::{EmailJobs, Mailer, PaymentJobs, ReportJobs};
use crate::{OrderCancelled, OrderCreated, OrderEvent, OrderPaid, OrderServices, sandbox};

/// What is outside of the jobs' worker.
#[derive(Clone, Debug)]
pub struct JobsConfig<M> {
    /// Sends mails.
    pub mailer: M,
    /// Where reports are written.
    pub reports: PathBuf,
}

impl JobsConfig<ConfiguredMailer> {
    /// - `SMTP_URL`: the mail server; without it mails are files in `MAIL_DIR` (`mails`).
    /// - `MAIL_FROM`: the sender (`Longshore <shop@localhost>`).
    /// - `REPORT_DIR`: where reports are written (`reports`).
    ///
    /// # Errors
    /// [`MailerError`] names what is not usable.
    pub fn from_environment() -> Result<Self, MailerError> {
        let variable =
            |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
        let mails = variable("MAIL_DIR", "mails");
        let reports = variable("REPORT_DIR", "reports");
        Self::in_directories(mails, reports)
    }

    /// The same, with the directories given.
    ///
    /// # Errors
    /// [`MailerError`] names what is not usable.
    pub fn in_directories(
        mails: impl Into<PathBuf>,
        reports: impl Into<PathBuf>,
    ) -> Result<Self, MailerError> {
        let from = std::env::var("MAIL_FROM");
        let from = from.unwrap_or_else(|_| "Longshore <shop@localhost>".to_owned());
        let mailer = match std::env::var("SMTP_URL") {
            Ok(url) => ConfiguredMailer::Smtp(Smtp::new(&url, &from)?),
            Err(_) => ConfiguredMailer::Directory(MailDirectory::new(mails, &from)?),
        };
        Ok(Self {
            mailer,
            reports: reports.into(),
        })
    }
}

/// The tables of the jobs' worker.
pub const MIGRATIONS: &[Migration] = &[
    longshore_jobs::MIGRATIONS[0],
    longshore_jobs::MIGRATIONS[1],
    sandbox::TABLES,
    figures::TABLES,
];
const _: () = assert!(
    longshore_jobs::MIGRATIONS.len() == 2,
    "all of them stand above"
);

/// The topics that bring jobs.
const QUEUES: [&str; 3] = ["jobs.email", "jobs.payment", "jobs.report"];

/// Runs mails, payments and reports. Payments are charged by the payment service, or in a sandbox whose ledger is in the
/// worker's own store if it has no address.
pub fn jobs<M: Mailer + Clone>(config: JobsConfig<M>) -> WorkerBuilder<Correlated<JobsHandler>> {
    let mut worker = WorkerBuilder::calling("jobs", |_store, _services| JobsHandler::new())
        .about(
            "Runs mails, payments and reports: by priority, again until they succeed, by the clock",
        )
        .publishes(JobCompleted::TOPIC)
        .publishes(JobFailed::TOPIC)
        .migrations(MIGRATIONS);
    for topic in QUEUES {
        worker = worker.reads(topic).publishes(topic);
    }
    for topic in [OrderCreated::TOPIC, OrderPaid::TOPIC, OrderCancelled::TOPIC] {
        worker = worker.reads(topic);
    }
    worker.beside(move |beside| {
        let services = OrderServices::new(&beside.services, &beside.store);
        let queues = Queues::new()
            .queue(EmailJobs(config.mailer), email_queue())
            .queue(PaymentJobs(services), payment_queue())
            .queue(
                ReportJobs::new(ReportTable::new(beside.store.clone()), config.reports),
                report_queue(),
            );
        let jobs = Jobs::new(
            beside.store,
            Arc::new(queues),
            beside.group,
            beside.clock,
            Some(beside.bell),
        );
        let mut stop = beside.stop;
        let stop = Box::pin(async move { stop.wait().await });
        Companion {
            routes: router(jobs.clone()),
            task: Box::pin(jobs.execute(stop, beside.drain)),
        }
    })
}

/// Mail servers take offence at bursts.
fn email_queue() -> QueueConfig {
    QueueConfig {
        concurrency: 8,
        rate: Some(Rate {
            runs: 100,
            per: Duration::from_secs(1),
        }),
        ..QueueConfig::default()
    }
}

fn payment_queue() -> QueueConfig {
    QueueConfig {
        concurrency: 8,
        ..QueueConfig::default()
    }
}

/// Reports read much: one at a time.
fn report_queue() -> QueueConfig {
    QueueConfig {
        concurrency: 1,
        attempts: 3,
        time_limit: Duration::from_secs(600),
        ..QueueConfig::default()
    }
}

/// Takes in jobs and, for reports, orders.
#[derive(Clone, Debug)]
pub struct JobsHandler {
    intake: JobIntake,
}

/// What the jobs' worker reads.
#[derive(Debug)]
pub enum JobsMessage {
    /// A job of one of the queues.
    Job(AnyJob),
    /// Something that happened to an order.
    Order(OrderEvent),
}

impl Payload for JobsMessage {
    fn decode(record: &Record) -> Result<Self, DecodeError> {
        match record.partition.topic.starts_with(TOPIC_PREFIX) {
            true => AnyJob::decode(record).map(Self::Job),
            false => OrderEvent::decode(record).map(Self::Order),
        }
    }
}

impl Default for JobsHandler {
    fn default() -> Self {
        Self::new()
    }
}

impl JobsHandler {
    /// For the queues of this worker.
    pub fn new() -> Self {
        let defaults = [
            ("email", email_queue()),
            ("payment", payment_queue()),
            ("report", report_queue()),
        ];
        Self {
            intake: JobIntake::new(defaults),
        }
    }
}

impl Handler for JobsHandler {
    type Payload = JobsMessage;
    const NAME: &'static str = "jobs";

    async fn handle(
        &self,
        message: &Envelope<JobsMessage>,
        context: &mut Context<'_, JobsMessage>,
    ) -> Result<(), Failure> {
        match message.event() {
            JobsMessage::Job(job) => self.intake.add(job, message, context),
            JobsMessage::Order(event) => {
                let said_at = message.time().unwrap_or(context.now());
                if let Some(statement) = ReportTable::statement(event, said_at) {
                    context.write(statement);
                }
                Ok(())
            }
        }
    }
}
