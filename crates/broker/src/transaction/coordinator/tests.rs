//! The coordinator with real logs, groups and journals: what a crash at any step leaves, and what comes of it.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::catalog::Catalog;
use crate::group::{Caller, Committed, Coordinator, Offsets};
use crate::log::{BatchOf, IncomingBatch, Marker, Partition};

const JOURNAL_BYTES: u64 = 10_000;
const TIMEOUT: Duration = Duration::from_secs(60);

/// A broker without its sockets, of which every part can be looked at.
struct Opened {
    catalog: Catalog,
    groups: Coordinator,
    transactions: TransactionCoordinator,
    data: TempDir,
}

impl Opened {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let opened = Self::open(data);
        opened.catalog.create("t", 2, Default::default()).unwrap();
        opened
    }

    fn open(data: TempDir) -> Self {
        let catalog = Catalog::open(data.path()).unwrap();
        let groups = data.path().join("groups.journal");
        let groups = Coordinator::open(&groups, JOURNAL_BYTES, Duration::ZERO).unwrap();
        let participants = Participants {
            catalog: &catalog,
            groups: &groups,
        };
        let transactions =
            TransactionCoordinator::open(&journal(&data), JOURNAL_BYTES, participants).unwrap();
        Self {
            catalog,
            groups,
            transactions,
            data,
        }
    }

    fn reopen(self) -> Self {
        let Self { data, .. } = self;
        Self::open(data)
    }

    /// Opens again after `entry` was the last thing the journal of transactions got to hear.
    fn crash_after(self, entry: &Entry) -> Self {
        let Self { data, .. } = self;
        let mut written = Journal::open(&journal(&data), JOURNAL_BYTES, |_: Entry| {}).unwrap();
        written.append(entry).unwrap();
        Self::open(data)
    }

    fn participants(&self) -> Participants<'_> {
        Participants {
            catalog: &self.catalog,
            groups: &self.groups,
        }
    }

    fn init(&self, id: &str) -> Producer {
        let new_id = || Ok(id.bytes().map(i64::from).sum());
        let producer = self
            .transactions
            .init(self.participants(), id, None, TIMEOUT, new_id);
        producer.unwrap()
    }

    /// Writes to both partitions and commits an offset, all in a transaction that is left open.
    fn begin(&self, id: &str) -> Producer {
        let producer = self.init(id);
        let mut scope = Scope::of_group("g");
        for partition in 0..2 {
            scope.add_partition("t", partition);
        }
        let participants = self.participants();
        let transactions = &self.transactions;
        transactions
            .add_partitions(participants, id, producer, &scope)
            .unwrap();
        for index in 0..2 {
            let append = || self.append(index, producer);
            transactions
                .in_partition(id, producer, ("t", index), append)
                .unwrap();
        }
        let commit = || {
            let outsider = Caller {
                generation: -1,
                ..Caller::default()
            };
            let groups = &self.groups;
            groups.commit_pending("g", &outsider, producer.id, offsets(5))
        };
        transactions.in_group(id, producer, "g", commit).unwrap();
        producer
    }

    fn append(&self, index: i32, producer: Producer) {
        let batch = IncomingBatch::check(transactional(producer)).unwrap();
        let topic = self.catalog.topics().get("t").unwrap().clone();
        self.partition(index)
            .append(&batch, &topic.append())
            .unwrap();
    }

    fn end(&self, id: &str, producer: Producer, outcome: Outcome) -> Result<(), ResponseError> {
        let participants = self.participants();
        self.transactions.end(participants, id, producer, outcome)
    }

    fn partition(&self, index: i32) -> Arc<Partition> {
        let topics = self.catalog.topics();
        topics.get("t").unwrap().partition(index).unwrap().clone()
    }

    fn committed(&self) -> Option<i64> {
        self.groups.offsets("g", |offsets, _| {
            offsets.get("t", 0).map(|found| found.offset)
        })
    }

    /// Last stable offset, end, and number of aborted transactions of a partition.
    fn ends(&self, index: i32) -> (i64, i64, usize) {
        let partition = self.partition(index);
        let log = partition.log();
        let end = log.next_offset();
        (log.last_stable_offset(), end, log.aborted(0, end).len())
    }

    fn state(&self, id: &str) -> &'static str {
        let described = self.transactions.describe(id);
        described.map_or("none", |transaction| transaction.state_name())
    }
}

