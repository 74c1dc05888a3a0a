//! What the ledger, the sagas and the topics say of all orders at the end.

use std::collections::{BTreeMap, BTreeSet};

use longshore_event::Event;
use longshore_kafka::{From, Reader, ReaderEvent};
use longshore_orders::{OrderCancelled, OrderPaid};
use longshore_saga::State;
use longshore_store::SqlStore;
use longshore_testkit::broker::TestBroker;
use longshore_worker::sql;

use crate::Fate;
use crate::process::Launch;

/// Read beside the worker, which holds its store.
pub(crate) struct Books<'a> {
    broker: &'a TestBroker,
    launch: &'a Launch,
    store: Option<SqlStore>,
}

impl<'a> Books<'a> {
    pub(crate) fn new(broker: &'a TestBroker, launch: &'a Launch) -> Self {
        Self {
            broker,
            launch,
            store: None,
        }
    }

    /// Those of the orders whose saga has not ended, with what is known of it.
    pub(crate) async fn open_ones(
        &mut self,
        orders: &[(Fate, String)],
    ) -> Result<Vec<(Fate, String)>, String> {
        if self.store.is_none() {
            // It is there once the worker has made it.
            let store = SqlStore::inspect(&self.launch.store(), "order-created").await;
            self.store = Some(store.map_err(|error| error.to_string())?);
        }
        let store = self.store.as_ref().expect("just opened");
        let mut open = Vec::new();
        for (fate, id) in orders {
            let sagas = longshore_saga::find(store, id).await;
            let sagas = sagas.map_err(|error| error.to_string())?;
            if !sagas.first().is_some_and(|saga| saga.state.is_end()) {
                open.push((*fate, id.clone()));
            }
        }
        Ok(open)
    }

    /// Whether the payment service has charged an order, if anybody knows of it yet.
    pub(crate) async fn is_charged(&self, id: &str) -> bool {
        let Some(store) = &self.store else {
            return false;
        };
        let charged = ledger(store, id).await;
        charged.iter().any(|entry| entry.starts_with("charged"))
    }

    /// Holds ledger, sagas and topics to what each order's fate says.
    pub(crate) async fn balance(&self, orders: &[(Fate, String)]) {
        let store = self.store.as_ref().expect("open");
        let (paid, cancelled) = (
            self.ids(OrderPaid::TOPIC).await,
            self.ids(OrderCancelled::TOPIC).await,
        );
        for (fate, id) in orders {
            let (entries, state): (&[&str], _) = match fate {
                Fate::Paid => (
                    &["charged 2932", "notified -", "reserved -"],
                    State::Completed,
                ),
                Fate::Declined => (
                    &["declined 2932", "released -", "reserved -"],
                    State::Compensated,
                ),
                Fate::CalledOff | Fate::Late => (
                    &["charged 2932", "refunded 2932", "released -", "reserved -"],
                    State::Compensated,
                ),
            };
            assert_eq!(ledger(store, id).await, entries, "{id}");
            let saga = longshore_saga::find(store, id).await.expect("read");
            assert_eq!(saga[0].state, state, "{id}");
            let said = (count(&paid, id), count(&cancelled, id));
            let expected = match fate {
                Fate::Paid => (1, 0),
                _ => (0, 1),
            };
            assert_eq!(said, expected, "{id}: order.paid, order.cancelled");
        }
    }

    /// Key and ids of the events in a topic. What was published again after a crash has the id it had.
    async fn ids(&self, topic: &str) -> BTreeMap<String, BTreeSet<String>> {
        let reader = Reader::open(&self.broker.connection(), &[topic], From::Beginning).await;
        let mut reader = reader.expect("a reader");
        let mut ids: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        while let ReaderEvent::Record(record) = reader.next().await.expect("read") {
            let key = record.key.as_deref().expect("a key");
            let key = String::from_utf8(key.to_vec()).expect("text");
            let id = record.headers.get_str("ce_id").expect("an id").to_owned();
            ids.entry(key).or_default().insert(id);
        }
        ids
    }
}

fn count(ids: &BTreeMap<String, BTreeSet<String>>, order_id: &str) -> usize {
    ids.get(order_id).map_or(0, BTreeSet::len)
}

/// `outcome amount` of the order's entries.
async fn ledger(store: &SqlStore, order_id: &str) -> Vec<String> {
    let query =
        sql("select outcome, amount from sandbox_ledger where order_id = $1 order by outcome");
    let rows = store.fetch(&query.bind(order_id.to_owned())).await;
    let rows = rows.expect("ledger");
    let line = |row: &longshore_store::Row| {
        let amount = row.integer(1).map(|amount| amount.to_string());
        let outcome = row.text(0).expect("an outcome");
        format!("{outcome} {}", amount.unwrap_or_else(|| "-".into()))
    };
    rows.iter().map(line).collect()
}
