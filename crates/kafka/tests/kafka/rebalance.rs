//! Members that come and go: cooperative, eager, static, and by KIP-848.

use std::collections::BTreeSet;
use std::time::Duration;

use longshore_broker::faults::{ApiKey, Effect, Fault, ResponseError};
use longshore_broker::{Broker, BrokerConfig};
use longshore_event::{NextOffset, TopicPartition};
use longshore_kafka::{Admin, Connection, KafkaSource, NewTopic};
use longshore_worker::{Source, SourceError, SourceEvent};

use crate::support::{
    brokers, connection, fill, finished, new_topic, next, stop, subscribe, subscribe_with, unique,
    within,
};

/// A member as a test sees it.
struct Observed {
    source: KafkaSource,
    owned: BTreeSet<TopicPartition>,
    read: Vec<(TopicPartition, NextOffset)>,
    revocations: usize,
}

impl Observed {
    async fn join(connection: &Connection, group: &str, topic: &str) -> Self {
        Self {
            source: subscribe(connection, group, topic).await,
            owned: BTreeSet::new(),
            read: Vec::new(),
            revocations: 0,
        }
    }

    async fn step(&mut self) {
        match next(&mut self.source).await {
            SourceEvent::Assigned(partitions) => self.owned.extend(partitions),
            SourceEvent::Records(records) => {
                let strangers = records
                    .iter()
                    .filter(|r| !self.owned.contains(&r.partition));
                assert_eq!(strangers.count(), 0, "records of what is not assigned");
                self.source.release(records.len());
                let offsets = records
                    .iter()
                    .map(|r| (r.partition.clone(), r.offset.next()));
                self.read.extend(offsets);
            }
            SourceEvent::Revoked {
                partitions,
                finished: answer,
                ..
            } => {
                self.revocations += 1;
                self.owned.retain(|owned| !partitions.contains(owned));
                let mut done = self.read.clone();
                done.retain(|(partition, _)| partitions.contains(partition));
                answer.send(last_of(done)).expect("asked");
            }
            SourceEvent::Lost(partitions) => {
                self.owned.retain(|owned| !partitions.contains(owned));
            }
            SourceEvent::Unavailable { .. } => {}
            SourceEvent::Closed(result) => panic!("closed: {result:?}"),
        }
    }
}

fn last_of(offsets: Vec<(TopicPartition, NextOffset)>) -> Vec<(TopicPartition, NextOffset)> {
    let last: std::collections::BTreeMap<_, _> = offsets.into_iter().collect();
    last.into_iter().collect()
}

/// Both members read on until both own something and nothing twice.
async fn settle(first: &mut Observed, second: &mut Observed, partitions: usize) {
    within("a settled group", async {
        while first.owned.is_empty()
            || second.owned.is_empty()
            || first.owned.len() + second.owned.len() != partitions
        {
            tokio::select! {
                () = first.step() => {}
                () = second.step() => {}
            }
        }
    })
    .await;
    assert!(first.owned.is_disjoint(&second.owned));
}

async fn two_members_share(connection: Connection, topic: &str) -> (Observed, Observed) {
    let group = unique("g");
    fill(topic, 200).await;
    let mut first = Observed::join(&connection, &group, topic).await;
    while first.read.len() < 200 {
        first.step().await;
    }
    let mut second = Observed::join(&connection, &group, topic).await;
    settle(&mut first, &mut second, 4).await;
    (first, second)
}

#[tokio::test]
async fn two_members_rebalance_cooperatively_and_what_was_finished_is_not_read_again() {
    let topic = new_topic("cooperative", 4).await;
    let (mut first, mut second) = two_members_share(connection(), &topic).await;
    assert_eq!(first.owned.len(), 2);

    fill(&topic, 200).await;
    while first.read.len() + second.read.len() < 400 {
        tokio::select! {
            () = first.step() => {}
            () = second.step() => {}
        }
    }
    let mut all = [first.read.clone(), second.read.clone()].concat();
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!(all.len(), count, "read twice");
    assert_eq!(count, 400);
}

#[tokio::test]
async fn an_eager_group_revokes_everything_and_shares_it_anew() {
    let topic = new_topic("eager", 4).await;
    let eager = connection().property("partition.assignment.strategy", "range");
    let (first, second) = two_members_share(eager, &topic).await;
    assert!(first.revocations >= 1);
    assert_eq!(first.owned.len() + second.owned.len(), 4);
    assert_eq!(second.read.len(), 0, "what was finished is not read again");
}

#[tokio::test]
async fn a_member_that_leaves_hands_its_partitions_over_at_once() {
    let topic = new_topic("leave", 4).await;
    let (mut first, mut second) = two_members_share(connection(), &topic).await;
    stop(&mut second.source, &[]).await;
    let left = tokio::time::Instant::now();
    while first.owned.len() < 4 {
        first.step().await;
    }
    assert!(
        left.elapsed() < Duration::from_secs(30),
        "{:?}",
        left.elapsed()
    );
}

