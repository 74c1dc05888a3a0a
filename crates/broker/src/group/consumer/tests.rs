//! The consumer protocol under injected time: one clock, members that may lose answers, and topics that may grow.

use super::*;

const REBALANCE: Duration = Duration::from_secs(60);

/// A group with a clock of its own, and what each member believes.
struct Simulation {
    group: ConsumerGroup,
    now: Instant,
    partitions: i32,
    members: BTreeMap<String, Believer>,
}

/// A client: what it was told last.
#[derive(Debug, Clone, Default)]
struct Believer {
    epoch: i32,
    instance_id: Option<String>,
    owned: Partitions,
}

impl Simulation {
    fn new(partitions: i32) -> Self {
        Self {
            group: ConsumerGroup::default(),
            now: Instant::now(),
            partitions,
            members: BTreeMap::new(),
        }
    }

    fn with(partitions: i32, members: &[&str]) -> Self {
        let mut simulation = Self::new(partitions);
        for member in members {
            simulation.join(member, None).expect("joins");
        }
        simulation.settle();
        simulation
    }

    fn join(&mut self, id: &str, instance_id: Option<&str>) -> Result<(), ResponseError> {
        let believer = Believer {
            instance_id: instance_id.map(str::to_owned),
            ..Believer::default()
        };
        self.members.insert(id.to_owned(), believer);
        self.beat(id).map(drop)
    }

    /// A heartbeat that says everything, and whose answer arrives.
    fn beat(&mut self, id: &str) -> Result<Beaten, ResponseError> {
        let beaten = self.send(id)?;
        let believer = self.members.get_mut(id).expect("a member");
        believer.epoch = beaten.epoch;
        if let Some(assignment) = &beaten.assignment {
            believer.owned.clone_from(assignment);
        }
        Ok(beaten)
    }

    /// A heartbeat whose answer is lost.
    fn send(&mut self, id: &str) -> Result<Beaten, ResponseError> {
        let believer = &self.members[id];
        let beat = beat(id, believer);
        let partitions = self.partitions;
        let find = |name: &str| (name == "t").then_some((topic(), partitions));
        let result = self.group.heartbeat(&beat, find, self.now);
        self.nothing_has_two_owners();
        result
    }

    fn leave(&mut self, id: &str, epoch: i32) -> Result<Beaten, ResponseError> {
        let believer = self.members.remove(id).expect("a member");
        let believer = Believer { epoch, ..believer };
        let beat = beat(id, &believer);
        self.group.heartbeat(&beat, |_| None, self.now)
    }

    /// Everybody sends heartbeats until nothing moves any more.
    fn settle(&mut self) {
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for _ in 0..8 {
            for id in &ids {
                self.beat(id).expect("a member");
            }
        }
        assert_eq!(self.group.state_name(), "Stable");
    }

    fn pass(&mut self, time: Duration) -> bool {
        self.now += time;
        self.group.tick(self.now)
    }

    fn owned(&self, id: &str) -> usize {
        self.members[id].owned.len()
    }

    fn nothing_has_two_owners(&self) {
        let mut seen = Partitions::new();
        for (id, member) in self.group.members() {
            for partition in member.holds() {
                assert!(seen.insert(partition), "{partition:?} has two owners: {id}");
            }
        }
    }
}

#[test]
fn a_forced_rebalance_gives_partitions_out_when_everybody_has_let_go() {
    let mut s = Simulation::with(4, &["a", "b"]);

    s.group.force_rebalance();

    s.beat("a").expect("a member");
    assert_eq!(s.owned("a"), 0, "it is told to let go");
    s.beat("a").expect("a member");
    assert_eq!(s.owned("a"), 0, "the other has not let go");
    s.beat("b").expect("a member");
    assert_eq!(s.owned("b"), 0);
    s.settle();
    assert_eq!((s.owned("a"), s.owned("b")), (2, 2));
}

#[test]
fn a_forced_rebalance_ends_without_a_member_that_is_not_heard_of() {
    let mut s = Simulation::with(4, &["a", "b"]);
    s.group.force_rebalance();
    s.beat("a").expect("a member");
    s.pass(SESSION_TIMEOUT / 2);
    s.beat("a").expect("a member");
    assert!(s.pass(SESSION_TIMEOUT / 2), "b is removed");
    s.members.remove("b");

    s.settle();
    assert_eq!(s.owned("a"), 4);
}

fn topic() -> Uuid {
    Uuid::from_u128(7)
}

