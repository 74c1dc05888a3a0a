//! `jobs.payment`: one charge.

use longshore_jobs::{Job, JobHandler, JobPayload};
use longshore_services::CallContext;
use longshore_worker::Failure;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;
use crate::port::{Charge, Payment, Payments, failure};
use crate::{Item, Money};

/// A charge to make. It is made once for each job id, however often the job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ChargeOrder {
    /// The order.
    #[schemars(length(min = 1))]
    pub order_id: String,
    /// Who pays.
    #[schemars(length(min = 1))]
    pub user_id: String,
    /// How much.
    pub amount: Money,
    /// The lines on the bill.
    #[serde(default)]
    pub items: Vec<Item>,
}

impl JobPayload for ChargeOrder {
    const TOPIC: &'static str = "jobs.payment";

    fn check(&self) -> Result<(), String> {
        not_empty("orderId", &self.order_id)?;
        not_empty("userId", &self.user_id)
    }
}

/// Makes the charges of `jobs.payment`.
#[derive(Debug)]
pub struct PaymentJobs<P>(pub P);

impl<P: Payments> JobHandler for PaymentJobs<P> {
    type Payload = ChargeOrder;

    /// A declined charge is an answer, and no other run changes it: the job has failed.
    async fn run(&self, job: &Job<ChargeOrder>) -> Result<(), Failure> {
        let order = job.payload();
        let charge = Charge {
            order_id: &order.order_id,
            user_id: &order.user_id,
            amount: order.amount,
            items: &order.items,
        };
        job.log(format!("charging for order {}", order.order_id));
        let key = format!("job:{}", job.id());
        let cause = CallContext {
            correlation_id: job.correlation_id().to_owned(),
            trace_parent: job.trace_parent().map(str::to_owned),
        };
        let charged = cause.scope(self.0.charge(&key, &charge)).await;
        match charged.map_err(failure)? {
            Payment::Charged { payment_id } => {
                job.log(format!("charged as {payment_id}"));
                Ok(())
            }
            Payment::Declined => Err(Failure::permanent(Declined)),
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the payment service declined the charge")]
struct Declined;
