//! A worker that is killed with -9 at each step of the saga, before and after what the step does and before and after what
//! takes it back: at the end, money and stock balance, and every order has one end.
//!
//! - `mortal`: ports and a handler that kill their process at the place an order names
//! - `process`: the worker, as a process that is started again whenever it was killed
//! - `books`: what the ledger, the sagas and the topics say at the end

mod books;
mod mortal;
mod process;

use std::time::Duration;

use jiff::Timestamp;
use longshore_event::{Event, Identity, encode_new};
use longshore_kafka::KafkaPublisher;
use longshore_orders::{
    CancelReason, Currency, Item, Money, OrderCancellationRequested, OrderCreated, sandbox,
};
use longshore_testkit::broker::TestBroker;
use longshore_worker::Publisher;
use tokio::time::{Instant, sleep};

use books::Books;
use process::{Launch, TOPICS};

/// For all deaths and all orders: some twenty starts of a process.
const WITHIN: Duration = Duration::from_secs(240);

/// Time between two looks at the worker and its books.
const PAUSE: Duration = Duration::from_millis(25);

/// Time between two requests to call an order off.
const REQUEST_AGAIN: Duration = Duration::from_millis(500);

/// What becomes of an order, and with it which steps it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Paid,
    Declined,
    /// It is called off while the payment service does not answer.
    CalledOff,
    /// It is called off between the charge and the confirmation.
    Late,
}

impl Fate {
    /// Every place at which an order of this fate can kill its worker.
    fn places(self) -> &'static [&'static str] {
        match self {
            Self::Paid => &[
                "reserve:before",
                "reserve:after",
                "charge:before",
                "charge:after",
                "confirm:before",
                "confirm:after",
                "notify:before",
                "notify:after",
                "told:before",
            ],
            Self::Declined => &["release:before", "release:after", "end:before"],
            Self::CalledOff | Self::Late => &[
                "refund:before",
                "refund:after",
                "release:before",
                "release:after",
                "end:before",
            ],
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::Declined => "declined",
            Self::CalledOff => "called-off",
            Self::Late => "late",
        }
    }
}

const FATES: [Fate; 4] = [Fate::Paid, Fate::Declined, Fate::CalledOff, Fate::Late];

/// One order for each place.
fn orders() -> Vec<(Fate, String)> {
    let orders = FATES.iter().flat_map(|fate| {
        let places = fate.places().iter();
        places.map(|place| (*fate, mortal::order_id(fate.name(), place)))
    });
    orders.collect()
}

fn created(fate: Fate, order_id: &str) -> OrderCreated {
    let sku = match fate {
        Fate::Declined => sandbox::DECLINED,
        Fate::Paid | Fate::CalledOff | Fate::Late => "CD-12",
    };
    OrderCreated {
        order_id: order_id.to_owned(),
        user_id: "u-7".into(),
        items: vec![Item {
            sku: sku.into(),
            quantity: 2,
            unit_price: Money::new(1466, Currency::USD),
        }],
        created_at: None,
    }
}

fn cancellation(order_id: &str) -> OrderCancellationRequested {
    OrderCancellationRequested {
        order_id: order_id.to_owned(),
        reason: CancelReason::CustomerRequest,
        requested_at: Timestamp::now(),
    }
}

async fn publish<E: Event>(publisher: &KafkaPublisher, events: &[E]) {
    let record = |event| encode_new(event, &Identity::fresh("shop"), None, Timestamp::now());
    let records: Result<Vec<_>, _> = events.iter().map(record).collect();
    let results = publisher.publish(&records.expect("encoded")).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

#[tokio::test]
async fn whichever_step_kills_the_worker_the_books_balance() {
    let broker = TestBroker::own(&TOPICS).await;
    broker.create_topics(&TOPICS.map(|topic| (topic, 2))).await;
    let orders = orders();
    let publisher = KafkaPublisher::connect(&broker.connection()).expect("a publisher");
    let all: Vec<_> = orders.iter().map(|(fate, id)| created(*fate, id)).collect();
    publish(&publisher, &all).await;

    let launch = Launch::new(&broker);
    let mut worker = launch.start();
    let mut books = Books::new(&broker, &launch);
    let (deadline, mut next_request) = (Instant::now() + WITHIN, Instant::now());
    loop {
        let open = books.open_ones(&orders).await;
        if open.as_ref().is_ok_and(Vec::is_empty) {
            break;
        }
        worker.keep_running();
        let in_time = Instant::now() < deadline;
        assert!(in_time, "not ended: {open:?}\n{}", launch.output());
        if Instant::now() >= next_request {
            // Asked again, since a request that comes while its order is in hand waits behind it.
            next_request += REQUEST_AGAIN;
            let mut requests = Vec::new();
            for (fate, id) in open.unwrap_or_default() {
                // Earlier, and there would be nothing to take back.
                if fate == Fate::CalledOff && books.is_charged(&id).await {
                    requests.push(cancellation(&id));
                }
            }
            publish(&publisher, &requests).await;
        }
        sleep(PAUSE).await;
    }

    let all = orders.iter().map(|(_, id)| id.clone()).collect();
    assert_eq!(launch.deaths(), all, "each place killed a worker once");
    books.balance(&orders).await;
}

/// The worker of the test above, which runs this program again with this test alone.
#[test]
#[ignore = "a process of another test"]
fn worker() {
    process::run_if_launched();
}
