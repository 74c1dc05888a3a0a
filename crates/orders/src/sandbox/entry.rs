//! What the ledger records: one call of a service, with its outcome.

use crate::Money;

/// What is to be done, if its key is new.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) kind: &'static str,
    pub(super) order_id: String,
    pub(super) amount: Option<Money>,
    pub(super) outcome: Outcome,
}

impl Entry {
    pub(super) fn new(key: &str, kind: &'static str, order_id: &str, outcome: Outcome) -> Self {
        Self {
            key: key.to_owned(),
            kind,
            order_id: order_id.to_owned(),
            amount: None,
            outcome,
        }
    }

    pub(super) fn over(self, amount: Money) -> Self {
        Self {
            amount: Some(amount),
            ..self
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Reserved,
    SoldOut,
    Released,
    Charged,
    Declined,
    Refunded,
    Booked,
    Notified,
}

impl Outcome {
    const ALL: [Self; 8] = [
        Self::Reserved,
        Self::SoldOut,
        Self::Released,
        Self::Charged,
        Self::Declined,
        Self::Refunded,
        Self::Booked,
        Self::Notified,
    ];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::SoldOut => "sold_out",
            Self::Released => "released",
            Self::Charged => "charged",
            Self::Declined => "declined",
            Self::Refunded => "refunded",
            Self::Booked => "booked",
            Self::Notified => "notified",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
    }
}
