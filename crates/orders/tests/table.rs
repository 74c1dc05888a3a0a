//! The state machine in SQL is the state machine in Rust.

use jiff::Timestamp;
use longshore_orders::{Advance, MIGRATIONS, OrderState, OrderTable};
use longshore_store::{SqlStore, StoreUrl};

/// Histories checked; each is a few statements on one SQLite file.
const HISTORIES: usize = 60;

#[tokio::test]
async fn any_history_ends_in_the_same_state_in_both() {
    let dir = tempfile::tempdir().expect("directory");
    let url = StoreUrl::sqlite(dir.path().join("orders.db"));
    let store = SqlStore::open(&url, "orders", MIGRATIONS)
        .await
        .expect("store");
    let table = OrderTable::new(store.clone());

    for history in 0..HISTORIES {
        let order_id = format!("o-{history}");
        let mut expected: Option<OrderState> = None;
        // The digits of the number choose the states, so that every run checks the same histories.
        let mut digits = history * 97 + 13;
        for _ in 0..4 {
            let reached = OrderState::ALL[digits % OrderState::ALL.len()];
            digits /= OrderState::ALL.len();
            let step = Advance {
                order_id: &order_id,
                state: reached,
                user_id: None,
                amount: None,
                reference: None,
                created_at: None,
                at: Timestamp::UNIX_EPOCH,
            };
            store.execute(&step.statement()).await.expect("recorded");
            expected = Some(expected.map_or(reached, |state| state.after(reached)));
            let found = table.state(&order_id).await.expect("state");
            assert_eq!(found, expected, "history {history}");
        }
    }
}
