//! The ports over HTTP: what is asked of the real services, or of `longshore sandbox`, which answers as they do.
//!
//! | service | path | of the port |
//! |---|---|---|
//! | product | `POST /reservations`, `POST /releases` | [`Inventory`](crate::Inventory) |
//! | payment | `POST /charges`, `POST /refunds` | [`Payments`](crate::Payments) |
//! | carrier | `POST /bookings` | [`Carrier`](crate::Carrier) |
//! | notification | `POST /notices` | [`Notifier`](crate::Notifier) |
//!
//! The key is the `Idempotency-Key`. A refusal in the course of business is an answer with an `outcome`, and no 4xx:
//! that says that the request is wrong.

use longshore_services::CallError;

use crate::ServiceError;

pub mod wire;

mod carrier;
mod inventory;
mod notifier;
mod payments;

pub use carrier::RemoteCarrier;
pub use inventory::RemoteInventory;
pub use notifier::RemoteNotifier;
pub use payments::RemotePayments;

/// An answer whose content does not matter.
type Done = serde::de::IgnoredAny;

fn failed(service: &'static str, error: CallError) -> ServiceError {
    match error {
        CallError::Rejected { .. } | CallError::Unsendable { .. } => ServiceError::Rejected {
            service,
            source: error.into(),
        },
        // What is nonsense today may be an answer once the service is mended.
        CallError::Unavailable { .. } | CallError::Nonsense { .. } => ServiceError::Unavailable {
            service,
            source: error.into(),
        },
    }
}