#[tokio::test]
async fn a_static_member_that_comes_back_gets_its_partitions_without_a_rebalance() {
    let topic = new_topic("static", 2).await;
    fill(&topic, 20).await;
    let group = unique("g");
    let fixed = connection().property("group.instance.id", "one");
    let mut member = Observed::join(&fixed, &group, &topic).await;
    while member.read.len() < 20 {
        member.step().await;
    }
    let done = last_of(member.read.clone());
    stop(&mut member.source, &done).await;

    let mut back = Observed::join(&fixed, &group, &topic).await;
    while back.owned.len() < 2 {
        back.step().await;
    }
    assert_eq!(back.read, []);
}

#[tokio::test]
async fn partitions_reach_their_next_owner_though_the_static_member_that_lets_them_go_restarts() {
    // It takes a broker that notices: the protocol has the group wait for its next rebalance.
    let (_data, _broker, connection) = embedded_with_topic_t().await;
    let fixed = connection.clone().property("group.instance.id", "one");
    let mut former = Observed::join(&fixed, "g", "t").await;
    while former.owned.len() < 4 {
        former.step().await;
    }
    let mut other = Observed::join(&connection, "g", "t").await;
    // It is to let half of them go, and comes back instead of saying so.
    let _unanswered = loop {
        if let SourceEvent::Revoked { finished, .. } = next(&mut former.source).await {
            break finished;
        }
    };

    let mut back = Observed::join(&fixed, "g", "t").await;

    settle(&mut back, &mut other, 4).await;
}

#[tokio::test]
async fn a_partition_that_was_paused_as_it_went_is_read_when_it_comes_back() {
    let topic = new_topic("paused", 4).await;
    fill(&topic, 200).await;
    let group = unique("g");
    let mut first = subscribe_with(&connection(), &group, &topic, 1).await;
    // It keeps the only record that it may have, so all is paused before it hears of anything else.
    let mut read = 0;
    while read == 0 {
        if let SourceEvent::Records(records) = next(&mut first).await {
            read = records.len();
        }
    }
    let mut second = Observed::join(&connection(), &group, &topic).await;
    loop {
        if let SourceEvent::Revoked { finished, .. } = next(&mut first).await {
            finished.send(Vec::new()).expect("asked");
            break;
        }
    }
    while second.owned.is_empty() {
        second.step().await;
    }
    // What it still has is read again before the others are back.
    first.release(1);
    while read < 2 {
        if let SourceEvent::Records(records) = next(&mut first).await {
            read += records.len();
            first.release(records.len());
        }
    }
    stop(&mut second.source, &[]).await;

    let mut partitions = BTreeSet::new();
    within("records of all partitions", async {
        while partitions.len() < 4 {
            if let SourceEvent::Records(records) = next(&mut first).await {
                first.release(records.len());
                partitions.extend(records.into_iter().map(|record| record.partition));
            }
        }
    })
    .await;
}

/// An embedded broker of a test's own, with a topic `t` of four partitions.
async fn embedded_with_topic_t() -> (tempfile::TempDir, Broker, Connection) {
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(BrokerConfig::new(data.path())).await;
    let broker = broker.expect("the embedded broker starts");
    let connection = Connection::new(broker.bootstrap()).property("heartbeat.interval.ms", "100");
    let topic = NewTopic {
        name: "t".to_owned(),
        partitions: 4,
        replication: 1,
        configs: Default::default(),
    };
    let admin = Admin::connect(&connection).expect("valid");
    admin.create_topics(&[topic]).await.expect("created");
    (data, broker, connection)
}

