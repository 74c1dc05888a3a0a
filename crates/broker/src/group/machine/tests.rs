//! The group state machine under injected time: the simulation, and the tests by subject.

mod membership;
mod rebalances;
mod static_members;

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
