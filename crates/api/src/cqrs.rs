//! Commands and queries: each a type with its answer and its error, each with one handler that the compiler finds.

use std::time::Instant;

use longshore_worker::Origin;

use crate::Metrics;

/// The wish that something be changed.
pub trait Command: Send + 'static {
    /// What its sender learns.
    type Output: Send;
    /// Why it was not done.
    type Error: Send;
    /// The name in metrics.
    const NAME: &'static str;
}

/// Handles one kind of command. A type that lacks an implementation cannot be asked for it: that does not compile.
pub trait Handles<C: Command>: Send + Sync {
    /// Does what is wished, whole or not at all. When the future is dropped, either may have happened.
    ///
    /// # Errors
    /// The command's own.
    fn handle(
        &self,
        command: C,
        origin: &Origin,
    ) -> impl Future<Output = Result<C::Output, C::Error>> + Send;
}

/// The wish to know something. It changes nothing.
pub trait Query: Send + 'static {
    /// The answer.
    type Output: Send;
    /// Why there is none.
    type Error: Send;
    /// The name in metrics.
    const NAME: &'static str;
}

/// Answers one kind of query.
pub trait Answers<Q: Query>: Send + Sync {
    /// Answers.
    ///
    /// # Errors
    /// The query's own.
    fn answer(&self, query: Q) -> impl Future<Output = Result<Q::Output, Q::Error>> + Send;
}

/// Takes commands to their handlers, and counts them.
///
/// ```compile_fail
/// # use longshore_api::{Command, CommandBus, Metrics};
/// # use longshore_worker::Origin;
/// struct Launch;
/// impl Command for Launch {
///     type Output = ();
///     type Error = ();
///     const NAME: &'static str = "launch";
/// }
/// struct NobodyHandlesIt;
/// async fn launch(bus: CommandBus<NobodyHandlesIt>, origin: &Origin) {
///     bus.send(Launch, origin).await;
/// }
/// ```
#[derive(Debug)]
pub struct CommandBus<H> {
    handlers: H,
    metrics: Metrics,
}

impl<H> CommandBus<H> {
    /// A bus to these handlers.
    pub fn new(handlers: H, metrics: Metrics) -> Self {
        Self { handlers, metrics }
    }

    /// The handlers, for who puts them together and takes them apart.
    pub fn handlers(&self) -> &H {
        &self.handlers
    }

    /// Has a command done.
    ///
    /// # Errors
    /// The command's own.
    pub async fn send<C: Command>(&self, command: C, origin: &Origin) -> Result<C::Output, C::Error>
    where
        H: Handles<C>,
    {
        let began = Instant::now();
        let result = self.handlers.handle(command, origin).await;
        self.metrics.command(C::NAME, result.is_ok(), began);
        result
    }
}

/// Takes queries to who answers them, and counts them.
#[derive(Debug)]
pub struct QueryBus<H> {
    handlers: H,
    metrics: Metrics,
}

impl<H> QueryBus<H> {
    /// A bus to these handlers.
    pub fn new(handlers: H, metrics: Metrics) -> Self {
        Self { handlers, metrics }
    }

    /// Has a query answered.
    ///
    /// # Errors
    /// The query's own.
    pub async fn ask<Q: Query>(&self, query: Q) -> Result<Q::Output, Q::Error>
    where
        H: Answers<Q>,
    {
        let began = Instant::now();
        let result = self.handlers.answer(query).await;
        self.metrics.query(Q::NAME, result.is_ok(), began);
        result
    }
}
