//! Analytics: how many orders, how much money and how long it took, counted exactly as the events come.
//!
//! Reading order: [`AnalyticsHandler`] turns an event into a `fact`, and the fact into a few statements of `record` that
//! add to the `tables`; [`AnalyticsSummary`], [`AnalyticsHours`] and [`AnalyticsFunnel`] are what can be asked of
//! [`Analytics`]; `routes` answer over HTTP; [`analytics()`] is the worker.
//!
//! # What is counted
//!
//! An event is counted once, since the inbox lets it through once. An *order* is counted once for each kind of event,
//! with the first such event in the log: a second `order.paid` for it, under another id, is another event but no other
//! sale. Both numbers are kept: events, and orders. Money is counted with the order, where an event carries it: the value of
//! what is ordered with `order.created`, revenue with `order.paid`.
//!
//! The time of an event is the one it tells itself; hours are of UTC. A step, such as from created to paid, is timed when
//! the second of its two events is heard, whichever that is, and belongs to the hour in which it ended. If the clocks of two
//! machines say that it ended before it began, it took no time.

mod fact;
mod handler;
mod query;
mod record;
mod report;
mod routes;
mod tables;

pub use handler::AnalyticsHandler;
pub use query::{Analytics, Window};
pub use report::{AnalyticsFunnel, AnalyticsHours, AnalyticsSummary, Cancelled, Count, Hour, Step};
pub use tables::MIGRATIONS;

use longshore::WorkerBuilder;

use crate::OrderEvent;

/// Counts orders, money and times.
pub fn analytics() -> WorkerBuilder<AnalyticsHandler> {
    let worker = WorkerBuilder::new("analytics", |_| AnalyticsHandler)
        .about("Counts orders, revenue and how long orders take")
        .migrations(MIGRATIONS)
        .routes(|store| routes::routes(Analytics::new(store)));
    OrderEvent::TOPICS
        .into_iter()
        .fold(worker, WorkerBuilder::reads)
}
