//! What the API is made of, apart from where it listens: a test puts other parts in.

use std::sync::Arc;

use longshore_store::SqlStore;
use longshore_worker::{Clock, Outbox, Publisher, Retention};
use prometheus_client::registry::Registry;
use uuid::Uuid;

use crate::command::{Commands, Passwords};
use crate::http::{Health, Server};
use crate::query::Queries;
use crate::{
    AnalyticsWorker, CommandBus, GROUP, Metrics, OrderTable, OrderView, QueryBus, UserCache,
    UserTable,
};

/// The parts.
#[derive(Debug)]
pub struct Parts {
    /// Where commands commit; it was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    pub store: SqlStore,
    /// Where queries about orders read.
    pub view: OrderView,
    /// Users in memory.
    pub cache: Arc<UserCache>,
    /// Who counts orders and revenue.
    pub analytics: AnalyticsWorker,
    /// Where the time comes from.
    pub clock: Clock,
    /// What else is measured in this process.
    pub registries: Vec<Arc<Registry>>,
}

impl Parts {
    /// Puts them together, and starts publishing what is committed.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn assemble(self, publisher: impl Publisher) -> Arc<Server> {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let mut registries = self.registries;
        registries.push(Arc::new(registry));
        let commands = Commands {
            outbox: Outbox::start(
                Arc::new(self.store.clone()),
                publisher,
                GROUP,
                Uuid::new_v4(),
                self.clock.clone(),
                Retention::default(),
            ),
            users: UserTable::new(self.store.clone()),
            cache: self.cache.clone(),
            orders: OrderTable::new(self.store.clone()),
            view: self.view.clone(),
            passwords: Passwords::default(),
            clock: self.clock,
        };
        let queries = Queries {
            users: UserTable::new(self.store.clone()),
            cache: self.cache,
            orders: OrderTable::new(self.store.clone()),
            view: self.view.clone(),
            analytics: self.analytics,
            metrics: metrics.clone(),
        };
        Arc::new(Server {
            commands: CommandBus::new(commands, metrics.clone()),
            queries: QueryBus::new(queries, metrics.clone()),
            health: Health {
                store: self.store,
                view: self.view,
                registries,
            },
            metrics,
        })
    }
}
