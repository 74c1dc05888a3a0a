//! The group state machine under injected time.

use std::collections::HashMap;

use super::super::member::{Client, Protocol};
use super::*;

const INITIAL_DELAY: Duration = Duration::from_millis(50);
const SESSION: Duration = Duration::from_secs(10);
const REBALANCE: Duration = Duration::from_secs(60);

/// A group with a clock of its own, and the answers that came out of it.
struct Simulation {
    group: Group,
    now: Instant,
    calls: CallId,
    answers: HashMap<CallId, Answer>,
    persisted: usize,
}

impl Simulation {
    fn new() -> Self {
        Self {
            group: Group::new(INITIAL_DELAY),
            now: Instant::now(),
            calls: 0,
            answers: HashMap::new(),
            persisted: 0,
        }
    }

    /// A stable group of new members with these names; their assignment is their own name.
    fn stable(names: &[&str]) -> Self {
        let mut simulation = Self::new();
        let calls: Vec<_> = names
            .iter()
            .map(|name| simulation.join(&join(name)))
            .collect();
        simulation.pass(INITIAL_DELAY);
        for call in calls {
            simulation.joined(call);
        }
        simulation.sync_all();
        assert_eq!(simulation.group.state, State::Stable);
        simulation
    }

    fn join(&mut self, join: &Join) -> CallId {
        self.calls += 1;
        let call = self.calls;
        let join = Join {
            call,
            ..join.clone()
        };
        let actions = self.group.join(join, self.now);
        self.take(actions);
        call
    }

    fn rejoin(&mut self, id: &str) -> CallId {
        self.join(&Join {
            member_id: id.into(),
            ..join(id)
        })
    }

    fn sync(&mut self, id: &str, assignments: &[&str]) -> CallId {
        self.calls += 1;
        let assigned = assignments
            .iter()
            .map(|id| ((*id).to_owned(), id.as_bytes().to_vec()));
        let sync = Sync {
            call: self.calls,
            caller: self.caller(id),
            protocol_type: Some("consumer".into()),
            protocol: None,
            assignments: assigned.collect(),
        };
        let actions = self.group.sync(sync, self.now);
        self.take(actions);
        self.calls
    }

    /// Everyone syncs, the leader last.
    fn sync_all(&mut self) {
        let leader = self.group.leader.clone().unwrap();
        let ids: Vec<String> = self.group.members.keys().cloned().collect();
        for id in ids.iter().filter(|id| **id != leader) {
            self.sync(id, &[]);
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.sync(&leader, &ids);
    }

    fn heartbeat(&mut self, id: &str) -> Result<(), ResponseError> {
        let caller = self.caller(id);
        self.group.heartbeat(&caller, self.now)
    }

    fn leave(&mut self, id: &str) -> Result<(), ResponseError> {
        let leaver = Leaver {
            member_id: id.into(),
            instance_id: None,
        };
        let mut actions = Vec::new();
        let left = self.group.leave(&leaver, self.now, &mut actions);
        self.take(actions);
        left
    }

    /// Lets time go by, from deadline to deadline as the coordinator does.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(deadline) = self.group.next_deadline().filter(|at| *at <= end) {
            self.now = deadline;
            let actions = self.group.tick(self.now);
            self.take(actions);
        }
        self.now = end;
    }

    fn caller(&self, id: &str) -> Caller {
        Caller {
            member_id: id.into(),
            instance_id: None,
            generation: self.group.generation,
        }
    }

    fn joined(&mut self, call: CallId) -> Joined {
        match self.answers.remove(&call) {
            Some(Answer::Joined(joined)) => joined,
            other => panic!("call {call} is answered by {other:?}"),
        }
    }

    fn assignment(&mut self, call: CallId) -> Vec<u8> {
        match self.answers.remove(&call) {
            Some(Answer::Synced(synced)) => synced.assignment,
            other => panic!("call {call} is answered by {other:?}"),
        }
    }

    fn failure(&mut self, call: CallId) -> ResponseError {
        match self.answers.remove(&call) {
            Some(Answer::Failed(error)) => error,
            other => panic!("call {call} is answered by {other:?}"),
        }
    }

    fn take(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Persist => self.persisted += 1,
                Action::Answer(call, answer) => {
                    let second = self.answers.insert(call, answer);
                    assert_eq!(second, None, "call {call} is answered once");
                }
            }
        }
    }
}

/// A new member that will have the id `name`.
fn join(name: &str) -> Join {
    Join {
        call: 0,
        member_id: String::new(),
        instance_id: None,
        client: Client {
            id: name.into(),
            host: "/127.0.0.1".into(),
        },
        session_timeout: SESSION,
        rebalance_timeout: REBALANCE,
        protocol_type: "consumer".into(),
        protocols: vec![protocol("range")],
        fresh_id: name.into(),
        hand_out_id: false,
        can_skip_assignment: true,
    }
}

fn protocol(name: &str) -> Protocol {
    Protocol {
        name: name.into(),
        metadata: b"topics".to_vec(),
    }
}

fn static_join(name: &str, instance: &str) -> Join {
    Join {
        instance_id: Some(instance.into()),
        ..join(name)
    }
}

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
fn a_static_member_comes_back_without_a_rebalance_and_fences_its_former_self() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    let back = s.join(&static_join("b2", "b"));

    let joined = s.joined(back);
    assert_eq!((joined.generation, joined.member_id.as_str()), (1, "b2"));
    let sync = s.sync("b2", &[]);
    assert_eq!(
        s.assignment(sync),
        b"b1",
        "it keeps what its former self had"
    );
    let former = Caller {
        instance_id: Some("b".into()),
        ..s.caller("b1")
    };
    assert_eq!(
        s.group.heartbeat(&former, s.now),
        Err(ResponseError::FencedInstanceId)
    );
}

#[test]
fn a_static_leader_that_comes_back_does_not_assign_again() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    let new_client = s.join(&static_join("a2", "a"));
    let told = s.joined(new_client);
    assert!(told.skip_assignment && told.leader == "a2" && told.members.len() == 2);

    let old_client = s.join(&Join {
        can_skip_assignment: false,
        ..static_join("a3", "a")
    });
    let told = s.joined(old_client);
    assert!(!told.skip_assignment && told.leader != told.member_id && told.members.is_empty());
}

#[test]
fn absent_static_members_keep_their_place_until_their_session_ends() {
    let mut s = Simulation::new();
    let joins = [
        s.join(&static_join("a1", "a")),
        s.join(&static_join("b1", "b")),
    ];
    s.pass(INITIAL_DELAY);
    for call in joins {
        s.joined(call);
    }
    s.sync_all();

    s.pass(SESSION - Duration::from_millis(1));
    assert_eq!(s.group.members.len(), 2);
    s.pass(Duration::from_millis(1));

    s.pass(REBALANCE);
    assert_eq!(s.group.state, State::Empty);
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
