//! All that the order system needs of others, in one value: each service where its address says, or else its sandbox.

use longshore_services::{Endpoint, Service, ServiceClient};
use longshore_store::SqlStore;

use crate::remote::{RemoteCarrier, RemoteInventory, RemoteNotifier, RemotePayments};
use crate::{
    Booking, Carrier, Charge, Inventory, Item, Notice, Notifier, Payment, Payments, Refund,
    Reservation, Sandbox, ServiceError,
};

/// Every port. Clones share connections and the sandbox's ledger.
#[derive(Clone, Debug)]
pub struct OrderServices {
    inventory: Port<RemoteInventory>,
    payments: Port<RemotePayments>,
    carrier: Port<RemoteCarrier>,
    notifier: Port<RemoteNotifier>,
}

#[derive(Clone, Debug)]
enum Port<R> {
    Remote(R),
    Sandbox(Sandbox),
}

impl OrderServices {
    /// The services that `client` knows; the others are a sandbox with its ledger in `store`, which was opened with
    /// [`MIGRATIONS`](crate::MIGRATIONS).
    ///
    /// # Panics
    /// As [`Sandbox::open`], if a sandbox is needed.
    pub fn new(client: &ServiceClient, store: &SqlStore) -> Self {
        let mut sandbox = None;
        let mut sandbox = || sandbox.get_or_insert_with(|| Sandbox::open(store)).clone();
        let mut at = |service| match client.service(service) {
            Some(endpoint) => Port::Remote(endpoint.clone()),
            None => Port::Sandbox(sandbox()),
        };
        Self {
            inventory: at(Service::Product).map(RemoteInventory),
            payments: at(Service::Payment).map(RemotePayments),
            carrier: at(Service::Carrier).map(RemoteCarrier),
            notifier: at(Service::Notification).map(RemoteNotifier),
        }
    }
}

impl Port<Endpoint> {
    fn map<R>(self, remote: impl FnOnce(Endpoint) -> R) -> Port<R> {
        match self {
            Self::Remote(endpoint) => Port::Remote(remote(endpoint)),
            Self::Sandbox(sandbox) => Port::Sandbox(sandbox),
        }
    }
}

impl Inventory for OrderServices {
    async fn reserve(
        &self,
        key: &str,
        order_id: &str,
        items: &[Item],
    ) -> Result<Reservation, ServiceError> {
        match &self.inventory {
            Port::Remote(remote) => remote.reserve(key, order_id, items).await,
            Port::Sandbox(sandbox) => sandbox.reserve(key, order_id, items).await,
        }
    }

    async fn release(&self, key: &str, order_id: &str) -> Result<(), ServiceError> {
        match &self.inventory {
            Port::Remote(remote) => remote.release(key, order_id).await,
            Port::Sandbox(sandbox) => sandbox.release(key, order_id).await,
        }
    }
}

impl Payments for OrderServices {
    async fn charge(&self, key: &str, charge: &Charge<'_>) -> Result<Payment, ServiceError> {
        match &self.payments {
            Port::Remote(remote) => remote.charge(key, charge).await,
            Port::Sandbox(sandbox) => sandbox.charge(key, charge).await,
        }
    }

    async fn refund(&self, key: &str, refund: &Refund<'_>) -> Result<(), ServiceError> {
        match &self.payments {
            Port::Remote(remote) => remote.refund(key, refund).await,
            Port::Sandbox(sandbox) => sandbox.refund(key, refund).await,
        }
    }
}

impl Carrier for OrderServices {
    async fn book(&self, key: &str, order_id: &str) -> Result<Booking, ServiceError> {
        match &self.carrier {
            Port::Remote(remote) => remote.book(key, order_id).await,
            Port::Sandbox(sandbox) => sandbox.book(key, order_id).await,
        }
    }
}

impl Notifier for OrderServices {
    async fn notify(&self, key: &str, notice: &Notice<'_>) -> Result<(), ServiceError> {
        match &self.notifier {
            Port::Remote(remote) => remote.notify(key, notice).await,
            Port::Sandbox(sandbox) => sandbox.notify(key, notice).await,
        }
    }
}
