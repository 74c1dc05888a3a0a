//! Parcels, asked of the carrier.

use longshore_services::Endpoint;

use super::failed;
use super::wire::{BookingAnswer, BookingRequest};
use crate::{Booking, Carrier, ServiceError};

/// [`Carrier`] over HTTP.
#[derive(Clone, Debug)]
pub struct RemoteCarrier(pub Endpoint);

impl Carrier for RemoteCarrier {
    async fn book(&self, key: &str, order_id: &str) -> Result<Booking, ServiceError> {
        let request = BookingRequest {
            order_id: order_id.into(),
        };
        let answer = self.0.post(&["bookings"], key, &request).await;
        let BookingAnswer {
            carrier,
            tracking_number,
        } = answer.map_err(|error| failed("the carrier", error))?;
        Ok(Booking {
            carrier,
            tracking_number,
        })
    }
}
