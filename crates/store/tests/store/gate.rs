//! A gate answers in the store's place, or after it, and stands before every call.

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use longshore_store::{Call, Gate};
use longshore_worker::{Store, StoreError, sql};

use crate::batch::{CommitNow, identity, writing};
use crate::support::Place;

#[derive(Debug, Default)]
struct Turnstile {
    refuses: Mutex<Option<Call>>,
    loses: Mutex<Option<Call>>,
    inside: Arc<AtomicUsize>,
    passed: AtomicUsize,
}

/// Counts who is inside.
struct Inside(Arc<AtomicUsize>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate for Turnstile {
    fn enter(&self, call: Call) -> Result<Box<dyn Any + Send>, StoreError> {
        if *self.refuses.lock().expect("whole") == Some(call) {
            return Err(StoreError::Unavailable("closed".into()));
        }
        self.inside.fetch_add(1, Ordering::Relaxed);
        self.passed.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Inside(self.inside.clone())))
    }

    fn leave(&self, call: Call) -> Result<(), StoreError> {
        assert_eq!(self.inside.load(Ordering::Relaxed), 1);
        match *self.loses.lock().expect("whole") == Some(call) {
            true => Err(StoreError::Unavailable("lost".into())),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn a_gate_stands_before_the_calls_of_its_store_and_of_no_other() {
    let place = Place::sqlite();
    let open = place.open().await;
    let gate = Arc::new(Turnstile::default());
    let store = open.gated(gate.clone());
    let count = sql("insert into counter (name, count) values ($1, 1)");

    store.ping().await.expect("answers");
    store
        .clone()
        .execute(&count.clone().bind("a"))
        .await
        .expect("ran");
    assert_eq!(gate.passed.load(Ordering::Relaxed), 2);
    *gate.refuses.lock().expect("whole") = Some(Call::Other);
    let refused = store.execute(&count.clone().bind("b")).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );

    let counters = sql("select name from counter order by name");
    let rows = open.fetch(&counters).await.expect("the original is open");
    assert_eq!(rows.len(), 1, "the database was not asked");
    let commit = store.commit_now(&[writing("m", count.bind("c"))]).await;
    commit.expect("commits are other calls");
    assert_eq!(gate.inside.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_commit_may_take_effect_though_its_answer_is_lost() {
    let place = Place::sqlite();
    let open = place.open().await;
    let gate = Arc::new(Turnstile::default());
    *gate.loses.lock().expect("whole") = Some(Call::Commit);
    let store = open.gated(gate);

    let count = sql("insert into counter (name, count) values ('a', 1)");
    let lost = store.commit_now(&[writing("m", count)]).await;

    assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
    let seen = open.seen(&[&identity("m")]).await.expect("answers");
    assert_eq!(seen, [true]);
}
