//! The HTTP API of the order system: what users ask for, and what they are told.
//!
//! Reading order: [`Command`] and [`Query`] are what can be asked, and [`CommandBus`] and [`QueryBus`] find who does it;
//! `command` holds the commands with their handlers, `query` the queries; `user` and `order` are what the API itself
//! keeps, [`order_view`] is the worker that keeps what queries about orders read, [`AnalyticsWorker`] is asked for sums; `http` turns requests into commands and
//! queries, and answers into JSON; [`Api`] puts it all together.

mod cqrs;
pub use cqrs::{Answers, Command, CommandBus, Handles, Query, QueryBus};

mod fault;
pub use fault::Fault;

pub mod command;

pub mod query;

mod filter;

mod user;
pub use user::{User, UserTable};

mod user_cache;
pub use user_cache::UserCache;

mod user_events;

mod order;
pub use order::{OrderTable, PlacedOrder};

mod view;
pub use view::{Order, OrderStatus, OrderView, OrderViewHandler, TimelineEntry, VIEW_MIGRATIONS};

mod analytics;
pub use analytics::{AnalyticsError, AnalyticsWorker};

mod tables;
pub use tables::MIGRATIONS;

mod metrics;
pub use metrics::Metrics;

pub mod http;

mod arguments;
pub use arguments::ApiArgs;

mod parts;
pub use parts::Parts;

mod compose;
pub use compose::{Api, GROUP, VIEW_GROUP, order_view};
