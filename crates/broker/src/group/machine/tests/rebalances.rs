//! Generations, leaders, protocols and assignments.

use super::*;

#[test]
fn members_that_come_within_the_initial_delay_share_one_generation() {
    let mut s = Simulation::new();
    let a = s.join(&join("a"));
    s.pass(INITIAL_DELAY / 2);
    let b = s.join(&join("b"));
    assert!(s.answers.is_empty());

    s.pass(INITIAL_DELAY / 2);

    let (a, b) = (s.joined(a), s.joined(b));
    assert_eq!((a.generation, b.generation), (1, 1));
    assert_eq!((a.leader.as_str(), b.leader.as_str()), ("a", "a"));
    assert_eq!(
        (a.members.len(), b.members.len()),
        (2, 0),
        "only the leader sees members"
    );
}

#[test]
fn the_leaders_assignment_answers_everyone_and_is_persisted() {
    let mut s = Simulation::new();
    let joins = [s.join(&join("a")), s.join(&join("b"))];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }

    let b = s.sync("b", &[]);
    assert!(s.answers.is_empty());
    let a = s.sync("a", &["a", "b"]);

    assert_eq!(
        (s.assignment(a), s.assignment(b)),
        (b"a".to_vec(), b"b".to_vec())
    );
    assert_eq!((s.group.state, s.persisted), (State::Stable, 1));
}

#[test]
fn a_new_member_makes_the_others_join_again() {
    let mut s = Simulation::stable(&["a"]);

    let b = s.join(&join("b"));
    assert_eq!(s.heartbeat("a"), Err(ResponseError::RebalanceInProgress));
    let a = s.rejoin("a");

    assert_eq!((s.joined(a).generation, s.joined(b).generation), (2, 2));
}

#[test]
fn the_protocol_that_most_prefer_of_those_all_support_is_chosen() {
    let mut s = Simulation::new();
    let prefers = |name: &str, protocols: &[&str]| Join {
        protocols: protocols.iter().map(|name| protocol(name)).collect(),
        ..join(name)
    };
    let a = s.join(&prefers("a", &["sticky", "range", "robin"]));
    s.join(&prefers("b", &["robin", "range"]));
    s.join(&prefers("c", &["range", "robin"]));
    let stranger = s.join(&prefers("d", &["sticky"]));

    s.pass(INITIAL_DELAY);

    assert_eq!(s.joined(a).protocol, "range");
    assert_eq!(
        s.failure(stranger),
        ResponseError::InconsistentGroupProtocol
    );
}

#[test]
fn a_lost_answer_is_given_again() {
    let mut s = Simulation::new();
    let joins = [s.join(&join("a")), s.join(&join("b"))];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }

    let again = s.rejoin("b");
    assert_eq!(s.joined(again).generation, 1);
    s.sync_all();
    let again = s.sync("b", &[]);
    assert_eq!(s.assignment(again), b"b");
}