#[tokio::test]
async fn a_static_member_that_was_taken_for_dead_starts_over_with_what_it_kept() {
    let (_data, broker, connection) = embedded_with_topic_t().await;
    let fixed = connection
        .clone()
        .property("group.instance.id", "one")
        .property("client.id", "one");
    let mut member = Observed::join(&fixed, "g", "t").await;
    while member.owned.len() < 4 {
        member.step().await;
    }
    let _other = Observed::join(&connection, "g", "t").await;
    let (gone, answer) = loop {
        if let SourceEvent::Revoked {
            partitions,
            finished,
            ..
        } = next(&mut member.source).await
        {
            break (partitions, finished);
        }
    };
    // As if its session had been over: it is told so when it joins again.
    let dead = Effect::Fail(ResponseError::UnknownMemberId);
    let fault = Fault::new(ApiKey::JoinGroup, dead).of_client("one");
    broker.faults().inject(fault).expect("possible");
    answer.send(Vec::new()).expect("asked");

    let lost = loop {
        match next(&mut member.source).await {
            SourceEvent::Lost(partitions) => break partitions,
            SourceEvent::Assigned(again) => assert_eq!(again, [], "kept as if nothing had been"),
            _ => {}
        }
    };
    assert!(lost.iter().all(|partition| !gone.contains(partition)));
    assert_eq!(lost.len() + gone.len(), 4);
    let mut back: Vec<TopicPartition> = Vec::new();
    within("what was kept to be assigned anew", async {
        while !lost.iter().all(|partition| back.contains(partition)) {
            if let SourceEvent::Assigned(partitions) = next(&mut member.source).await {
                back.extend(partitions);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_member_that_leaves_is_one_until_it_has_handed_over() {
    const SESSION: Duration = Duration::from_secs(5);
    let data = tempfile::tempdir().expect("a directory");
    let broker = Broker::start(BrokerConfig::new(data.path()))
        .await
        .expect("the embedded broker starts");
    let connection = Connection::new(broker.bootstrap())
        .property("session.timeout.ms", SESSION.as_millis().to_string())
        .property("heartbeat.interval.ms", "100");
    let topic = NewTopic {
        name: "slow".to_owned(),
        partitions: 1,
        replication: 1,
        configs: Default::default(),
    };
    let admin = Admin::connect(&connection).expect("valid");
    admin.create_topics(&[topic]).await.expect("created");
    let mut leaving = subscribe(&connection, "g", "slow").await;
    while !matches!(next(&mut leaving).await, SourceEvent::Assigned(_)) {}
    let mut other = subscribe(&connection, "g", "slow").await;

    leaving.stop();
    let answer = loop {
        if let SourceEvent::Revoked { finished, .. } = next(&mut leaving).await {
            break finished;
        }
    };
    let early = tokio::time::timeout(SESSION + Duration::from_secs(3), async {
        while !matches!(other.next().await, SourceEvent::Assigned(_)) {}
    });
    assert!(early.await.is_err(), "what is in flight is not finished");

    let last = [(TopicPartition::new("slow", 0), NextOffset(0))];
    answer.send(last.to_vec()).expect("asked");
    within("the partition to move", async {
        while !matches!(other.next().await, SourceEvent::Assigned(_)) {}
    })
    .await;
    drop((leaving, other));
    broker.shutdown().await;
}

#[tokio::test]
async fn the_second_member_of_one_instance_id_fences_the_first() {
    let topic = new_topic("fenced", 1).await;
    let group = unique("g");
    let same = connection()
        .property("group.instance.id", "same")
        .property("session.timeout.ms", "30000");
    let mut first = Observed::join(&same, &group, &topic).await;
    while first.owned.is_empty() {
        first.step().await;
    }
    let mut second = Observed::join(&same, &group, &topic).await;
    while second.owned.is_empty() {
        second.step().await;
    }
    loop {
        match next(&mut first.source).await {
            SourceEvent::Closed(Err(SourceError::Fenced { group: fenced })) => {
                assert_eq!(fenced, group);
                return;
            }
            SourceEvent::Closed(other) => panic!("{other:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn by_kip_848_the_second_member_of_one_instance_id_is_refused() {
    let topic = new_topic("held", 1).await;
    let group = unique("g");
    let same = connection_by_kip_848().property("group.instance.id", "same");
    let mut first = Observed::join(&same, &group, &topic).await;
    while first.owned.is_empty() {
        first.step().await;
    }
    let mut second = subscribe(&same, &group, &topic).await;
    loop {
        match next(&mut second).await {
            SourceEvent::Closed(Err(SourceError::InstanceHeld { group: held })) => {
                assert_eq!(held, group);
                break;
            }
            SourceEvent::Closed(other) => panic!("{other:?}"),
            _ => {}
        }
    }
    stop(&mut first.source, &[]).await;
}

fn connection_by_kip_848() -> Connection {
    Connection::new(brokers()).property("group.protocol", "consumer")
}

#[tokio::test]
async fn a_group_by_kip_848_shares_partitions() {
    let topic = new_topic("kip848", 4).await;
    let (mut first, mut second) = two_members_share(connection_by_kip_848(), &topic).await;
    fill(&topic, 200).await;
    while first.read.len() + second.read.len() < 400 {
        tokio::select! {
            () = first.step() => {}
            () = second.step() => {}
        }
    }
    stop(&mut first.source, &[]).await;
}

#[tokio::test]
async fn a_commit_after_the_partition_went_does_not_reach_the_group() {
    let topic = new_topic("late", 1).await;
    fill(&topic, 10).await;
    let group = unique("g");
    let mut source = subscribe(&connection(), &group, &topic).await;
    let read = crate::support::records(&mut source, 10).await;
    source.stop();
    loop {
        match next(&mut source).await {
            SourceEvent::Revoked {
                finished: answer, ..
            } => {
                answer.send(finished(&read)).expect("asked");
            }
            SourceEvent::Closed(_) => break,
            _ => {}
        }
    }
    source.commit(&finished(&read[..1]));

    let admin = longshore_kafka::Admin::connect(&connection()).expect("valid");
    let described = admin.describe_group(&group).await.expect("described");
    assert_eq!(described.partitions[0].committed, Some(NextOffset(10)));
}
