//! Events of orders become mails, and mails become jobs, once their reader is known.

use std::time::Duration;

use longshore_event::Envelope;
use longshore_jobs::NewJob;
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, FailureExt, Handler};
use tracing::{debug, warn};
use uuid::Uuid;

use super::book::{Book, Mail, Reader};
use super::tables::{self, MailState};
use super::{
    AddressPattern, MailKind, NotificationArguments, NotificationEvent, OrderMailDue, Templates,
};
use crate::OrderEvent;

/// Namespace of the ids of mail jobs.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_6e67_7368_6f72_652d_6d61_696c_2d6a);

type Deciding<'c, 'a> = &'c mut Context<'a, NotificationEvent>;

/// Adds a job to `jobs.email` for each event of an order, and keeps the addresses of users.
#[derive(Debug)]
pub struct NotificationsHandler {
    book: Book,
    templates: Templates,
    patience: Duration,
    unknown_address: Option<AddressPattern>,
}

impl NotificationsHandler {
    /// `store` was opened with [`MIGRATIONS`](super::MIGRATIONS).
    pub fn new(store: &SqlStore, arguments: NotificationArguments) -> Self {
        Self {
            book: Book::new(store),
            templates: Templates::new(),
            patience: arguments.patience,
            unknown_address: arguments.unknown_address,
        }
    }

    async fn order(&self, event: &OrderEvent, context: Deciding<'_, '_>) -> Result<(), Failure> {
        let kind = MailKind::of(event);
        let order_id = event.order_id();
        let mails = self.book.mails(order_id).await?;
        let reader = match event {
            OrderEvent::Created(order) => {
                context.write(tables::order(order_id, &order.user_id));
                self.book.user(&order.user_id).await?
            }
            _ => self.book.reader(order_id).await?,
        };
        if mails.iter().any(|mail| mail.kind == kind) {
            // Told already, or about to be.
            return Ok(());
        }
        match reader {
            Reader::NoOrder | Reader::NoUser { .. } => self.wait(kind, event, context),
            Reader::Gone => {
                self.skip_waiting(order_id, mails, context);
                self.skip(order_id, kind, MailState::UserGone, context);
                Ok(())
            }
            Reader::Known { email, name } => {
                let (before, after) = mails.into_iter().partition(|mail| mail.kind < kind);
                self.send_waiting(&email, &name, before, context)?;
                self.send(&email, Some(&name), kind, event, context)?;
                self.send_waiting(&email, &name, after, context)
            }
        }
    }

    /// The last look at a mail that waits.
    async fn due(&self, due: &OrderMailDue, context: Deciding<'_, '_>) -> Result<(), Failure> {
        let OrderMailDue { order_id, kind, .. } = due;
        let mails = self.book.mails(order_id).await?;
        let waiting = mails.iter().find(|mail| mail.kind == *kind);
        let Some(event) = waiting.and_then(|mail| mail.waiting.clone()) else {
            return Ok(());
        };
        match self.book.reader(order_id).await? {
            Reader::Known { email, name } => self.send_waiting(&email, &name, mails, context)?,
            Reader::Gone => self.skip_waiting(order_id, mails, context),
            Reader::NoOrder => {
                warn!(
                    order_id,
                    kind = kind.as_str(),
                    "a mail is skipped: nobody said whose the order is"
                );
                self.skip(order_id, *kind, MailState::NoOrder, context);
            }
            Reader::NoUser { user_id } => {
                let pattern = self.unknown_address.as_ref();
                match pattern.and_then(|pattern| pattern.address(&user_id)) {
                    Some(address) => self.send(&address, None, *kind, &event, context)?,
                    None => {
                        warn!(
                            order_id,
                            user_id,
                            kind = kind.as_str(),
                            "a mail is skipped: nobody told of the user"
                        );
                        self.skip(order_id, *kind, MailState::NoUser, context);
                    }
                }
            }
        }
        Ok(())
    }

    fn wait(
        &self,
        kind: MailKind,
        event: &OrderEvent,
        context: Deciding<'_, '_>,
    ) -> Result<(), Failure> {
        let order_id = event.order_id();
        let kept = Some(MailKind::keep(event).permanent()?);
        let now = context.now();
        context.write(tables::mail(order_id, kind, MailState::Waiting, kept, now));
        let due_at = now.saturating_add(self.patience).permanent()?;
        let due = OrderMailDue {
            order_id: order_id.to_owned(),
            kind,
            due_at,
        };
        context.publish_at(&due, due_at)?.named(kind.as_str());
        Ok(())
    }

    fn send_waiting(
        &self,
        email: &str,
        name: &str,
        mails: Vec<Mail>,
        context: Deciding<'_, '_>,
    ) -> Result<(), Failure> {
        for Mail { kind, waiting } in mails {
            if let Some(event) = waiting {
                context.cancel(kind.as_str());
                self.send(email, Some(name), kind, &event, context)?;
            }
        }
        Ok(())
    }

    fn send(
        &self,
        email: &str,
        name: Option<&str>,
        kind: MailKind,
        event: &OrderEvent,
        context: Deciding<'_, '_>,
    ) -> Result<(), Failure> {
        let order_id = event.order_id();
        let mail = self.templates.render(email, name, event).permanent()?;
        let now = context.now();
        context.write(tables::mail(order_id, kind, MailState::Queued, None, now));
        context.publish(&NewJob::with_id(job_id(order_id, kind), mail))
    }

    fn skip_waiting(&self, order_id: &str, mails: Vec<Mail>, context: Deciding<'_, '_>) {
        for Mail { kind, .. } in mails.iter().filter(|mail| mail.waiting.is_some()) {
            context.cancel(kind.as_str());
            self.skip(order_id, *kind, MailState::UserGone, context);
        }
    }

    fn skip(&self, order_id: &str, kind: MailKind, why: MailState, context: Deciding<'_, '_>) {
        debug!(
            order_id,
            kind = kind.as_str(),
            why = why.as_str(),
            "a mail is skipped"
        );
        context.write(tables::mail(order_id, kind, why, None, context.now()));
    }
}

impl Handler for NotificationsHandler {
    type Payload = NotificationEvent;

    const NAME: &'static str = "notifications";

    async fn handle(
        &self,
        message: &Envelope<NotificationEvent>,
        context: &mut Context<'_, NotificationEvent>,
    ) -> Result<(), Failure> {
        match message.event() {
            NotificationEvent::Order(event) => return self.order(event, context).await,
            NotificationEvent::Due(due) => return self.due(due, context).await,
            NotificationEvent::UserCreated(user) => context.write(tables::user_created(user)),
            NotificationEvent::UserUpdated(user) => context.write(tables::user_updated(user)),
            NotificationEvent::UserDeleted(user) => context.write(tables::user_deleted(user)),
        }
        Ok(())
    }
}

/// The same for the same mail, whoever adds it.
fn job_id(order_id: &str, kind: MailKind) -> String {
    let name = format!("{}/{order_id}", kind.as_str());
    Uuid::new_v5(&NAMESPACE, name.as_bytes()).to_string()
}
