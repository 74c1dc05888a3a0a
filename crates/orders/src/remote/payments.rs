//! Money, asked of the payment service.

use longshore_services::Endpoint;

use super::wire::{ChargeAnswer, ChargeRequest, RefundRequest};
use super::{Done, failed};
use crate::{Charge, Payment, Payments, Refund, ServiceError};

const NAME: &str = "the payment service";

/// [`Payments`] over HTTP.
#[derive(Clone, Debug)]
pub struct RemotePayments(pub Endpoint);

impl Payments for RemotePayments {
    async fn charge(&self, key: &str, charge: &Charge<'_>) -> Result<Payment, ServiceError> {
        let request = ChargeRequest {
            order_id: charge.order_id.into(),
            user_id: charge.user_id.into(),
            amount: charge.amount,
            items: charge.items.into(),
        };
        let answer = self.0.post(&["charges"], key, &request).await;
        match answer.map_err(|error| failed(NAME, error))? {
            ChargeAnswer::Charged { payment_id } => Ok(Payment::Charged { payment_id }),
            ChargeAnswer::Declined => Ok(Payment::Declined),
        }
    }

    async fn refund(&self, key: &str, refund: &Refund<'_>) -> Result<(), ServiceError> {
        let request = RefundRequest {
            order_id: refund.order_id.into(),
            payment_id: refund.payment_id.into(),
            amount: refund.amount,
        };
        let answer = self.0.post::<Done>(&["refunds"], key, &request).await;
        answer.map_err(|error| failed(NAME, error))?;
        Ok(())
    }
}
