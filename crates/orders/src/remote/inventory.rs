//! The stock, asked of the product service.

use longshore_services::Endpoint;

use super::wire::{ReleaseRequest, ReservationAnswer, ReservationRequest};
use super::{Done, failed};
use crate::{Inventory, Item, Reservation, ServiceError};

const NAME: &str = "the product service";

/// [`Inventory`] over HTTP.
#[derive(Clone, Debug)]
pub struct RemoteInventory(pub Endpoint);

impl Inventory for RemoteInventory {
    async fn reserve(
        &self,
        key: &str,
        order_id: &str,
        items: &[Item],
    ) -> Result<Reservation, ServiceError> {
        let request = ReservationRequest {
            order_id: order_id.into(),
            items: items.into(),
        };
        let answer = self.0.post(&["reservations"], key, &request).await;
        match answer.map_err(|error| failed(NAME, error))? {
            ReservationAnswer::Reserved => Ok(Reservation::Reserved),
            ReservationAnswer::SoldOut => Ok(Reservation::SoldOut),
        }
    }

    async fn release(&self, key: &str, order_id: &str) -> Result<(), ServiceError> {
        let request = ReleaseRequest {
            order_id: order_id.into(),
        };
        let answer = self.0.post::<Done>(&["releases"], key, &request).await;
        answer.map_err(|error| failed(NAME, error))?;
        Ok(())
    }
}