fn journal(data: &TempDir) -> PathBuf {
    data.path().join("transactions.journal")
}

fn offsets(offset: i64) -> Offsets {
    let mut offsets = Offsets::default();
    let committed = Committed {
        offset,
        leader_epoch: 0,
        metadata: String::new(),
    };
    offsets.set("t", 0, committed);
    offsets
}

/// A batch of one record in a transaction.
fn transactional(producer: Producer) -> Bytes {
    let batch = BatchOf {
        producer: (producer.id, producer.epoch, 0),
        transactional: true,
        ..BatchOf::default()
    };
    batch.bytes()
}

#[test]
fn an_open_transaction_hides_its_effects_until_it_is_committed() {
    let opened = Opened::new();
    let producer = opened.begin("a");
    assert_eq!(opened.ends(0), (0, 1, 0));
    assert_eq!(opened.committed(), None);

    opened.end("a", producer, Outcome::Committed).unwrap();

    for index in 0..2 {
        assert_eq!(opened.ends(index), (2, 2, 0));
    }
    assert_eq!(opened.committed(), Some(5));
    assert_eq!(opened.groups.pending(), []);
}

#[test]
fn an_aborted_transaction_leaves_records_to_skip_and_no_offsets() {
    let opened = Opened::new();
    let producer = opened.begin("a");

    opened.end("a", producer, Outcome::Aborted).unwrap();

    assert_eq!(opened.ends(0), (2, 2, 1));
    assert_eq!(
        (opened.committed(), opened.groups.pending()),
        (None, vec![])
    );
    let opened = opened.reopen();
    assert_eq!(opened.ends(0), (2, 2, 1));
    assert_eq!(opened.state("a"), "CompleteAbort");
}

#[test]
fn an_undecided_transaction_goes_on_after_a_restart() {
    let opened = Opened::new();
    let producer = opened.begin("a");

    let opened = opened.reopen();
    assert_eq!(opened.ends(0), (0, 1, 0));
    assert_eq!(opened.groups.pending().len(), 1);
    opened.end("a", producer, Outcome::Committed).unwrap();

    assert_eq!(opened.ends(0), (2, 2, 0));
    assert_eq!(opened.committed(), Some(5));
}

#[test]
fn a_decision_is_carried_out_after_a_crash_whatever_part_of_it_was_done() {
    for outcome in [Outcome::Committed, Outcome::Aborted] {
        for told in 0..=3 {
            let opened = Opened::new();
            let producer = opened.begin("a");
            let transaction = opened.transactions.describe("a").unwrap();
            let End::Prepare(prepared) = transaction.end(producer, outcome, now_ms()).unwrap()
            else {
                panic!("it is ongoing");
            };
            tell(&opened, producer, outcome, told);

            let opened = opened.crash_after(&Entry::Is {
                id: "a".into(),
                transaction: prepared,
            });

            let (committed, aborted) = match outcome {
                Outcome::Committed => (Some(5), 0),
                Outcome::Aborted => (None, 1),
            };
            for index in 0..2 {
                let ends = opened.ends(index);
                assert_eq!(ends, (2, 2, aborted), "{told} of 3 were told: {outcome:?}");
            }
            assert_eq!(opened.committed(), committed);
            assert_eq!(opened.groups.pending(), []);
            assert_eq!(
                opened.end("a", producer, outcome),
                Ok(()),
                "it may ask again"
            );
        }
    }
}

/// Tells only the first `told` of the three participants.
fn tell(opened: &Opened, producer: Producer, outcome: Outcome, told: usize) {
    let marker = Marker {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        outcome,
        timestamp: 1,
    };
    let topic = opened.catalog.topics().get("t").unwrap().clone();
    for index in 0..told.min(2) {
        let partition = opened.partition(index as i32);
        partition.end_transaction(&marker, &topic.append()).unwrap();
    }
    if told > 2 {
        opened.groups.settle("g", producer.id, outcome).unwrap();
    }
}

