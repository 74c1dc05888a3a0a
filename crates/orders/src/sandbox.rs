//! Stock, payment service, carrier and notification service of a sandbox: they answer at once, their outcomes are chosen by test SKUs as card
//! processors do it, and a ledger in the worker's store knows what they have done.
//!
//! | an item with the SKU | makes |
//! |---|---|
//! | [`SOLD_OUT`] | the reservation find nothing in stock: the order is cancelled |
//! | [`DECLINED`] | the charge be declined: the reservation is released, the order is cancelled |
//! | [`FLAKY`] | the first two charges of the order fail for a passing reason; the third works |
//! | [`POISON`] | the reservation be rejected for good: the order becomes a dead letter |
//! | [`SLOW`] | the charge take a second |
//!
//! Any other SKU is in stock and paid for. Test SKUs act in the worker of `order.created`; later events carry no items.
//!
//! The ledger (table `sandbox_ledger`) has one row for every idempotency key: what was done, with its outcome, and
//! how often it was asked for. It is written outside of the transaction of the message, as another company's books
//! would be. To ask whether anything happened twice: `select order_id from sandbox_ledger where outcome = 'charged'
//! group by order_id having count(*) > 1`.

use std::time::Duration;

use longshore_store::{Migration, SqlStore};
use longshore_worker::StoreError;
use uuid::Uuid;

use crate::Item;
use crate::port::{
    Booking, Carrier, Charge, Inventory, Notice, Notifier, Payment, Payments, Refund, Reservation,
    ServiceError,
};

mod attempts;
mod books;
mod entry;
mod ledger;
mod statement;

use attempts::Attempts;
use entry::{Entry, Outcome};
use ledger::{Ledger, LedgerError};

pub use books::{Books, OrderBalance, Sums, Totals};

/// Out of stock.
pub const SOLD_OUT: &str = "TEST-SOLD-OUT";
/// The charge is declined.
pub const DECLINED: &str = "TEST-DECLINED";
/// The charge fails [`FLAKY_FAILURES`] times, then works. The count survives restarts.
pub const FLAKY: &str = "TEST-FLAKY";
/// The reservation is rejected for good.
pub const POISON: &str = "TEST-POISON";
/// The charge takes [`SLOW_ANSWER`].
pub const SLOW: &str = "TEST-SLOW";

/// Failed charges of an order with [`FLAKY`] in it.
pub const FLAKY_FAILURES: i64 = 2;
/// Time that a charge of an order with [`SLOW`] in it takes.
pub const SLOW_ANSWER: Duration = Duration::from_secs(1);

/// The tables of a sandbox that is a service of its own.
pub const MIGRATIONS: &[Migration] = &[TABLES];

/// `sandbox_ledger`: amounts in minor units, times in milliseconds since 1970.
pub(crate) const TABLES: Migration = Migration {
    module: "orders.sandbox",
    version: 1,
    name: "ledger and attempts",
    sql: "
        create table sandbox_ledger (
            idempotency_key text not null primary key,
            kind text not null,
            order_id text not null,
            amount bigint,
            currency text,
            outcome text not null,
            calls bigint not null,
            at bigint not null
        );
        create index sandbox_ledger_order on sandbox_ledger (order_id);
        create table sandbox_attempts (
            idempotency_key text not null primary key,
            attempts bigint not null
        );
    ",
};

/// Namespace of payment ids and tracking numbers, which are derived from idempotency keys.
const NAMESPACE: Uuid = Uuid::from_u128(0x6c6f_6e67_7368_6f72_652d_7361_6e64_626f);

/// All four services over one ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Sandbox {
    ledger: Ledger,
    attempts: Attempts,
}

impl Sandbox {
    /// A sandbox whose ledger is in `store`, which was opened with [`MIGRATIONS`](crate::MIGRATIONS).
    ///
    /// # Panics
    /// Outside of a tokio runtime: the ledger is written by a task, which ends with the last clone.
    pub fn open(store: &SqlStore) -> Self {
        Self {
            ledger: Ledger::start(store.clone()),
            attempts: Attempts::new(store.clone()),
        }
    }
}

