//! Notifications: what becomes of an order, told to its customer by mail; each thing once, ever.
//!
//! Reading order: [`NotificationEvent`] is what the worker hears; [`MailKind`] is what it tells, [`Templates`] how; `book`
//! is what it knows of orders, users and mails; [`NotificationsHandler`] decides; [`notifications()`] is the worker, and
//! [`NotificationArguments`] are its own flags.
//!
//! # Whom to tell
//!
//! An event of an order need not name its user, whose address comes from other topics, which may be read later. So a mail
//! that cannot be addressed yet is kept: its order's later events look again, and so does a durable timer, at the latest.
//! That is the last look. If the order has not been heard of by then, the mail is skipped. If its user has not been, it
//! goes to the address that `--unknown-address` makes of the user's id, or is skipped. A user who is gone is told nothing,
//! and nothing is kept of who it was.
//!
//! Nothing waits in a lane meanwhile, and no other key is looked at: the user's events and the order's are of different keys,
//! so that neither could know that the other will see what it has just written. The timer is what makes up for that.
//!
//! # Once, ever
//!
//! The worker keeps a row for each order and kind of mail, for good, besides its inbox: another event of that kind for the
//! order is no other mail. Two instances can still decide on one mail at the same moment, for two events of the order; they
//! add the same job then, since its id is derived from order and kind, and a queue takes a job in once.

mod address;
mod amount;
mod arguments;
mod book;
mod event;
mod handler;
mod kind;
mod routes;
mod tables;
mod template;

pub use address::AddressPattern;
pub use arguments::NotificationArguments;
pub use event::{NotificationEvent, OrderMailDue};
pub use handler::NotificationsHandler;
pub use kind::MailKind;
pub use routes::MailCount;
pub use tables::MIGRATIONS;
pub use template::{RenderError, Templates};

use longshore::WorkerBuilder;
use longshore_event::Event;
use longshore_jobs::JobPayload;

use crate::job::Email;
use crate::{OrderEvent, UserCreated, UserDeleted, UserUpdated};

/// Writes mails about orders.
pub fn notifications(arguments: NotificationArguments) -> WorkerBuilder<NotificationsHandler> {
    let worker = WorkerBuilder::new("notifications", move |store| {
        NotificationsHandler::new(store, arguments)
    })
    .about("Writes mails about orders, and has them sent")
    .reads(UserCreated::TOPIC)
    .reads(UserUpdated::TOPIC)
    .reads(UserDeleted::TOPIC)
    .reads(OrderMailDue::TOPIC)
    .publishes(OrderMailDue::TOPIC)
    .publishes(Email::TOPIC)
    .migrations(MIGRATIONS)
    .routes(routes::routes);
    let topics = OrderEvent::TOPICS.into_iter();
    topics.fold(worker, WorkerBuilder::reads)
}
