//! What a worker is, apart from where it runs: its name, its topics, its tables and its handler.

use axum::Router;
use longshore_event::Event;
use longshore_services::ServiceClient;
use longshore_store::{Migration, SqlStore};
use longshore_worker::Handler;

use crate::beside::Start;
use crate::{
    Beside, Companion, ConnectedWorker, Correlated, EventBus, Published, RunError, WorkerArgs,
};

/// Describes a worker. [`main`](crate::main) makes a process of it.
///
/// ```no_run
/// # use longshore::prelude::*;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct OrderDelivered { order_id: String }
/// # impl Event for OrderDelivered {
/// #     const TYPE: &'static str = "order.delivered";
/// #     fn key(&self) -> &str { &self.order_id }
/// # }
/// # struct Thanks;
/// # impl Handler for Thanks {
/// #     type Payload = OrderDelivered;
/// #     const NAME: &'static str = "thanks";
/// #     async fn handle(&self, _: &Envelope<OrderDelivered>, _: &mut Context<'_, OrderDelivered>) -> Result<(), Failure> { Ok(()) }
/// # }
/// fn main() -> std::process::ExitCode {
///     longshore::main(WorkerBuilder::new("thanks", |_store| Thanks).reads(OrderDelivered::TOPIC))
/// }
/// ```
pub struct WorkerBuilder<H> {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) version: &'static str,
    pub(crate) reads: Vec<String>,
    pub(crate) publishes: Vec<String>,
    pub(crate) migrations: &'static [Migration],
    pub(crate) routes: Option<Routes>,
    pub(crate) bus: EventBus,
    pub(crate) calls_services: bool,
    pub(crate) strategy: Strategy<H>,
    pub(crate) beside: Option<Start>,
}

/// What makes the worker's own routes of its store.
pub(crate) type Routes = Box<dyn FnOnce(&SqlStore) -> Router + Send>;

/// Makes the handler of its store, and of the services that it calls.
type MakeHandler<H> = Box<dyn FnOnce(&SqlStore, &ServiceClient) -> H + Send>;

/// How effects become true, and with it what the handler is made of.
pub(crate) enum Strategy<H> {
    Store(MakeHandler<H>),
    Plain(H),
    Transaction(H),
}

impl<H: Handler> WorkerBuilder<Correlated<H>> {
    /// As [`WorkerBuilder::new`], for a handler that calls other services: they are where `--help` says, their calls carry
    /// the correlation id and the trace of the message being handled, and `/metrics` and `/status` tell of them.
    pub fn calling(
        name: &'static str,
        handler: impl FnOnce(&SqlStore, &ServiceClient) -> H + Send + 'static,
    ) -> Self {
        let handler = move |store: &_, services: &_| Correlated(handler(store, services));
        Self {
            calls_services: true,
            ..Self::with(name, Strategy::Store(Box::new(handler)))
        }
    }
}

impl<H: Handler> WorkerBuilder<H> {
    /// A worker with a store: a message's statements and follow-on events are one transaction. `handler` is called
    /// once the store is open, within the tokio runtime.
    ///
    /// `name` is also the default of `--group`.
    pub fn new(name: &'static str, handler: impl FnOnce(&SqlStore) -> H + Send + 'static) -> Self {
        let handler = move |store: &_, _: &_| handler(store);
        Self::with(name, Strategy::Store(Box::new(handler)))
    }

    /// A worker without a store: at least once, under the same ids. Its handler may publish, but not write, nor set or
    /// cancel timers: a message for which it does becomes a dead letter.
    pub fn plain(name: &'static str, handler: H) -> Self {
        Self::with(name, Strategy::Plain(handler))
    }

    /// A worker without a store that commits in Kafka transactions: readers of committed records see what a message
    /// publishes exactly once. Its handler may publish, but not write, nor set or cancel timers: a message for which it does
    /// becomes a dead letter. The brokers have to have transactions.
    pub fn transactional(name: &'static str, handler: H) -> Self {
        Self::with(name, Strategy::Transaction(handler))
    }

    fn with(name: &'static str, strategy: Strategy<H>) -> Self {
        Self {
            name,
            about: "",
            version: env!("CARGO_PKG_VERSION"),
            reads: Vec::new(),
            publishes: Vec::new(),
            migrations: &[],
            routes: None,
            bus: EventBus::new(),
            calls_services: false,
            strategy,
            beside: None,
        }
    }

    /// What `--help` says first.
    #[must_use]
    pub fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// What `--version` says, such as `env!("CARGO_PKG_VERSION")`; the version of Longshore by default.
    #[must_use]
    pub fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// A topic it reads; call it once for each. Without the topic the worker does not start.
    #[must_use]
    pub fn reads(mut self, topic: impl Into<String>) -> Self {
        self.reads.push(topic.into());
        self
    }

