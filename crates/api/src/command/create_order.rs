//! Somebody places an order.

use longshore_event::derived_id;
use longshore_orders::{Item, OrderCreated};
use longshore_worker::{Origin, StoreError};
use uuid::Uuid;

use super::{Commands, identity, now};
use crate::fault::is_taken;
use crate::{Command, Fault, GROUP, Handles, PlacedOrder};

/// The wish to buy.
#[derive(Clone, Debug)]
pub struct CreateOrder {
    /// What makes a repeated request the same request; without one, each is an order of its own.
    pub idempotency_key: Option<String>,
    /// Who buys.
    pub user_id: String,
    /// What.
    pub items: Vec<Item>,
}

/// Why there is no such order.
#[derive(Debug, thiserror::Error)]
pub enum CreateOrderError {
    /// The items have no sum.
    #[error("{0}")]
    NoTotal(#[from] longshore_orders::MoneyError),
    /// The key stands for another order.
    #[error("the idempotency key was used for another order")]
    KeyReused,
    /// Nobody is to blame.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Command for CreateOrder {
    type Output = PlacedOrder;
    type Error = CreateOrderError;

    const NAME: &'static str = "create-order";
}

impl Handles<CreateOrder> for Commands {
    /// The key decides: the inbox of the command and a unique column of the order take it once. Whoever comes second is
    /// given the order of the first, if it is the same.
    async fn handle(
        &self,
        command: CreateOrder,
        origin: &Origin,
    ) -> Result<PlacedOrder, CreateOrderError> {
        let key = command.idempotency_key;
        let key = key.unwrap_or_else(|| Uuid::now_v7().to_string());
        let identity = identity(format!("create-order/{key}"));
        let created_at = now(&self.clock);
        let event = OrderCreated {
            order_id: derived_id(GROUP, &identity, usize::MAX).to_string(),
            user_id: command.user_id,
            items: command.items,
            created_at: Some(created_at),
        };
        let order = PlacedOrder {
            total: event.total()?,
            order_id: event.order_id.clone(),
            idempotency_key: key,
            user_id: event.user_id.clone(),
            items: event.items.clone(),
            created_at,
        };
        let mut effects = self.outbox.effects(identity, origin);
        effects.write(order.insertion().map_err(Fault::from)?);
        effects.publish(&event).map_err(Fault::from)?;
        match self.outbox.commit(effects).await {
            Ok(()) => Ok(order),
            Err(StoreError::Duplicate) => self.placed_before(&order).await,
            Err(error) if is_taken(&error) => self.placed_before(&order).await,
            Err(error) => Err(Fault::from(error).into()),
        }
    }
}

impl Commands {
    async fn placed_before(&self, wished: &PlacedOrder) -> Result<PlacedOrder, CreateOrderError> {
        let found = self.orders.find_by_key(&wished.idempotency_key).await;
        let Some(placed) = found.map_err(Fault::from)? else {
            return Err(
                Fault::defect("a command has taken effect, but its order is not there").into(),
            );
        };
        if placed.user_id != wished.user_id || placed.items != wished.items {
            return Err(CreateOrderError::KeyReused);
        }
        Ok(placed)
    }
}