#[test]
fn a_transaction_that_nobody_knows_of_is_aborted_when_the_broker_starts() {
    let opened = Opened::new();
    opened.begin("a");
    std::fs::remove_file(journal(&opened.data)).unwrap();

    let opened = opened.reopen();

    assert_eq!(opened.ends(0), (2, 2, 1));
    assert_eq!(
        (opened.committed(), opened.groups.pending()),
        (None, vec![])
    );
}

#[test]
fn a_participant_that_cannot_be_told_holds_up_the_next_transaction_and_not_the_answer() {
    let opened = Opened::new();
    let producer = opened.begin("a");
    // The log of partition 1 cannot be written: its segment is full, and its directory is not there.
    let configure = opened.catalog.configure("t", |configs| {
        configs.insert("segment.bytes".into(), "14".into());
    });
    configure.unwrap();
    let id = opened.catalog.topics().get("t").unwrap().id;
    let log = opened.data.path().join(format!("logs/{id}/1"));
    let aside = opened.data.path().join("aside");
    std::fs::rename(&log, &aside).unwrap();
    std::fs::write(&log, "in the way").unwrap();

    opened.end("a", producer, Outcome::Committed).unwrap();

    assert_eq!((opened.ends(0).0, opened.ends(1).0), (2, 0));
    assert_eq!(opened.state("a"), "PrepareCommit");
    let participants = opened.participants();
    let next = Scope::of_group("g");
    let add = || {
        let transactions = &opened.transactions;
        transactions.add_partitions(participants, "a", producer, &next)
    };
    assert_eq!(add(), Err(ResponseError::ConcurrentTransactions));

    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &log).unwrap();
    opened
        .transactions
        .tick(participants, Instant::now() + SETTLE_AGAIN_AFTER);

    assert_eq!(opened.ends(1), (2, 2, 0));
    assert_eq!(opened.state("a"), "CompleteCommit");
    assert_eq!(add(), Ok(()));
}

#[test]
fn a_transaction_whose_time_is_up_is_aborted_and_its_producer_fenced() {
    let opened = Opened::new();
    let producer = opened.begin("a");
    let participants = opened.participants();
    let early = Instant::now() + TIMEOUT / 2;
    assert!(opened.transactions.tick(participants, early).is_some());
    assert_eq!(opened.state("a"), "Ongoing");

    let next = opened.transactions.tick(participants, early + TIMEOUT);

    assert_eq!(next, None);
    assert_eq!(opened.ends(0), (2, 2, 1));
    let late = opened.end("a", producer, Outcome::Committed);
    assert_eq!(late, Err(ResponseError::ProducerFenced));
}

#[test]
fn time_goes_on_while_the_broker_is_down() {
    let opened = Opened::new();
    opened.begin("a");
    let mut begun = opened.transactions.describe("a").unwrap();
    let State::Ongoing { since_ms, .. } = &mut begun.state else {
        panic!("it is ongoing");
    };
    *since_ms -= TIMEOUT.as_millis() as i64;

    let opened = opened.crash_after(&Entry::Is {
        id: "a".into(),
        transaction: begun,
    });
    opened
        .transactions
        .tick(opened.participants(), Instant::now());

    assert_eq!(opened.state("a"), "CompleteAbort");
}

#[test]
fn a_new_producer_fences_the_last_and_aborts_what_it_left() {
    let opened = Opened::new();
    let zombie = opened.begin("a");

    let present = opened.init("a");

    assert!(present.id == zombie.id && present.epoch > zombie.epoch);
    assert_eq!(opened.ends(0), (2, 2, 1));
    let late = opened.end("a", zombie, Outcome::Committed);
    assert_eq!(late, Err(ResponseError::ProducerFenced));
    let late = opened
        .transactions
        .in_partition("a", zombie, ("t", 0), || opened.append(0, zombie));
    assert_eq!(late, Err(ResponseError::ProducerFenced));
    assert_eq!(opened.ends(0).1, 2);
}

