//! The saga of an order: the goods are reserved and the money is charged, or nothing is left of either.

use std::time::Duration;

use longshore_saga::{Answer, Call, Saga, Step};
use longshore_worker::Failure;
use serde::{Deserialize, Serialize};

use crate::cancellation::Cancellations;
use crate::port::{self, Charge, Inventory, Notice, NoticeKind, Notifier, Payment, Payments};
use crate::port::{Refund, Reservation};
use crate::{CancelReason, Money, OrderCreated};

/// Whom a purchase needs.
#[derive(Debug)]
pub(crate) struct Services<I, P, N> {
    pub(crate) inventory: I,
    pub(crate) payments: P,
    pub(crate) notifier: N,
}

/// One order's purchase, as the message at hand drives it.
#[derive(Debug)]
pub(crate) struct Purchase<'a, I, P, N> {
    pub(crate) services: &'a Services<I, P, N>,
    pub(crate) cancellations: &'a Cancellations,
    pub(crate) order_id: &'a str,
    /// What is bought; `None` once it is paid, when all that is left is to say so.
    pub(crate) bill: Option<Bill<'a>>,
}

/// What is bought, and what it costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bill<'a> {
    pub(crate) order: &'a OrderCreated,
    pub(crate) total: Money,
}

/// What the steps of a purchase do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PurchaseStep {
    Reserve,
    Charge,
    Confirm,
    Notify,
}

/// What later steps need to know of earlier ones.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PurchaseData {
    pub(crate) user_id: String,
    /// The charge, as the payment service names it; empty before it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) payment_id: String,
}

impl<I: Inventory, P: Payments, N: Notifier> Saga for Purchase<'_, I, P, N> {
    const NAME: &'static str = "order";

    /// The names begin the idempotency keys: `charge:o-1` is what the payment service knows the order's charge by.
    const STEPS: &'static [Step<PurchaseStep>] = &[
        Step::new(PurchaseStep::Reserve, "reserve").compensated_by("release"),
        Step::new(PurchaseStep::Charge, "charge").compensated_by("refund"),
        Step::new(PurchaseStep::Confirm, "confirm").commits(),
        Step::new(PurchaseStep::Notify, "notify"),
    ];

    /// An order that could not be paid in a day has expired.
    const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

    type Step = PurchaseStep;
    type Data = PurchaseData;
    type Refusal = CancelReason;

    async fn act(
        &self,
        step: PurchaseStep,
        data: &mut PurchaseData,
        call: &Call<'_>,
    ) -> Result<Answer<CancelReason>, Failure> {
        match step {
            PurchaseStep::Reserve => self.reserve(call).await,
            PurchaseStep::Charge => self.charge(data, call).await,
            PurchaseStep::Confirm => self.confirm().await,
            PurchaseStep::Notify => self.notify(data, call).await,
        }
    }

    async fn compensate(
        &self,
        step: PurchaseStep,
        data: &PurchaseData,
        call: &Call<'_>,
    ) -> Result<(), Failure> {
        match step {
            PurchaseStep::Reserve => self.release(call).await,
            PurchaseStep::Charge => self.refund(data, call).await,
            PurchaseStep::Confirm | PurchaseStep::Notify => Ok(()),
        }
    }
}

impl<I: Inventory, P: Payments, N: Notifier> Purchase<'_, I, P, N> {
    async fn reserve(&self, call: &Call<'_>) -> Result<Answer<CancelReason>, Failure> {
        let items = &self.bill()?.order.items;
        let inventory = &self.services.inventory;
        let reserved = inventory.reserve(call.key(), self.order_id, items).await;
        Ok(match reserved.map_err(port::failure)? {
            Reservation::Reserved => Answer::Done,
            Reservation::SoldOut => Answer::Refused(CancelReason::SoldOut),
        })
    }

    async fn release(&self, call: &Call<'_>) -> Result<(), Failure> {
        let inventory = &self.services.inventory;
        let released = inventory.release(call.key(), self.order_id).await;
        released.map_err(port::failure)
    }

    async fn charge(
        &self,
        data: &mut PurchaseData,
        call: &Call<'_>,
    ) -> Result<Answer<CancelReason>, Failure> {
        let Bill { order, total } = self.bill()?;
        let charge = Charge {
            order_id: &order.order_id,
            user_id: &order.user_id,
            amount: total,
            items: &order.items,
        };
        let charged = self.services.payments.charge(call.key(), &charge).await;
        Ok(match charged.map_err(port::failure)? {
            Payment::Charged { payment_id } => {
                data.payment_id = payment_id;
                Answer::Done
            }
            Payment::Declined => Answer::Refused(CancelReason::PaymentDeclined),
        })
    }

    async fn refund(&self, data: &PurchaseData, call: &Call<'_>) -> Result<(), Failure> {
        let refund = Refund {
            order_id: self.order_id,
            payment_id: &data.payment_id,
            amount: self.bill()?.total,
        };
        let refunded = self.services.payments.refund(call.key(), &refund).await;
        refunded.map_err(port::failure)
    }

    /// The last moment to think better of it. A request that is recorded after this came too late.
    async fn confirm(&self) -> Result<Answer<CancelReason>, Failure> {
        let standing = self.cancellations.standing(self.order_id).await?;
        Ok(match standing.cancellation {
            None => Answer::Done,
            Some(reason) => Answer::Refused(reason),
        })
    }

    async fn notify(
        &self,
        data: &PurchaseData,
        call: &Call<'_>,
    ) -> Result<Answer<CancelReason>, Failure> {
        let notice = Notice {
            order_id: self.order_id,
            user_id: &data.user_id,
            kind: NoticeKind::Confirmed,
        };
        let told = self.services.notifier.notify(call.key(), &notice).await;
        told.map_err(port::failure)?;
        Ok(Answer::Done)
    }

    fn bill(&self) -> Result<Bill<'_>, Failure> {
        self.bill.ok_or_else(|| Failure::permanent(NoBill))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("only order.created says what is bought")]
struct NoBill;
