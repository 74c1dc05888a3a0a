//! What sagas leave in a store, on SQLite and on PostgreSQL: one row each, which only the run that knows it replaces.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use longshore_event::{
    DecodeError, Envelope, Headers, Limits, Offset, Payload, Record, TopicPartition,
};
use longshore_saga::{Answer, Call, Ending, Saga, Sagas, State, Step, TABLES, find, list};
use longshore_store::{SqlStore, StoreUrl};
use longshore_testkit::postgres::Postgres;
use longshore_worker::{Context, Failure, Statement, StoreError};
use tokio::sync::Barrier;

/// Sagas at once, as many as fill several batches.
const MANY: usize = 150;

/// Two steps; the second does what the saga is told.
struct Trip(Second);

#[derive(Clone, Copy)]
enum Second {
    Works,
    Refuses,
    Fails,
}

impl Saga for Trip {
    const NAME: &'static str = "trip";
    const STEPS: &'static [Step<bool>] = &[
        Step::new(false, "flight").compensated_by("no-flight"),
        Step::new(true, "hotel").compensated_by("no-hotel"),
    ];
    const LIMIT: Duration = Duration::from_secs(60);
    type Step = bool;
    type Data = Vec<String>;
    type Refusal = String;

    async fn act(
        &self,
        second: bool,
        data: &mut Vec<String>,
        call: &Call<'_>,
    ) -> Result<Answer<String>, Failure> {
        data.push(call.key().to_owned());
        match self.0 {
            Second::Refuses if second => Ok(Answer::Refused("full".to_owned())),
            Second::Fails if second => Err(Failure::transient("no answer")),
            _ => Ok(Answer::Done),
        }
    }

    async fn compensate(&self, _: bool, _: &Vec<String>, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Two steps; the first ends when as many runs as the barrier wants are in it.
struct Meeting(Arc<Barrier>);

impl Saga for Meeting {
    const NAME: &'static str = "meeting";
    const STEPS: &'static [Step<bool>] = &[Step::new(true, "meet"), Step::new(false, "part")];
    const LIMIT: Duration = Duration::from_secs(60);
    type Step = bool;
    type Data = Vec<String>;
    type Refusal = String;

    async fn act(
        &self,
        meets: bool,
        _: &mut Vec<String>,
        _: &Call<'_>,
    ) -> Result<Answer<String>, Failure> {
        if meets {
            self.0.wait().await;
        }
        Ok(Answer::Done)
    }

    async fn compensate(&self, _: bool, _: &Vec<String>, _: &Call<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

#[derive(Debug)]
struct Nothing;

impl Payload for Nothing {
    fn decode(_: &Record) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

type End = Ending<Vec<String>, String>;

/// One run, as a handler makes it: how it ended, and what it leaves to the transaction.
async fn run<S: Saga<Data = Vec<String>, Refusal = String>>(
    sagas: &Sagas,
    saga: S,
    id: &str,
) -> Result<(Option<End>, Vec<Statement>), Failure> {
    let record = Record {
        partition: TopicPartition::new("trips", 0),
        offset: Offset(0),
        timestamp: None,
        key: None,
        value: None,
        headers: Headers::new(),
    };
    let message: Envelope<Nothing> = Envelope::decode(record, &Limits::default()).expect("decoded");
    let group = Arc::from("travellers");
    let mut context = Context::new(&message, &group, 1, Timestamp::UNIX_EPOCH);
    let ending = sagas.run(&saga, id, Vec::new(), &mut context).await?;
    Ok((ending, context.writes().to_vec()))
}

async fn commit(store: &SqlStore, statements: &[Statement]) -> Result<(), StoreError> {
    for statement in statements {
        store.execute(statement).await?;
    }
    Ok(())
}

async fn state(store: &SqlStore, id: &str) -> State {
    find(store, id).await.expect("read")[0].state
}

async fn the_end_is_true_with_the_message(store: &SqlStore) {
    let sagas = Sagas::open(store);
    let (ending, writes) = run(&sagas, Trip(Second::Works), "t-1").await.expect("done");

    let data = vec!["flight:t-1".to_owned(), "hotel:t-1".to_owned()];
    assert_eq!(ending, Some(Ending::Committed(data)));
    assert_eq!(state(store, "t-1").await, State::Running);
    commit(store, &writes).await.expect("committed");
    assert_eq!(state(store, "t-1").await, State::Completed);
    let again = run(&sagas, Trip(Second::Works), "t-1").await;
    assert_eq!(again.expect("nothing").0, None);
}

async fn of_two_ends_one_is_true(store: &SqlStore) {
    let sagas = Sagas::open(store);
    let failed = run(&sagas, Trip(Second::Fails), "t-2").await;
    failed.expect_err("its first step is recorded");
    let (_, one) = run(&sagas, Trip(Second::Works), "t-2").await.expect("ends");
    let (_, other) = run(&sagas, Trip(Second::Works), "t-2").await.expect("ends");

    commit(store, &one).await.expect("committed");
    let refused = commit(store, &other).await;

    assert!(
        matches!(refused, Err(StoreError::Rejected(_))),
        "{refused:?}"
    );
    assert_eq!(state(store, "t-2").await, State::Completed);
}

async fn of_two_instances_in_one_step_one_records(store: &SqlStore) {
    let (one, other) = (Sagas::open(store), Sagas::open(store));
    let both = Arc::new(Barrier::new(2));

    let (one, other) = tokio::join!(
        run(&one, Meeting(both.clone()), "both"),
        run(&other, Meeting(both.clone()), "both"),
    );

    let lost = match (one, other) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        both => panic!("not one of the two: {both:?}"),
    };
    assert!(lost.message().contains("another run"), "{lost:?}");
}

async fn a_failure_is_told_and_a_dead_letter_too(store: &SqlStore) {
    let sagas = Sagas::open(store);
    let failure = run(&sagas, Trip(Second::Fails), "t-3").await;
    assert_eq!(failure.expect_err("fails").message(), "no answer");
    let report = &find(store, "t-3").await.expect("read")[0];
    let part = report.under_way().expect("a step");
    let told = (
        part.name.as_str(),
        part.attempts,
        part.last_error.as_deref(),
    );
    assert_eq!(told, ("hotel", 1, Some("no answer")));

    let stuck = Sagas::stuck::<Trip>("t-3", Timestamp::UNIX_EPOCH);
    store.execute(&stuck).await.expect("written");
    assert_eq!(state(store, "t-3").await, State::Stuck);
    let listed = list(store, &[State::Stuck], 10).await.expect("read");
    assert_eq!(listed.len(), 1);

    let (ending, writes) = run(&sagas, Trip(Second::Refuses), "t-3")
        .await
        .expect("redriven");
    assert_eq!(ending, Some(Ending::Refused("full".to_owned())));
    commit(store, &writes).await.expect("committed");
    assert_eq!(state(store, "t-3").await, State::Compensated);
    store.execute(&stuck).await.expect("too late");
    assert_eq!(state(store, "t-3").await, State::Compensated);
}

async fn many_at_once_harm_no_other(store: &SqlStore) {
    let sagas = Sagas::open(store);
    // Each twice at once, to meet in one batch; and one that PostgreSQL cannot hold.
    let ids: Vec<String> = (0..2 * MANY).map(|n| format!("m-{}", n / 2)).collect();
    let ids = [ids, vec!["nul\0".to_owned()]].concat();

    let runs = join_all(ids.iter().map(|id| run(&sagas, Trip(Second::Works), id))).await;

    for (id, result) in ids.iter().zip(runs) {
        match result {
            Ok((_, writes)) => drop(commit(store, &writes).await),
            Err(failure) if id.starts_with('m') => {
                assert!(failure.message().contains("another run"), "{failure:?}");
            }
            Err(failure) => assert!(failure.message().contains("recorded"), "{failure:?}"),
        }
    }
    for id in ids.iter().filter(|id| id.starts_with('m')) {
        let (_, writes) = run(&sagas, Trip(Second::Works), id).await.expect("goes on");
        commit(store, &writes).await.expect("committed");
        assert_eq!(state(store, id).await, State::Completed, "{id}");
    }
}

async fn all(store: &SqlStore) {
    the_end_is_true_with_the_message(store).await;
    of_two_ends_one_is_true(store).await;
    of_two_instances_in_one_step_one_records(store).await;
    a_failure_is_told_and_a_dead_letter_too(store).await;
    many_at_once_harm_no_other(store).await;
}

#[tokio::test]
async fn on_sqlite() {
    let directory = tempfile::tempdir().expect("a directory");
    let url = StoreUrl::sqlite(directory.path().join("store.db"));
    let store = SqlStore::open(&url, "travellers", &[TABLES]).await;
    all(&store.expect("opens")).await;
}

#[tokio::test]
async fn on_postgres() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let url: StoreUrl = postgres.create_database("sagas").parse().expect("a URL");
    let store = SqlStore::open(&url, "travellers", &[TABLES]).await;
    all(&store.expect("opens")).await;
}
