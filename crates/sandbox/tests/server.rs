//! The sandbox over HTTP: asked by the ports of the order system, and by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use longshore_orders::sandbox::{DECLINED, FLAKY, POISON, SOLD_OUT};
use longshore_orders::{
    Carrier, Charge, Currency, Inventory, Item, MIGRATIONS, Money, Notice, NoticeKind, Notifier,
    OrderServices, Payment, Payments, Refund, Reservation, ServiceError,
};
use longshore_sandbox::{Knobs, SandboxServer};
use longshore_services::{Addresses, CallSettings, Service, ServiceClient};
use longshore_store::{SqlStore, StoreUrl};
use serde_json::{Value, json};

const SERVICES: [Service; 4] = [
    Service::Product,
    Service::Payment,
    Service::Notification,
    Service::Carrier,
];

/// A sandbox, and a worker's ports that know its address.
struct Town {
    server: SandboxServer,
    ports: OrderServices,
    own_store: SqlStore,
    http: reqwest::Client,
    _directory: tempfile::TempDir,
}

impl Town {
    async fn open() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let ledger = StoreUrl::sqlite(directory.path().join("sandbox.db"));
        let server = SandboxServer::start(address, ledger, Knobs::new(1)).await;
        let server = server.expect("starts");
        let mut addresses = Addresses::default();
        for service in SERVICES {
            addresses.set(service, &server.url(service)).expect("a URL");
        }
        // Each call is counted, so none may be tried again because the machine is slow.
        let settings = CallSettings {
            timeout: Duration::from_secs(60),
            ..CallSettings::default()
        };
        let client = ServiceClient::new(&addresses, settings).expect("a client");
        let own = StoreUrl::sqlite(directory.path().join("worker.db"));
        let own_store = SqlStore::open(&own, "worker", MIGRATIONS)
            .await
            .expect("a store");
        Self {
            ports: OrderServices::new(&client, &own_store),
            server,
            own_store,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client"),
            _directory: directory,
        }
    }

    fn at(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.address())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let response = self
            .http
            .get(self.at(path))
            .send()
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }

    async fn put(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.put(self.at(path)).body(body.to_string());
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        (status, serde_json::from_str(&text).expect("JSON"))
    }

    /// The balance of the only order.
    async fn balance(&self) -> Value {
        let (status, summary) = self.get("/ledger/summary").await;
        assert_eq!(status, 200);
        summary["orders"][0].clone()
    }
}

fn items(sku: &str) -> [Item; 1] {
    [Item {
        sku: sku.into(),
        quantity: 2,
        unit_price: Money::new(1466, Currency::USD),
    }]
}

fn charge(items: &[Item]) -> Charge<'_> {
    Charge {
        order_id: "o-1",
        user_id: "u-7",
        amount: Money::new(2932, Currency::USD),
        items,
    }
}

#[tokio::test]
async fn every_port_is_served_and_the_ledger_balances() {
    let town = Town::open().await;
    let (ports, items) = (&town.ports, items("CD-12"));

    let reserved = ports.reserve("reserve:o-1", "o-1", &items).await;
    assert_eq!(reserved.expect("an answer"), Reservation::Reserved);
    let first = ports
        .charge("charge:o-1", &charge(&items))
        .await
        .expect("an answer");
    let again = ports
        .charge("charge:o-1", &charge(&items))
        .await
        .expect("an answer");
    assert_eq!(first, again);
    let booking = ports.book("book:o-1", "o-1").await.expect("an answer");
    assert_eq!(booking.carrier, "Sandbox Express");
    let notice = Notice {
        order_id: "o-1",
        user_id: "u-7",
        kind: NoticeKind::Confirmed,
    };
    ports
        .notify("notify:o-1", &notice)
        .await
        .expect("an answer");
    assert_eq!(
        town.balance().await,
        json!({
            "orderId": "o-1", "charges": 1, "charged": 2932, "refunds": 0, "refunded": 0, "money": 2932,
            "reservations": 1, "releases": 0, "held": 1, "bookings": 1, "notices": 1, "calls": 5,
        })
    );

    let Payment::Charged { payment_id } = first else {
        panic!("{first:?}");
    };
    let refund = Refund {
        order_id: "o-1",
        payment_id: &payment_id,
        amount: Money::new(2932, Currency::USD),
    };
    ports
        .refund("refund:o-1", &refund)
        .await
        .expect("an answer");
    ports
        .release("release:o-1", "o-1")
        .await
        .expect("an answer");
    let balance = town.balance().await;
    assert_eq!(
        (&balance["money"], &balance["held"]),
        (&json!(0), &json!(0))
    );
    let (_, summary) = town.get("/ledger/summary").await;
    let dollars = summary["totals"].as_array().expect("totals");
    let dollars = dollars.iter().find(|total| total["currency"] == "USD");
    assert_eq!(dollars.expect("dollars")["money"], 0);
    let (_, rest) = town.get("/ledger/summary?after=o-1").await;
    assert_eq!(rest["orders"], json!([]));

    let query = longshore_worker::sql("select count(*) from sandbox_ledger");
    let row = town
        .own_store
        .fetch_optional(&query)
        .await
        .expect("a store")
        .expect("a row");
    assert_eq!(
        row.integer(0),
        Some(0),
        "nothing is in the worker's own ledger"
    );
}

