//! Who is a member, and for how long.

use super::*;

#[test]
fn a_member_that_does_not_join_again_in_time_is_left_behind() {
    let mut s = Simulation::stable(&["a", "b"]);
    let a = s.rejoin("a");
    for _ in 0..7 {
        s.pass(SESSION * 9 / 10);
        // It lives, but never comes.
        let beat = s.heartbeat("b");
        assert!(
            beat.is_err(),
            "it is told to join, and then that it is none"
        );
    }

    assert_eq!(s.joined(a).members.len(), 1);
    assert_eq!(s.heartbeat("b"), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_silent_member_expires_and_its_partitions_are_assigned_anew() {
    let mut s = Simulation::stable(&["a", "b"]);
    s.pass(SESSION * 2 / 3);
    s.heartbeat("a").unwrap();

    s.pass(SESSION * 2 / 3);

    assert_eq!(s.heartbeat("a"), Err(ResponseError::RebalanceInProgress));
    let a = s.rejoin("a");
    assert_eq!(s.joined(a).members.len(), 1);
}

#[test]
fn a_waiting_member_does_not_expire() {
    let mut s = Simulation::stable(&["a", "b"]);

    let a = s.rejoin("a");
    s.pass(SESSION * 9 / 10);
    assert!(s.heartbeat("b").is_err());
    s.pass(SESSION * 9 / 10);
    let b = s.rejoin("b");

    assert_eq!((s.joined(a).generation, s.joined(b).generation), (2, 2));
}

#[test]
fn a_leader_that_never_assigns_is_removed() {
    let mut s = Simulation::new();
    let joins = [s.join(&join("a")), s.join(&join("b"))];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    let b = s.sync("b", &[]);

    for _ in 0..7 {
        s.pass(SESSION * 9 / 10);
        // It lives, but never assigns.
        assert!(s.heartbeat("a").is_ok() || !s.group.members.contains_key("a"));
    }

    assert_eq!(s.failure(b), ResponseError::RebalanceInProgress);
    let b = s.rejoin("b");
    let joined = s.joined(b);
    assert_eq!((joined.leader.as_str(), joined.members.len()), ("b", 1));
}

#[test]
fn the_last_member_that_leaves_empties_the_group() {
    let mut s = Simulation::stable(&["a"]);

    s.leave("a").unwrap();

    assert_eq!(s.group.state, State::Empty);
    assert_eq!(s.group.next_deadline(), None);
    assert_eq!(s.leave("a"), Err(ResponseError::UnknownMemberId));
}

#[test]
fn a_member_id_is_handed_out_first_and_lapses() {
    let mut s = Simulation::new();
    let asks = Join {
        hand_out_id: true,
        ..join("a")
    };
    let first = s.join(&asks);
    let handed_out = s.answers.remove(&first);
    assert_eq!(handed_out, Some(Answer::MemberIdRequired("a".into())));

    s.pass(SESSION);

    let late = s.rejoin("a");
    assert_eq!(s.failure(late), ResponseError::UnknownMemberId);
    s.join(&asks);
    let in_time = s.rejoin("a");
    s.pass(INITIAL_DELAY);
    assert_eq!(s.joined(in_time).member_id, "a");
}

#[test]
fn a_generation_that_is_over_can_neither_commit_nor_sync() {
    let mut s = Simulation::stable(&["a"]);
    let former = Caller {
        generation: 0,
        ..s.caller("a")
    };

    assert_eq!(
        s.group.may_commit(&former, s.now),
        Err(ResponseError::IllegalGeneration)
    );
    assert_eq!(
        s.group.heartbeat(&former, s.now),
        Err(ResponseError::IllegalGeneration)
    );
    let current = s.caller("a");
    assert_eq!(s.group.may_commit(&current, s.now), Ok(()));
}

#[test]
fn an_outsider_commits_only_while_the_group_is_empty() {
    let mut s = Simulation::stable(&["a"]);
    let outsider = Caller {
        generation: -1,
        ..Caller::default()
    };

    assert_eq!(
        s.group.may_commit(&outsider, s.now),
        Err(ResponseError::UnknownMemberId)
    );
    s.leave("a").unwrap();
    assert_eq!(s.group.may_commit(&outsider, s.now), Ok(()));
}

#[test]
fn a_restored_group_goes_on_and_forgets_members_that_stay_silent() {
    let s = Simulation::stable(&["a", "b"]);
    let later = s.now + Duration::from_secs(3_600);

    let mut restored = Simulation {
        group: Group::restore(s.group.stored(), INITIAL_DELAY, later),
        now: later,
        ..Simulation::new()
    };

    assert_eq!(restored.heartbeat("a"), Ok(()));
    let sync = restored.sync("b", &[]);
    assert_eq!(restored.assignment(sync), b"b");
    restored.pass(SESSION * 2);
    assert!(restored.group.is_empty());
}

#[test]
fn members_are_bounded() {
    let mut s = Simulation::new();
    for n in 0..MAX_MEMBERS {
        s.join(&join(&format!("m{n}")));
    }

    let one_more = s.join(&join("one more"));

    assert_eq!(s.failure(one_more), ResponseError::GroupMaxSizeReached);
}