impl Inventory for Sandbox {
    async fn reserve(
        &self,
        key: &str,
        order_id: &str,
        items: &[Item],
    ) -> Result<Reservation, ServiceError> {
        if has(items, POISON) {
            return Err(ServiceError::Rejected {
                service: INVENTORY,
                source: UnknownProduct(POISON).into(),
            });
        }
        let outcome = match has(items, SOLD_OUT) {
            true => Outcome::SoldOut,
            false => Outcome::Reserved,
        };
        let entry = Entry::new(key, "reservation", order_id, outcome);
        let recorded = self.ledger.record(entry).await;
        match recorded.map_err(|error| unanswered(INVENTORY, error))? {
            Outcome::SoldOut => Ok(Reservation::SoldOut),
            _ => Ok(Reservation::Reserved),
        }
    }

    async fn release(&self, key: &str, order_id: &str) -> Result<(), ServiceError> {
        let entry = Entry::new(key, "release", order_id, Outcome::Released);
        let recorded = self.ledger.record(entry).await;
        recorded.map_err(|error| unanswered(INVENTORY, error))?;
        Ok(())
    }
}

impl Payments for Sandbox {
    async fn charge(&self, key: &str, charge: &Charge<'_>) -> Result<Payment, ServiceError> {
        if has(charge.items, SLOW) {
            tokio::time::sleep(SLOW_ANSWER).await;
        }
        if has(charge.items, FLAKY) {
            let attempts = self.attempts.count(key).await;
            let attempt = attempts.map_err(|error| unanswered(PAYMENTS, error))?;
            if attempt <= FLAKY_FAILURES {
                return Err(ServiceError::Unavailable {
                    service: PAYMENTS,
                    source: Flaky { attempt }.into(),
                });
            }
        }
        let outcome = match has(charge.items, DECLINED) {
            true => Outcome::Declined,
            false => Outcome::Charged,
        };
        let entry = Entry::new(key, "charge", charge.order_id, outcome).over(charge.amount);
        let recorded = self.ledger.record(entry).await;
        match recorded.map_err(|error| unanswered(PAYMENTS, error))? {
            Outcome::Declined => Ok(Payment::Declined),
            _ => Ok(Payment::Charged {
                payment_id: format!("pay_{}", reference(key).simple()),
            }),
        }
    }

    async fn refund(&self, key: &str, refund: &Refund<'_>) -> Result<(), ServiceError> {
        let entry = Entry::new(key, "refund", refund.order_id, Outcome::Refunded);
        let recorded = self.ledger.record(entry.over(refund.amount)).await;
        recorded.map_err(|error| unanswered(PAYMENTS, error))?;
        Ok(())
    }
}

impl Notifier for Sandbox {
    async fn notify(&self, key: &str, notice: &Notice<'_>) -> Result<(), ServiceError> {
        let entry = Entry::new(key, "notice", notice.order_id, Outcome::Notified);
        let recorded = self.ledger.record(entry).await;
        recorded.map_err(|error| unanswered(NOTIFIER, error))?;
        Ok(())
    }
}

impl Carrier for Sandbox {
    async fn book(&self, key: &str, order_id: &str) -> Result<Booking, ServiceError> {
        let entry = Entry::new(key, "booking", order_id, Outcome::Booked);
        let recorded = self.ledger.record(entry).await;
        recorded.map_err(|error| unanswered(CARRIER, error))?;
        let number = reference(key).as_u64_pair().0 % 1_000_000_000_000;
        Ok(Booking {
            carrier: "Sandbox Express".to_owned(),
            tracking_number: format!("SBX{number:012}"),
        })
    }
}

const INVENTORY: &str = "the sandbox inventory";
const PAYMENTS: &str = "the sandbox payment service";
const NOTIFIER: &str = "the sandbox notification service";
const CARRIER: &str = "the sandbox carrier";

fn has(items: &[Item], sku: &str) -> bool {
    items.iter().any(|item| item.sku == sku)
}

/// The same for the same key, so that an answer that is given again is the same answer.
fn reference(key: &str) -> Uuid {
    Uuid::new_v5(&NAMESPACE, key.as_bytes())
}

fn unanswered(service: &'static str, error: LedgerError) -> ServiceError {
    let source = error.clone().into();
    match error {
        LedgerError::Store(store) if matches!(*store, StoreError::Rejected(_)) => {
            ServiceError::Rejected { service, source }
        }
        LedgerError::Store(_) | LedgerError::Stopped => {
            ServiceError::Unavailable { service, source }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is in no catalogue")]
struct UnknownProduct(&'static str);

#[derive(Debug, thiserror::Error)]
#[error("charge {attempt} of an order with TEST-FLAKY fails; charge 3 works")]
struct Flaky {
    attempt: i64,
}