#[tokio::test]
async fn test_skus_choose_the_outcome_over_http_as_well() {
    let town = Town::open().await;
    let ports = &town.ports;

    let sold_out = ports.reserve("reserve:a", "a", &items(SOLD_OUT)).await;
    assert_eq!(sold_out.expect("an answer"), Reservation::SoldOut);
    let declined = ports.charge("charge:b", &charge(&items(DECLINED))).await;
    assert_eq!(declined.expect("an answer"), Payment::Declined);
    let flaky = ports.charge("charge:c", &charge(&items(FLAKY))).await;
    flaky.expect("the third try of the one call");
    let poison = ports.reserve("reserve:d", "d", &items(POISON)).await;
    let error = poison.expect_err("rejected");
    assert!(matches!(error, ServiceError::Rejected { .. }), "{error:?}");
}

#[tokio::test]
async fn a_write_without_a_key_is_refused_as_a_problem() {
    let town = Town::open().await;
    let request = town.http.post(town.at("/payment/charges")).body("{}");
    let response = request.send().await.expect("an answer");

    assert_eq!(response.status(), 400);
    assert_eq!(
        response.headers()["content-type"],
        "application/problem+json"
    );
    let text = response.text().await.expect("a body");
    let problem: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (&problem["title"], &problem["status"]),
        (&json!("No idempotency key"), &json!(400))
    );
}

#[tokio::test]
async fn an_outage_is_one_service_s_and_is_turned_off_again() {
    let town = Town::open().await;
    let (status, turned) = town.put("/knobs/payment", json!({"outage": true})).await;
    assert_eq!((status, &turned["outage"]), (200, &json!(true)));
    let (status, problem) = town.get("/payment/healthz").await;
    assert_eq!((status, &problem["title"]), (503, &json!("Out of service")));
    assert_eq!(town.get("/product/healthz").await.0, 200);
    let items = items("CD-12");
    let error = town
        .ports
        .charge("charge:o-1", &charge(&items))
        .await
        .expect_err("out");
    assert!(
        matches!(error, ServiceError::Unavailable { .. }),
        "{error:?}"
    );

    town.put("/knobs/payment", json!({})).await;

    town.ports
        .charge("charge:o-1", &charge(&items))
        .await
        .expect("back");
    let (_, knobs) = town.get("/knobs").await;
    assert_eq!(knobs["payment"]["outage"], false);
}

#[tokio::test]
async fn errors_have_no_effect_and_lost_answers_have_theirs() {
    let town = Town::open().await;
    let items = items("CD-12");
    for (knobs, charges) in [(json!({"errors": 1}), 0), (json!({"lostAnswers": 1.0}), 1)] {
        town.put("/knobs/payment", knobs.clone()).await;
        let error = town
            .ports
            .charge("charge:o-1", &charge(&items))
            .await
            .expect_err("fails");
        assert!(
            matches!(error, ServiceError::Unavailable { .. }),
            "{error:?}"
        );
        let balance = town.balance().await;
        assert_eq!(balance["charges"].as_i64().unwrap_or(0), charges, "{knobs}");
    }
    assert_eq!(
        town.balance().await["calls"],
        3,
        "each of the three tries was recorded"
    );
}

#[tokio::test]
async fn what_makes_no_sense_of_a_knob_is_told() {
    let town = Town::open().await;
    for (path, body, expected) in [
        ("/knobs/auth", json!({}), 404),
        ("/knobs/payment", json!({"errors": 2}), 400),
        ("/knobs/payment", json!({"outrage": true}), 400),
    ] {
        let (status, problem) = town.put(path, body).await;
        assert_eq!(status, expected, "{problem}");
    }
    assert_eq!(town.get("/nowhere").await.0, 404);
}
