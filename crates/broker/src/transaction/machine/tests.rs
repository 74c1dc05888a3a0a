//! The rules of one transactional id.

use super::*;

const TIMEOUT_MS: i32 = 60_000;

fn scope() -> Scope {
    let mut scope = Scope::default();
    scope.add_partition("t", 0);
    scope
}

fn no_new_id() -> Result<i64, ResponseError> {
    panic!("the epochs are not used up")
}

fn ongoing() -> Transaction {
    let new = Transaction::new(7, TIMEOUT_MS, 0);
    new.add(new.producer, &scope(), 1).unwrap().unwrap()
}

fn prepared(outcome: Outcome) -> Transaction {
    let ongoing = ongoing();
    match ongoing.end(ongoing.producer, outcome, 2).unwrap() {
        End::Prepare(prepared) => prepared,
        End::Already => panic!("it was ongoing"),
    }
}

fn complete(outcome: Outcome) -> Transaction {
    prepared(outcome).complete(3)
}

#[test]
fn a_transaction_begins_with_its_first_partition_and_keeps_its_time() {
    let first = ongoing();
    let mut more = Scope::default();
    more.add_partition("t", 1);

    let second = first.add(first.producer, &more, 50).unwrap().unwrap();
    let nothing_new = second.add(first.producer, &scope(), 60).unwrap();

    assert_eq!(nothing_new, None);
    let State::Ongoing { since_ms, scope } = second.state else {
        panic!("{second:?}");
    };
    assert_eq!(since_ms, 1);
    assert!(scope.has_partition("t", 0) && scope.has_partition("t", 1));
}

#[test]
fn the_next_transaction_has_nothing_of_the_last() {
    let complete = complete(Outcome::Committed);

    let next = complete.add(complete.producer, &Scope::of_group("g"), 9);

    let next = next.unwrap().unwrap();
    assert!(!next.ongoing().unwrap().has_partition("t", 0));
    assert!(next.ongoing().unwrap().has_group("g"));
}

#[test]
fn only_the_present_producer_takes_part() {
    let ongoing = ongoing();
    let stale = Producer { id: 7, epoch: -1 };
    let ahead = Producer { id: 7, epoch: 1 };
    let other = Producer { id: 8, epoch: 0 };

    for (caller, error) in [
        (stale, ResponseError::ProducerFenced),
        (ahead, ResponseError::ProducerFenced),
        (other, ResponseError::InvalidProducerIdMapping),
    ] {
        assert_eq!(ongoing.add(caller, &scope(), 9), Err(error));
        assert_eq!(ongoing.end(caller, Outcome::Committed, 9), Err(error));
        assert_eq!(ongoing.check(caller), Err(error));
    }
}

#[test]
fn an_end_may_be_repeated_and_not_reversed() {
    for (outcome, other) in [
        (Outcome::Committed, Outcome::Aborted),
        (Outcome::Aborted, Outcome::Committed),
    ] {
        let complete = complete(outcome);
        let producer = complete.producer;
        let prepared = prepared(outcome);

        assert_eq!(complete.end(producer, outcome, 9), Ok(End::Already));
        let reversed = complete.end(producer, other, 9);
        assert_eq!(reversed, Err(ResponseError::InvalidTxnState));
        let reversed = prepared.end(producer, other, 9);
        assert_eq!(reversed, Err(ResponseError::InvalidTxnState));
        let under_way = prepared.end(producer, outcome, 9);
        assert_eq!(under_way, Err(ResponseError::ConcurrentTransactions));
    }
}

#[test]
fn nothing_can_be_ended_before_it_began() {
    let new = Transaction::new(7, TIMEOUT_MS, 0);

    let ended = new.end(new.producer, Outcome::Committed, 1);

    assert_eq!(ended, Err(ResponseError::InvalidTxnState));
}

#[test]
fn a_transaction_that_is_not_complete_holds_back_the_next_and_the_next_producer() {
    let prepared = prepared(Outcome::Committed);

    let next = prepared.add(prepared.producer, &scope(), 9);
    let successor = prepared.init(None, TIMEOUT_MS, 9, no_new_id);

    assert_eq!(next, Err(ResponseError::ConcurrentTransactions));
    assert_eq!(successor, Err(ResponseError::ConcurrentTransactions));
}

#[test]
fn fencing_aborts_in_the_name_of_the_next_epoch() {
    let ongoing = ongoing();

    let fenced = ongoing.fence(9).unwrap();

    assert_eq!(fenced.producer, Producer { id: 7, epoch: 1 });
    assert_eq!(fenced.state_name(), "PrepareAbort");
    assert_eq!(fenced.scope(), Some(&scope()));
    assert!(complete(Outcome::Committed).fence(9).is_none());
}

#[test]
fn each_producer_gets_the_next_epoch() {
    let complete = complete(Outcome::Committed);

    let next = complete.init(None, 5_000, 9, no_new_id).unwrap();

    assert_eq!(next.producer, Producer { id: 7, epoch: 1 });
    assert_eq!((next.timeout_ms, &next.state), (5_000, &State::Empty));
}

#[test]
fn a_producer_that_asks_again_for_its_next_epoch_gets_the_same() {
    let complete = complete(Outcome::Aborted);
    let was = Some(complete.producer);
    let next = complete.init(was, TIMEOUT_MS, 9, no_new_id).unwrap();

    let again = next.init(was, TIMEOUT_MS, 10, no_new_id).unwrap();

    assert_eq!(again.producer, next.producer);
}

#[test]
fn a_producer_that_was_taken_over_cannot_take_over_again() {
    let complete = complete(Outcome::Aborted);
    let was = Some(complete.producer);
    let taken_over = complete.init(None, TIMEOUT_MS, 9, no_new_id).unwrap();

    let zombie = taken_over.init(was, TIMEOUT_MS, 10, no_new_id);

    assert_eq!(zombie, Err(ResponseError::ProducerFenced));
}

#[test]
fn a_new_id_follows_the_last_epoch_and_one_is_left_to_fence_it() {
    let mut last = Transaction::new(7, TIMEOUT_MS, 0);
    last.producer.epoch = MAX_EPOCH;

    let begun = last.add(last.producer, &scope(), 1).unwrap().unwrap();
    let fenced = begun.fence(2).unwrap();
    let next = last.init(None, TIMEOUT_MS, 3, || Ok(8)).unwrap();

    assert!(fenced.producer.epoch > last.producer.epoch);
    assert_eq!(next.producer, Producer { id: 8, epoch: 0 });
}
