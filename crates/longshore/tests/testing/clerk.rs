//! A worker to try the test kit on: it notes letters in its store and answers them, if its service is up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use longshore::prelude::*;
use longshore::testing::{TestSetup, TestWorker};
use serde::{Deserialize, Serialize};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

#[derive(Serialize, Deserialize)]
pub(crate) struct Letter {
    pub(crate) from: String,
    /// What is to happen begins it: `poison`, `slow`, `wait`, `hang`, `remind`, `forget`.
    pub(crate) text: String,
}

impl Event for Letter {
    const TYPE: &'static str = "letter";

    fn key(&self) -> &str {
        &self.from
    }
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Answer {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Event for Answer {
    const TYPE: &'static str = "answer";

    fn key(&self) -> &str {
        &self.to
    }
}

pub(crate) fn letter(from: &str, text: &str) -> Letter {
    Letter {
        from: from.to_owned(),
        text: text.to_owned(),
    }
}

pub(crate) fn answer(to: &str, text: &str) -> Answer {
    Answer {
        to: to.to_owned(),
        text: text.to_owned(),
    }
}

/// Another company's service.
#[derive(Clone, Default)]
pub(crate) struct Service {
    down: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
}

impl Service {
    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    fn call(&self) -> Result<(), std::io::Error> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        match self.down.load(Ordering::Relaxed) {
            true => Err(std::io::Error::other("the service is down")),
            false => Ok(()),
        }
    }
}

pub(crate) struct Clerk {
    store: SqlStore,
    service: Service,
}

/// Takes SQLite a while; the runtime must not notice.
const SLOW: &str = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 300000) \
     select count(*) from n";

impl Handler for Clerk {
    type Payload = Letter;
    const NAME: &'static str = "clerk";

    async fn handle(
        &self,
        message: &Envelope<Letter>,
        context: &mut Context<'_, Letter>,
    ) -> Result<(), Failure> {
        let Letter { from, text } = message.event();
        match text.split(' ').next() {
            Some("poison") => return Err(Failure::permanent("it is poison")),
            Some("wait") => tokio::time::sleep(Duration::from_secs(1)).await,
            Some("hang") => std::future::pending().await,
            Some("slow") => drop(self.store.fetch(&sql(SLOW)).await?),
            Some("remind") => context
                .publish_after(&answer(from, "remember"), DAY)?
                .named("reminder"),
            Some("forget") => context.cancel("reminder"),
            _ => {}
        }
        self.service.call()?;
        let known = sql("select count(*) from letters where sender = $1").bind(from);
        let known = self.store.fetch_optional(&known).await?;
        let known = known.and_then(|row| row.integer(0)).unwrap_or_default();
        let note = sql("insert into letters (sender, text, at) values ($1, $2, $3)");
        context.write(note.bind(from).bind(text).bind(context.now().to_string()));
        context.publish(&answer(from, &format!("{text}, your letter {}", known + 1)))
    }
}

const TABLES: &[Migration] = &[Migration {
    module: "clerk",
    version: 1,
    name: "letters",
    sql: "create table letters (sender text not null, text text not null, at text not null)",
}];

/// What its `main` would run.
pub(crate) fn clerk(service: &Service) -> WorkerBuilder<Clerk> {
    let service = service.clone();
    let handler = |store: &SqlStore| Clerk {
        store: store.clone(),
        service,
    };
    WorkerBuilder::new("clerk", handler)
        .reads(Letter::TOPIC)
        .publishes(Answer::TOPIC)
        .migrations(TABLES)
}

pub(crate) async fn start() -> (TestWorker, Service) {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(
    args: impl FnOnce(&mut longshore::WorkerArgs),
) -> (TestWorker, Service) {
    let service = Service::default();
    let described = {
        let service = service.clone();
        move || clerk(&service)
    };
    let worker = TestSetup::new(described).args(args).start().await;
    (worker, service)
}

/// Answers with answers: a worker without a store.
pub(crate) struct Echo;

impl Handler for Echo {
    type Payload = Letter;
    const NAME: &'static str = "echo";

    async fn handle(
        &self,
        message: &Envelope<Letter>,
        context: &mut Context<'_, Letter>,
    ) -> Result<(), Failure> {
        let Letter { from, text } = message.event();
        context.publish(&answer(from, text))
    }
}

pub(crate) fn echo() -> WorkerBuilder<Echo> {
    WorkerBuilder::plain("echo", Echo)
        .reads(Letter::TOPIC)
        .publishes(Answer::TOPIC)
}
