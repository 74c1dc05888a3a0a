//! Mails as text and HTML, from the templates beside this file.

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};

use super::MailKind;
use super::amount::readable;
use crate::job::Email;
use crate::{CancelReason, MoneyError, OrderCreated, OrderEvent};

macro_rules! templates {
    ($($file:literal),* $(,)?) => {
        [$(($file, include_str!(concat!("templates/", $file)))),*]
    };
}

const FILES: [(&str, &str); 12] = templates![
    "layout.txt",
    "layout.html",
    "confirmation.txt",
    "confirmation.html",
    "paid.txt",
    "paid.html",
    "shipped.txt",
    "shipped.html",
    "delivered.txt",
    "delivered.html",
    "cancelled.txt",
    "cancelled.html",
];

/// The templates, ready to be filled in. What comes from events is escaped in HTML.
#[derive(Debug)]
pub struct Templates(Environment<'static>);

/// A mail that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The order adds up to nothing that can be named.
    #[error("the order has no total")]
    Total(#[from] MoneyError),
    /// A template asks for what there is not.
    #[error("the template cannot be filled in")]
    Template(#[from] minijinja::Error),
}

impl Templates {
    /// The built-in templates.
    ///
    /// # Panics
    /// If one of them is no template, which a test rules out.
    pub fn new() -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        for (name, text) in FILES {
            if let Err(error) = environment.add_template(name, text) {
                panic!("the template {name} is none: {error}");
            }
        }
        Self(environment)
    }

    /// The mail that tells `to` of an event; `name` is how it is addressed, if that is known.
    ///
    /// # Errors
    /// [`RenderError`]; trying again does not help.
    pub fn render(
        &self,
        to: &str,
        name: Option<&str>,
        event: &OrderEvent,
    ) -> Result<Email, RenderError> {
        let kind = MailKind::of(event);
        let subject = subject(kind, event.order_id());
        let values = context! {
            subject => subject.as_str(),
            name => name,
            order_id => event.order_id(),
            ..values(event)?,
        };
        let fill = |extension: &str| {
            let template = self
                .0
                .get_template(&format!("{}.{extension}", kind.as_str()))?;
            template.render(values.clone())
        };
        Ok(Email {
            to: to.to_owned(),
            text: fill("txt")?,
            html: Some(fill("html")?),
            subject,
        })
    }
}

impl Default for Templates {
    fn default() -> Self {
        Self::new()
    }
}

/// One line, whatever the order is called.
fn subject(kind: MailKind, order_id: &str) -> String {
    let order_id: String = order_id
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    match kind {
        MailKind::Confirmation => format!("We have your order {order_id}"),
        MailKind::Paid => format!("Your order {order_id} is paid"),
        MailKind::Shipped => format!("Your order {order_id} is on its way"),
        MailKind::Delivered => format!("Your order {order_id} has arrived"),
        MailKind::Cancelled => format!("Your order {order_id} is cancelled"),
    }
}

/// What the templates of an event's kind ask for.
fn values(event: &OrderEvent) -> Result<Value, RenderError> {
    Ok(match event {
        OrderEvent::Created(order) => {
            context! { items => items(order), total => readable(order.total()?) }
        }
        OrderEvent::Paid(paid) => {
            context! { amount => readable(paid.amount), payment_id => paid.payment_id.as_str() }
        }
        OrderEvent::Shipped(shipped) => context! {
            carrier => shipped.carrier.as_str(),
            tracking_number => shipped.tracking_number.as_str(),
        },
        OrderEvent::Delivered(_) => context! {},
        OrderEvent::Cancelled(cancelled) => context! { reason => reason(cancelled.reason) },
    })
}

fn items(order: &OrderCreated) -> Value {
    let items = order.items.iter().map(|item| {
        context! {
            sku => item.sku.as_str(), quantity => item.quantity, unit_price => readable(item.unit_price),
        }
    });
    items.collect::<Vec<_>>().into()
}

fn reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::SoldOut => "Something you ordered is sold out. Nothing was charged.",
        CancelReason::PaymentDeclined => "Your payment was declined.",
        CancelReason::Expired => "It was not paid in time.",
        CancelReason::CustomerRequest => "You asked us to cancel it.",
    }
}