fn beat(id: &str, believer: &Believer) -> Beat {
    Beat {
        member_id: id.to_owned(),
        epoch: believer.epoch,
        instance_id: believer.instance_id.clone(),
        client: Client {
            id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        },
        rebalance_timeout: Some(REBALANCE),
        topics: Some(["t".to_owned()].into()),
        owned: Some(believer.owned.clone()),
    }
}

fn caller(id: &str, generation: i32) -> Caller {
    Caller {
        member_id: id.to_owned(),
        instance_id: None,
        generation,
    }
}

#[test]
fn the_first_member_has_everything_at_once() {
    let mut s = Simulation::new(4);

    s.join("a", None).expect("joins");

    assert_eq!((s.owned("a"), s.group.state_name()), (4, "Stable"));
}

#[test]
fn a_second_member_is_given_what_the_first_has_given_up_and_nothing_before() {
    let mut s = Simulation::with(4, &["a"]);

    s.join("b", None).expect("joins");
    assert_eq!(s.owned("b"), 0);
    // It learns what to give up, and still holds it.
    s.send("a").expect("a member");
    s.beat("b").expect("a member");
    assert_eq!((s.owned("b"), s.group.state_name()), (0, "Reconciling"));

    s.settle();
    assert_eq!((s.owned("a"), s.owned("b")), (2, 2));
}

#[test]
fn partitions_of_a_member_that_leaves_go_to_those_that_stay() {
    let mut s = Simulation::with(4, &["a", "b"]);

    let left = s.leave("b", LEAVES).expect("leaves");

    assert_eq!(left.epoch, LEAVES);
    s.settle();
    assert_eq!(s.owned("a"), 4);
}

#[test]
fn whoever_does_not_give_up_in_time_is_removed() {
    let mut s = Simulation::with(2, &["a"]);
    s.join("b", None).expect("joins");
    s.send("a").expect("told to give up");
    s.pass(SESSION_TIMEOUT / 2);
    // Alive, but it holds on to what it was told to give up.
    let stubborn = s.members["a"].clone();
    s.send("a").expect("a member");
    s.beat("b").expect("a member");
    s.pass(SESSION_TIMEOUT / 2);
    s.send("a").expect("a member");
    s.beat("b").expect("a member");

    assert!(s.pass(REBALANCE - SESSION_TIMEOUT));

    s.members.insert("a".to_owned(), stubborn);
    assert_eq!(s.send("a"), Err(ResponseError::UnknownMemberId));
    s.members.remove("a");
    s.settle();
    assert_eq!(s.owned("b"), 2);
}

#[test]
fn a_member_that_is_not_heard_of_is_removed() {
    let mut s = Simulation::with(4, &["a", "b"]);
    s.pass(SESSION_TIMEOUT / 2);
    s.beat("a").expect("a member");

    assert!(s.pass(SESSION_TIMEOUT / 2));

    s.members.remove("b");
    s.settle();
    assert_eq!(s.owned("a"), 4);
}

#[test]
fn a_static_member_that_is_back_in_time_finds_its_partitions() {
    let mut s = Simulation::new(4);
    s.join("a", Some("one")).expect("joins");
    s.join("b", Some("two")).expect("joins");
    s.settle();
    let had = s.members["b"].owned.clone();

    assert_eq!(
        s.join("c", Some("two")),
        Err(ResponseError::UnreleasedInstanceId)
    );
    s.members.remove("c");
    s.leave("b", LEAVES_FOR_A_WHILE).expect("leaves");
    s.join("d", Some("two")).expect("back");

    assert_eq!(s.members["d"].owned, had);
    s.settle();
    assert_eq!(s.members["d"].owned, had);
}

#[test]
fn the_id_that_a_static_member_had_before_is_fenced() {
    let mut s = Simulation::new(2);
    s.join("a", Some("one")).expect("joins");
    let before = s.members["a"].clone();
    s.leave("a", LEAVES_FOR_A_WHILE).expect("leaves");
    s.join("b", Some("one")).expect("back");

    s.members.insert("a".to_owned(), before);

    assert_eq!(s.send("a"), Err(ResponseError::FencedInstanceId));
}

