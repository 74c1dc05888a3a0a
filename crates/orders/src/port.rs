//! What the order system needs of others: stock, money, parcels and notices, as traits with typed outcomes.
//!
//! # Idempotency keys
//!
//! Every call takes a key and is answered by it: a call with a key that was used before returns what was recorded then
//! and does nothing again. The keys are made of the purpose and the *order's* id, not of the event's. An order is
//! charged once in its life; a second `order.created` for it, published by mistake under another event id, is another
//! event but the same purchase. A key made of the event's id would charge for it twice.

use longshore_worker::Failure;
use serde::{Deserialize, Serialize};

use crate::{Item, Money};

/// The key of what is done once in an order's life.
pub(crate) fn idempotency_key(purpose: &str, order_id: &str) -> String {
    format!("{purpose}:{order_id}")
}

/// The stock.
pub trait Inventory: Send + Sync + 'static {
    /// Sets all items aside for the order, or none of them.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn reserve(
        &self,
        key: &str,
        order_id: &str,
        items: &[Item],
    ) -> impl Future<Output = Result<Reservation, ServiceError>> + Send;

    /// Gives what was set aside for the order free again. Fine if nothing was.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn release(
        &self,
        key: &str,
        order_id: &str,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// What came of a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reservation {
    /// All items are set aside.
    Reserved,
    /// Something is out of stock; nothing is set aside.
    SoldOut,
}

/// The payment service.
pub trait Payments: Send + Sync + 'static {
    /// Charges the customer.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn charge(
        &self,
        key: &str,
        charge: &Charge<'_>,
    ) -> impl Future<Output = Result<Payment, ServiceError>> + Send;

    /// Gives the money of a charge back.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn refund(
        &self,
        key: &str,
        refund: &Refund<'_>,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// What to give back, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Refund<'a> {
    /// The order.
    pub order_id: &'a str,
    /// The charge, as the payment service names it.
    pub payment_id: &'a str,
    /// How much.
    pub amount: Money,
}

/// What to charge, and what for.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'a> {
    /// The order.
    pub order_id: &'a str,
    /// Who pays.
    pub user_id: &'a str,
    /// How much; zero is recorded like any other amount.
    pub amount: Money,
    /// The lines on the bill.
    pub items: &'a [Item],
}

/// What came of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payment {
    /// The money is here.
    Charged {
        /// The charge, as the payment service names it.
        payment_id: String,
    },
    /// The customer's bank says no. It will say so again.
    Declined,
}

/// The carrier.
pub trait Carrier: Send + Sync + 'static {
    /// Books the shipment of the order.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn book(
        &self,
        key: &str,
        order_id: &str,
    ) -> impl Future<Output = Result<Booking, ServiceError>> + Send;
}

/// A booked shipment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Booking {
    /// Who carries it.
    pub carrier: String,
    /// The parcel, as the carrier names it.
    pub tracking_number: String,
}

/// The notification service: a word on the user's phone.
pub trait Notifier: Send + Sync + 'static {
    /// Tells the user.
    ///
    /// # Errors
    /// [`ServiceError`]; it may have happened all the same, and the same key tells.
    fn notify(
        &self,
        key: &str,
        notice: &Notice<'_>,
    ) -> impl Future<Output = Result<(), ServiceError>> + Send;
}

/// What to tell, and whom.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// The order.
    pub order_id: &'a str,
    /// Whom.
    pub user_id: &'a str,
    /// What.
    pub kind: NoticeKind,
}

/// What a user is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The order is paid for.
    Confirmed,
    /// Nothing comes of the order.
    Cancelled,
}

impl NoticeKind {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A service that gave no answer, or none that can be worked with. A refusal in the course of business is none of
/// these: it is an outcome.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Try again.
    #[error("{service} is not available")]
    Unavailable {
        /// Which service.
        service: &'static str,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request is wrong, and will be wrong next time.
    #[error("{service} rejects the request")]
    Rejected {
        /// Which service.
        service: &'static str,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What the runtime should do next.
pub(crate) fn failure(error: ServiceError) -> Failure {
    match error {
        // Transient, or an outage if the sandbox's store is away, or the service is not even asked.
        ServiceError::Unavailable { .. } => error.into(),
        ServiceError::Rejected { .. } => Failure::permanent(error),
    }
}
