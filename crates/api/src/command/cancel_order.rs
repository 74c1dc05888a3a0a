//! A customer has thought better of an order. Whether it can still be cancelled is decided by the worker of `order.created`.

use longshore_orders::{CancelReason, OrderCancellationRequested};
use longshore_worker::{Origin, StoreError};

use super::{Commands, identity, now};
use crate::{Command, Fault, Handles, OrderStatus};

/// The wish that an order come to nothing.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    /// The order.
    pub order_id: String,
}

/// Why it is not even asked for.
#[derive(Debug, thiserror::Error)]
pub enum CancelOrderError {
    /// There is no such order.
    #[error("there is no order {0}")]
    NotFound(String),
    /// It is paid, or has ended.
    #[error("the order is {} and can no longer be cancelled", .0.as_str())]
    TooLate(OrderStatus),
    /// Nobody is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Command for CancelOrder {
    type Output = ();
    type Error = CancelOrderError;

    const NAME: &'static str = "cancel-order";
}

impl Handles<CancelOrder> for Commands {
    async fn handle(&self, command: CancelOrder, origin: &Origin) -> Result<(), CancelOrderError> {
        let order_id = command.order_id;
        match self.view.find(&order_id).await.map_err(Fault::from)? {
            Some(order) if order.status != OrderStatus::Pending => {
                return Err(CancelOrderError::TooLate(order.status));
            }
            Some(_) => {}
            None => {
                let placed = self.orders.find(&order_id).await;
                if placed.map_err(Fault::from)?.is_none() {
                    return Err(CancelOrderError::NotFound(order_id));
                }
            }
        }
        let identity = identity(format!("cancel-order/{order_id}"));
        let mut effects = self.outbox.effects(identity, origin);
        let requested = OrderCancellationRequested {
            order_id,
            reason: CancelReason::CustomerRequest,
            requested_at: now(&self.clock),
        };
        effects.publish(&requested).map_err(Fault::from)?;
        match self.outbox.commit(effects).await {
            // It was asked for before.
            Ok(()) | Err(StoreError::Duplicate) => Ok(()),
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}