#[test]
fn a_lost_answer_is_given_again_and_an_older_epoch_is_fenced() {
    let mut s = Simulation::with(4, &["a"]);
    let outdated = s.members["a"].clone();
    s.join("b", None).expect("joins");
    s.beat("a").expect("gives up");
    // The answer that acknowledges it is lost.
    s.send("a").expect("a member");

    s.beat("a")
        .expect("one epoch behind, and owns nothing else");
    s.settle();

    s.join("c", None).expect("joins");
    s.settle();
    s.members.insert("a".to_owned(), outdated);
    assert_eq!(s.send("a"), Err(ResponseError::FencedMemberEpoch));
}

#[test]
fn offsets_are_taken_from_whoever_knows_its_epoch() {
    let mut s = Simulation::with(4, &["a"]);
    let before = s.members["a"].epoch;
    s.join("b", None).expect("joins");
    // What is to be given up is committed under the epoch in which it was owned.
    s.send("a").expect("told");
    assert_eq!(s.group.may_commit(&caller("a", before)), Ok(()));
    s.settle();

    assert_eq!(
        s.group.may_commit(&caller("a", before)),
        Err(ResponseError::StaleMemberEpoch)
    );
    let now = s.members["a"].epoch;
    assert_eq!(s.group.may_commit(&caller("a", now)), Ok(()));
    assert_eq!(
        s.group.may_commit(&caller("x", now)),
        Err(ResponseError::UnknownMemberId)
    );
    assert!(s.group.may_commit(&caller("", -1)).is_err());
}

#[test]
fn new_partitions_of_a_topic_are_given_out() {
    let mut s = Simulation::with(2, &["a", "b"]);

    s.partitions = 6;
    s.settle();

    assert_eq!((s.owned("a"), s.owned("b")), (3, 3));
}

#[test]
fn a_join_that_claims_partitions_is_refused() {
    let mut s = Simulation::with(2, &["a"]);
    let greedy = Believer {
        owned: [(topic(), 0)].into(),
        ..Believer::default()
    };

    s.members.insert("b".to_owned(), greedy);

    assert_eq!(s.send("b"), Err(ResponseError::InvalidRequest));
}

#[test]
fn a_group_goes_on_after_a_restart() {
    let mut s = Simulation::with(4, &["a"]);
    s.join("b", None).expect("joins");
    s.send("a").expect("told to give up");

    let stored = serde_json::to_vec(&s.group.stored()).expect("JSON");
    s.group = ConsumerGroup::restore(serde_json::from_slice(&stored).expect("JSON"), s.now);

    s.nothing_has_two_owners();
    s.settle();
    assert_eq!((s.owned("a"), s.owned("b")), (2, 2));
}

/// Members come, go, fall silent, lose answers and are made to let go in every order a seed can think of: no partition has two owners at any
/// time, and when it is quiet, all of them are given out evenly.
#[test]
fn no_partition_ever_has_two_owners() {
    for seed in 0..500 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut s = Simulation::new(random.i32(1..9));
        for step in 0..60 {
            let known: Vec<String> = s.members.keys().cloned().collect();
            match (random.u8(0..10), random.choice(&known)) {
                (0 | 1, _) | (_, None) if known.len() < 5 => {
                    s.join(&format!("m{step}"), None).expect("joins");
                }
                (2, Some(id)) => drop(s.leave(id, LEAVES)),
                (3, _) => drop(s.pass(SESSION_TIMEOUT / 3)),
                (4, Some(id)) => drop(s.send(id)),
                (5, Some(_)) => s.group.force_rebalance(),
                (_, Some(id)) if s.beat(id).is_err() => {
                    // What a client does: it drops everything and joins again.
                    s.members.insert(id.clone(), Believer::default());
                    s.beat(id).expect("joins again");
                }
                _ => {}
            }
        }
        let ids: Vec<String> = s.members.keys().cloned().collect();
        for id in &ids {
            if s.beat(id).is_err() {
                s.members.insert(id.clone(), Believer::default());
                s.beat(id).expect("joins again");
            }
        }
        // Those that left without a word are waited for.
        for _ in 0..4 {
            s.pass(SESSION_TIMEOUT / 3);
            for id in &ids {
                s.beat(id).expect("a member");
            }
        }
        if ids.is_empty() {
            continue;
        }
        s.settle();
        let owned: Vec<usize> = ids.iter().map(|id| s.owned(id)).collect();
        let (least, most) = (owned.iter().min(), owned.iter().max());
        let even = least
            .zip(most)
            .is_some_and(|(least, most)| most - least <= 1);
        let all = owned.iter().sum::<usize>() == s.partitions as usize;
        assert!(even && all, "seed {seed}: {owned:?} of {}", s.partitions);
    }
}
