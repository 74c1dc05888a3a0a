//! Requests and answers as they travel, for whoever asks and whoever answers. Unknown fields are ignored.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::{Item, Money, NoticeKind};

/// `POST /reservations` of the product service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
    /// What to set aside: all or nothing.
    pub items: Cow<'a, [Item]>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReservationAnswer {
    /// All is set aside.
    Reserved,
    /// Something is out of stock; nothing is set aside.
    SoldOut,
}

/// `POST /releases` of the product service, answered with an empty object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
}

/// `POST /charges` of the payment service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChargeRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
    /// Who pays.
    pub user_id: Cow<'a, str>,
    /// How much.
    pub amount: Money,
    /// The lines on the bill.
    pub items: Cow<'a, [Item]>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    tag = "outcome",
    rename_all = "snake_case",
    rename_all_fields = "camelCase"
)]
pub enum ChargeAnswer {
    /// The money is here.
    Charged {
        /// The charge, as the payment service names it.
        payment_id: String,
    },
    /// The customer's bank says no.
    Declined,
}

/// `POST /refunds` of the payment service, answered with an empty object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefundRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
    /// The charge.
    pub payment_id: Cow<'a, str>,
    /// How much.
    pub amount: Money,
}

/// `POST /bookings` of the carrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookingRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
}

/// The shipment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BookingAnswer {
    /// Who carries it.
    pub carrier: String,
    /// The parcel.
    pub tracking_number: String,
}

/// `POST /notices` of the notification service, answered with an empty object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NoticeRequest<'a> {
    /// The order.
    pub order_id: Cow<'a, str>,
    /// Whom to tell.
    pub user_id: Cow<'a, str>,
    /// What.
    pub kind: NoticeKind,
}
