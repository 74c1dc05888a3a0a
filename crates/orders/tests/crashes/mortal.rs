//! Ports and a handler over the sandbox that kill their own process with -9, once at each place that an order names.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

use longshore_event::Envelope;
use longshore_orders::{
    Charge, Inventory, Item, Notice, Notifier, OrderCreatedHandler, Payment, Payments,
    PurchaseEvent, Refund, Reservation, Sandbox, ServiceError,
};
use longshore_store::SqlStore;
use longshore_worker::{Context, Failure, Handler, Statement, sql};

/// The id of an order of this fate that kills its worker at this place, such as `charge:after`.
pub(crate) fn order_id(fate: &str, place: &str) -> String {
    format!("{fate}:{place}")
}

/// The sandbox, and where it is written down that somebody died.
#[derive(Clone)]
pub(crate) struct Mortal {
    sandbox: Sandbox,
    store: SqlStore,
    graves: PathBuf,
}

impl Mortal {
    pub(crate) fn new(store: &SqlStore, graves: PathBuf) -> Self {
        Self {
            sandbox: Sandbox::open(store),
            store: store.clone(),
            graves,
        }
    }

    /// Dies, if this is the place that the order names and nobody has died of it yet.
    fn pass(&self, order_id: &str, call: &str, moment: &str) {
        if !order_id.ends_with(&format!(":{call}:{moment}")) {
            return;
        }
        let grave = self.graves.join(order_id);
        if File::create_new(grave).is_ok() {
            let id = std::process::id().to_string();
            let killed = Command::new("kill").args(["-9", &id]).status();
            unreachable!("kill -9 was survived: {killed:?}");
        }
    }

    async fn is_called_off(&self, order_id: &str) -> bool {
        let query = sql("select reason from order_cancellations where order_id = $1");
        let query = query.bind(order_id.to_owned());
        let row = self.store.fetch_optional(&query).await;
        row.expect("read").is_some()
    }

    /// What another instance would record at this moment.
    async fn call_off(&self, order_id: &str) {
        let insert = "insert into order_cancellations values ($1, 'expired', 0) on conflict (order_id) do nothing";
        let insert = sql(insert).bind(order_id.to_owned());
        self.store.execute(&insert).await.expect("recorded");
    }
}

impl Inventory for Mortal {
    async fn reserve(
        &self,
        key: &str,
        order_id: &str,
        items: &[Item],
    ) -> Result<Reservation, ServiceError> {
        self.pass(order_id, "reserve", "before");
        let answer = self.sandbox.reserve(key, order_id, items).await;
        self.pass(order_id, "reserve", "after");
        answer
    }

    async fn release(&self, key: &str, order_id: &str) -> Result<(), ServiceError> {
        self.pass(order_id, "release", "before");
        let answer = self.sandbox.release(key, order_id).await;
        self.pass(order_id, "release", "after");
        answer
    }
}

impl Payments for Mortal {
    async fn charge(&self, key: &str, charge: &Charge<'_>) -> Result<Payment, ServiceError> {
        let order_id = charge.order_id;
        self.pass(order_id, "charge", "before");
        let answer = self.sandbox.charge(key, charge).await;
        self.pass(order_id, "charge", "after");
        if order_id.starts_with("late") {
            self.call_off(order_id).await;
        }
        if order_id.starts_with("called-off") && !self.is_called_off(order_id).await {
            return Err(ServiceError::Unavailable {
                service: "the payment service",
                source: "the answer is lost".into(),
            });
        }
        answer
    }

    async fn refund(&self, key: &str, refund: &Refund<'_>) -> Result<(), ServiceError> {
        self.pass(refund.order_id, "refund", "before");
        let answer = self.sandbox.refund(key, refund).await;
        self.pass(refund.order_id, "refund", "after");
        answer
    }
}

impl Notifier for Mortal {
    async fn notify(&self, key: &str, notice: &Notice<'_>) -> Result<(), ServiceError> {
        self.pass(notice.order_id, "notify", "before");
        let answer = self.sandbox.notify(key, notice).await;
        self.pass(notice.order_id, "notify", "after");
        answer
    }
}

/// The handler, which dies between its decisions and their transaction, and between that and what follows from it.
pub(crate) struct MortalHandler {
    mortal: Mortal,
    handler: OrderCreatedHandler<Mortal, Mortal, Mortal>,
}

impl MortalHandler {
    pub(crate) fn new(mortal: Mortal, store: &SqlStore) -> Self {
        let handler =
            OrderCreatedHandler::new(mortal.clone(), mortal.clone(), mortal.clone(), store);
        Self { mortal, handler }
    }
}

impl Handler for MortalHandler {
    type Payload = PurchaseEvent;
    const NAME: &'static str = "order-created";

    async fn handle(
        &self,
        message: &Envelope<PurchaseEvent>,
        context: &mut Context<'_, PurchaseEvent>,
    ) -> Result<(), Failure> {
        if let PurchaseEvent::Paid(paid) = message.event() {
            self.mortal.pass(&paid.order_id, "confirm", "after");
        }
        self.handler.handle(message, context).await?;
        match message.event() {
            PurchaseEvent::Created(order) => {
                self.mortal.pass(&order.order_id, "confirm", "before");
                self.mortal.pass(&order.order_id, "end", "before");
            }
            PurchaseEvent::Paid(paid) => self.mortal.pass(&paid.order_id, "told", "before"),
            PurchaseEvent::CancellationRequested(_) => {}
        }
        Ok(())
    }

    fn given_up(
        &self,
        message: &Envelope<PurchaseEvent>,
        failure: &Failure,
        now: jiff::Timestamp,
    ) -> Vec<Statement> {
        self.handler.given_up(message, failure, now)
    }
}
