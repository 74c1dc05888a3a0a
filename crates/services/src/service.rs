//! The services of the order system, by name.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A service that others call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// Who somebody is.
    Auth,
    /// Products and their stock.
    Product,
    /// Orders.
    Order,
    /// Money.
    Payment,
    /// Words to users.
    Notification,
    /// Parcels.
    Carrier,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Auth,
        Self::Product,
        Self::Order,
        Self::Payment,
        Self::Notification,
        Self::Carrier,
    ];

    /// The name, as in logs, metrics and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Product => "product",
            Self::Order => "order",
            Self::Payment => "payment",
            Self::Notification => "notification",
            Self::Carrier => "carrier",
        }
    }

    /// The environment variable that says where it is.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Auth => "AUTH_SERVICE_URL",
            Self::Product => "PRODUCT_SERVICE_URL",
            Self::Order => "ORDER_SERVICE_URL",
            Self::Payment => "PAYMENT_SERVICE_URL",
            Self::Notification => "NOTIFICATION_SERVICE_URL",
            Self::Carrier => "CARRIER_SERVICE_URL",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