    /// A topic it publishes to; call it once for each. Without the topic its events wait in the outbox, so the worker
    /// warns at the start.
    #[must_use]
    pub fn publishes(mut self, topic: impl Into<String>) -> Self {
        self.publishes.push(topic.into());
        self
    }

    /// The tables of the handler, made when the store is opened. A handler reads them from the store that
    /// [`new`](Self::new) lends, and writes them through its context:
    ///
    /// ```no_run
    /// # use longshore::prelude::*;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct UserSignedUp { user: String }
    /// # impl Event for UserSignedUp {
    /// #     const TYPE: &'static str = "user.signed-up";
    /// #     fn key(&self) -> &str { &self.user }
    /// # }
    /// const TABLES: &[Migration] = &[Migration {
    ///     module: "greeter",
    ///     version: 1,
    ///     name: "who was greeted",
    ///     sql: "create table greeted (name text primary key, times bigint not null)",
    /// }];
    ///
    /// struct Greeter(SqlStore);
    ///
    /// impl Handler for Greeter {
    ///     type Payload = UserSignedUp;
    ///     const NAME: &'static str = "greeter";
    ///
    ///     async fn handle(&self, message: &Envelope<UserSignedUp>, context: &mut Context<'_, UserSignedUp>) -> Result<(), Failure> {
    ///         let user = &message.event().user;
    ///         let rows = self.0.fetch(&sql("select times from greeted where name = $1").bind(user)).await?;
    ///         let times = rows.first().and_then(|row| row.integer(0));
    ///         context.write(match times {
    ///             None => sql("insert into greeted (name, times) values ($1, 1)").bind(user),
    ///             Some(times) => sql("update greeted set times = $1 where name = $2").bind(times + 1).bind(user),
    ///         });
    ///         Ok(())
    ///     }
    /// }
    ///
    /// fn main() -> std::process::ExitCode {
    ///     let worker = WorkerBuilder::new("greeter", |store| Greeter(store.clone()));
    ///     longshore::main(worker.reads(UserSignedUp::TOPIC).migrations(TABLES))
    /// }
    /// ```
    #[must_use]
    pub fn migrations(mut self, migrations: &'static [Migration]) -> Self {
        self.migrations = migrations;
        self
    }

    /// Further routes of the admin endpoint, for what the worker's tables tell: a SQLite store is nobody's but the worker's.
    /// `routes` is called once the store is open; until then they answer 503. `/healthz`, `/readyz`, `/status` and
    /// `/metrics` stay the runtime's.
    ///
    /// # Panics
    /// If the worker has no store.
    #[must_use]
    pub fn routes(mut self, routes: impl FnOnce(&SqlStore) -> Router + Send + 'static) -> Self {
        assert!(
            matches!(self.strategy, Strategy::Store(_)),
            "{} has no store to make routes of",
            self.name
        );
        self.routes = Some(Box::new(routes));
        self
    }

    /// Tells `listener` every event of a type that this instance publishes, once the brokers have it; call it once for each
    /// listener. See [`EventBus`] for what that promises.
    ///
    /// # Panics
    /// If the worker commits in Kafka transactions: what it publishes is not published before they end.
    #[must_use]
    pub fn on_published<E: Event>(
        mut self,
        listener: impl Fn(&Published<'_, E>) + Send + Sync + 'static,
    ) -> Self {
        assert!(
            !matches!(self.strategy, Strategy::Transaction(_)),
            "{} publishes in Kafka transactions, which no listener is told of",
            self.name
        );
        self.bus = self.bus.on(listener);
        self
    }

    /// Runs something beside the messages in the same process, over the same store, with routes of its own on the admin
    /// port. `start` is called once the store is open, within the tokio runtime.
    ///
    /// # Panics
    /// If the worker has no store.
    #[must_use]
    pub fn beside(mut self, start: impl FnOnce(Beside) -> Companion + Send + 'static) -> Self {
        assert!(
            matches!(self.strategy, Strategy::Store(_)),
            "the worker {} has no store, so nothing can run beside its messages",
            self.name
        );
        self.beside = Some(Box::new(start));
        self
    }

    /// Connects, processes messages until `stop` completes, and drains.
    ///
    /// # Errors
    /// [`RunError`], which knows its exit code.
    pub async fn run(
        self,
        args: &WorkerArgs,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let mut stop = Box::pin(stop);
        let connected: ConnectedWorker<H> = tokio::select! {
            biased;
            () = &mut stop => return Ok(()),
            connected = self.connect(args) => connected?,
        };
        connected.run(stop).await
    }
}

impl<H> std::fmt::Debug for WorkerBuilder<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkerBuilder")
            .field("name", &self.name)
            .field("reads", &self.reads)
            .field("publishes", &self.publishes)
            .finish_non_exhaustive()
    }
}