#[test]
fn nothing_is_written_outside_what_the_transaction_concerns() {
    let opened = Opened::new();
    let producer = opened.init("a");
    let mut scope = Scope::default();
    scope.add_partition("t", 0);
    let participants = opened.participants();
    let transactions = &opened.transactions;
    transactions
        .add_partitions(participants, "a", producer, &scope)
        .unwrap();

    let other = transactions.in_partition("a", producer, ("t", 1), || panic!("appended"));
    let group = transactions.in_group("a", producer, "g", || panic!("committed"));
    opened.end("a", producer, Outcome::Committed).unwrap();
    let behind = transactions.in_partition("a", producer, ("t", 0), || panic!("appended"));

    assert_eq!(other, Err(ResponseError::InvalidTxnState));
    assert_eq!(group, Err(ResponseError::InvalidTxnState));
    assert_eq!(behind, Err(ResponseError::InvalidTxnState));
}

#[test]
fn the_offsets_committed_last_count() {
    let opened = Opened::new();
    let producer = opened.begin("a");
    let outsider = Caller {
        generation: -1,
        ..Caller::default()
    };
    opened.groups.commit("g", &outsider, offsets(9)).unwrap();

    opened.end("a", producer, Outcome::Committed).unwrap();

    assert_eq!(opened.committed(), Some(9));
    assert_eq!(opened.reopen().committed(), Some(9));
}

#[test]
fn the_offsets_of_a_deleted_topic_do_not_come_back_with_the_commit() {
    let opened = Opened::new();
    let producer = opened.begin("a");
    opened.catalog.delete("t").unwrap();
    opened.groups.forget_topic("t");

    opened.end("a", producer, Outcome::Committed).unwrap();

    assert_eq!(opened.committed(), None);
    assert_eq!(opened.state("a"), "CompleteCommit");
}

#[test]
fn the_journals_stay_small() {
    let mut opened = Opened::new();
    let size = |opened: &Opened| std::fs::metadata(journal(&opened.data)).unwrap().len();

    for _ in 0..100 {
        let producer = opened.begin("a");
        opened.end("a", producer, Outcome::Committed).unwrap();
        assert!(size(&opened) < JOURNAL_BYTES + 1_000);
    }

    opened = opened.reopen();
    assert_eq!(opened.state("a"), "CompleteCommit");
    assert!(size(&opened) < 500);
}

#[test]
fn an_id_that_did_nothing_for_long_is_forgotten_and_one_in_a_transaction_is_not() {
    let opened = Opened::new();
    let long_ago = now_ms() - FORGET_AFTER.as_millis() as i64 - 1;
    let idle = Transaction::new(1, 60_000, long_ago);
    let mut scope = Scope::default();
    scope.add_partition("t", 0);
    let busy = idle.add(idle.producer, &scope, long_ago).unwrap().unwrap();

    let opened = opened.crash_after(&Entry::Is {
        id: "idle".into(),
        transaction: idle,
    });
    let opened = opened.crash_after(&Entry::Is {
        id: "busy".into(),
        transaction: busy,
    });

    assert_eq!(
        (opened.state("idle"), opened.state("busy")),
        ("none", "Ongoing")
    );
}

#[test]
fn there_is_room_for_so_many_ids_and_the_one_that_is_longest_idle_makes_room() {
    let opened = Opened::new();
    let busy = opened.begin("busy");
    {
        let mut inner = opened.transactions.inner();
        for n in 1..MAX_IDS {
            let idle = Transaction::new(n as i64, 60_000, n as i64);
            inner.by_id.insert(format!("idle-{n}"), Slot::new(idle));
        }
    }

    opened.init("one more");

    assert_eq!(opened.transactions.list().len(), MAX_IDS);
    assert_eq!(
        (opened.state("idle-1"), opened.state("idle-2")),
        ("none", "Empty")
    );
    opened.end("busy", busy, Outcome::Committed).unwrap();
}
