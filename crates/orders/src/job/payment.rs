//! `jobs.payment`: one charge.

use longshore_jobs::JobPayload;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::not_empty;
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
