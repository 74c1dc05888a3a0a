//! Any event of an order: add it to the sums.

use longshore_event::Envelope;
use longshore_worker::{Context, Failure, Handler};

use super::fact::Fact;
use super::record;
use crate::OrderEvent;

/// Leaves three statements for each event, asks nothing and publishes nothing.
///
/// The statements find out by themselves whether the order has had such an event before. The first of them locks the
/// order's row, so that two instances that hear of one order at the same moment count what is between their two events
/// once, and count it at all.
#[derive(Clone, Copy, Debug)]
pub struct AnalyticsHandler;

impl Handler for AnalyticsHandler {
    type Payload = OrderEvent;

    const NAME: &'static str = "analytics";

    async fn handle(
        &self,
        message: &Envelope<OrderEvent>,
        context: &mut Context<'_, OrderEvent>,
    ) -> Result<(), Failure> {
        let told_at = message.time().unwrap_or_else(|| context.now());
        let fact = Fact::of(message.event(), told_at)?;
        let partition = message.record().partition.partition;
        let shard = format!("{}/{partition}", fact.state.as_str());
        context.write(record::order(&fact));
        context.write(record::hour(&fact, &shard));
        context.write(record::times(&fact, &shard));
        Ok(())
    }
}
