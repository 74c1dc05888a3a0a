//! The events of an order as they travel: JSON in camelCase, unknown fields ignored, contents checked.

use jiff::Timestamp;
use longshore_event::Event;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Money, MoneyError};

/// A customer has placed an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.created")]
pub struct OrderCreated {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Who placed it.
    #[schemars(length(min = 1))]
    pub user_id: String,
    /// What was ordered; all in one currency.
    #[schemars(length(min = 1))]
    pub items: Vec<Item>,
    /// When it was placed; if it is missing, the message's own time stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
}

/// One line of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// What: the stock keeping unit.
    #[schemars(length(min = 1))]
    pub sku: String,
    /// How many.
    #[schemars(range(min = 1, max = 4_294_967_295_u32))]
    pub quantity: u32,
    /// The price of one; zero is allowed.
    pub unit_price: Money,
}

/// The goods are reserved and the money is charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.paid")]
pub struct OrderPaid {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// The charge, as the payment service names it.
    pub payment_id: String,
    /// What was charged.
    pub amount: Money,
    /// When.
    pub paid_at: Timestamp,
}

/// A carrier has the parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.shipped")]
pub struct OrderShipped {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Who carries it.
    pub carrier: String,
    /// The parcel, as the carrier names it.
    pub tracking_number: String,
    /// When.
    pub shipped_at: Timestamp,
}

/// The customer has the parcel: the good end of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.delivered")]
pub struct OrderDelivered {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// When.
    pub delivered_at: Timestamp,
}

/// Nothing comes of the order: its other end, and no failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.cancelled")]
pub struct OrderCancelled {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Why.
    pub reason: CancelReason,
    /// When.
    pub cancelled_at: Timestamp,
}

/// Somebody wants an unpaid order to come to nothing. The worker of `order.created` decides, since it knows whether the
/// order is paid; an order that is paid stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(title = "order.cancellation-requested")]
pub struct OrderCancellationRequested {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Why, as `order.cancelled` will say it.
    pub reason: CancelReason,
    /// When.
    pub requested_at: Timestamp,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// Something ordered is out of stock. Nothing was charged.
    SoldOut,
    /// The payment service declined the charge. The goods are free again.
    PaymentDeclined,
    /// It was not paid in time.
    Expired,
    /// Who placed it has thought better of it.
    CustomerRequest,
}

impl CancelReason {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "sold_out",
            Self::PaymentDeclined => "payment_declined",
            Self::Expired => "expired",
            Self::CustomerRequest => "customer_request",
        }
    }

    /// The reason of that name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        [
            Self::SoldOut,
            Self::PaymentDeclined,
            Self::Expired,
            Self::CustomerRequest,
        ]
        .into_iter()
        .find(|reason| reason.as_str() == name)
    }
}

impl OrderCreated {
    /// What the customer owes: zero is valid.
    ///
    /// # Errors
    /// [`MoneyError`]; never for an order that has passed its check.
    pub fn total(&self) -> Result<Money, MoneyError> {
        let mut prices = self
            .items
            .iter()
            .map(|item| item.unit_price.times(item.quantity));
        // An order without items has no currency; it does not pass the check.
        let first = prices.next().unwrap_or(Err(MoneyError::Overflow))?;
        prices.try_fold(first, |total, price| total.plus(price?))
    }
}

impl Event for OrderCreated {
    const TYPE: &'static str = "order.created";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)?;
        not_empty("userId", &self.user_id)?;
        if self.items.is_empty() {
            return Err("items must not be empty".into());
        }
        for (index, item) in self.items.iter().enumerate() {
            item.check()
                .map_err(|reason| format!("items[{index}].{reason}"))?;
        }
        match self.total() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("items: {error}")),
        }
    }
}

impl Item {
    fn check(&self) -> Result<(), String> {
        not_empty("sku", &self.sku)?;
        if self.quantity == 0 {
            return Err("quantity must be at least 1".into());
        }
        not_negative("unitPrice.amount", self.unit_price)
    }
}

impl Event for OrderPaid {
    const TYPE: &'static str = "order.paid";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)?;
        not_negative("amount.amount", self.amount)
    }
}

impl Event for OrderShipped {
    const TYPE: &'static str = "order.shipped";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

impl Event for OrderDelivered {
    const TYPE: &'static str = "order.delivered";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

impl Event for OrderCancelled {
    const TYPE: &'static str = "order.cancelled";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

impl Event for OrderCancellationRequested {
    const TYPE: &'static str = "order.cancellation-requested";

    fn key(&self) -> &str {
        &self.order_id
    }

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)
    }
}

pub(crate) fn not_empty(field: &str, text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{field} must not be empty"));
    }
    Ok(())
}

fn not_negative(field: &str, money: Money) -> Result<(), String> {
    if money.amount < 0 {
        return Err(format!("{field} must not be negative"));
    }
    Ok(())
}
