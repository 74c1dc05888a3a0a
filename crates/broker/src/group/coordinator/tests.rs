//! The coordinator with its journal: what is remembered, and that the journal stays small.

use std::path::PathBuf;

use tempfile::TempDir;

use super::super::member::{Client, Protocol};
use super::super::offsets::Committed;
use super::*;

const JOURNAL_BYTES: u64 = 10_000;

struct Opened {
    coordinator: Coordinator,
    journal: PathBuf,
    _directory: TempDir,
}

impl Opened {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("groups.journal");
        Self {
            coordinator: open(&journal),
            journal,
            _directory: directory,
        }
    }

    fn reopen(self) -> Self {
        Self {
            coordinator: open(&self.journal),
            ..self
        }
    }

    fn committed(&self, group_id: &str) -> Option<i64> {
        self.coordinator.offsets(group_id, |offsets, _| {
            offsets.get("orders", 0).map(|found| found.offset)
        })
    }

    fn commit(&self, group_id: &str, offset: i64) {
        let outsider = Caller {
            generation: -1,
            ..Caller::default()
        };
        let mut offsets = Offsets::default();
        let committed = Committed {
            offset,
            leader_epoch: 0,
            metadata: String::new(),
        };
        offsets.set("orders", 0, committed);
        self.coordinator
            .commit(group_id, &outsider, offsets)
            .unwrap();
    }
}

fn open(journal: &Path) -> Coordinator {
    Coordinator::open(journal, JOURNAL_BYTES, Duration::ZERO).unwrap()
}

fn join(member_id: &str) -> Join {
    Join {
        call: 0,
        member_id: member_id.into(),
        instance_id: None,
        client: Client {
            id: "client".into(),
            host: "/127.0.0.1".into(),
        },
        session_timeout: Duration::from_secs(60),
        rebalance_timeout: Duration::from_secs(60),
        protocol_type: "consumer".into(),
        protocols: vec![Protocol {
            name: "range".into(),
            metadata: Vec::new(),
        }],
        fresh_id: "fresh".into(),
        hand_out_id: false,
        can_skip_assignment: true,
    }
}

#[test]
fn offsets_are_there_after_a_restart_and_gone_after_their_group_or_topic() {
    let opened = Opened::new();
    opened.commit("a", 1);
    opened.commit("b", 2);
    opened.commit("a", 3);

    let opened = opened.reopen();
    assert_eq!(
        (opened.committed("a"), opened.committed("b")),
        (Some(3), Some(2))
    );
    opened.coordinator.delete("a").unwrap();
    opened.coordinator.forget_topic("orders");

    let opened = opened.reopen();
    assert_eq!((opened.committed("a"), opened.committed("b")), (None, None));
    assert!(opened.coordinator.list().is_empty());
}

#[test]
fn the_journal_stays_small_while_running_and_loses_nothing() {
    let opened = Opened::new();

    for offset in 0..5_000 {
        opened.commit(&format!("group-{}", offset % 7), offset);
        let size = std::fs::metadata(&opened.journal).unwrap().len();
        assert!(
            size < 2 * JOURNAL_BYTES,
            "{size} bytes after {offset} commits"
        );
    }

    let opened = opened.reopen();
    for offset in 4_993..5_000 {
        assert_eq!(
            opened.committed(&format!("group-{}", offset % 7)),
            Some(offset)
        );
    }
}

#[tokio::test]
async fn a_refused_join_leaves_no_group_behind() {
    let opened = Opened::new();

    let refused = opened.coordinator.join("g", join("stranger")).await;

    assert_eq!(refused, Answer::Failed(ResponseError::UnknownMemberId));
    assert!(opened.coordinator.list().is_empty());
}

#[tokio::test]
async fn a_stable_group_is_there_after_a_restart() {
    let opened = Opened::new();
    let (joined, ()) = tokio::join!(opened.coordinator.join("g", join("")), async {
        tokio::select! {
            () = opened.coordinator.run_timers() => {}
            () = joined_somebody(&opened.coordinator) => {}
        }
    });
    let Answer::Joined(joined) = joined else {
        panic!("{joined:?}")
    };
    let caller = Caller {
        member_id: joined.member_id,
        instance_id: None,
        generation: joined.generation,
    };
    let sync = Sync {
        call: 0,
        caller: caller.clone(),
        protocol_type: None,
        protocol: None,
        assignments: HashMap::new(),
    };
    opened.coordinator.sync("g", sync).await;

    let opened = opened.reopen();

    assert_eq!(opened.coordinator.heartbeat("g", &caller), Ok(()));
    assert_eq!(
        opened.coordinator.delete("g"),
        Err(ResponseError::NonEmptyGroup)
    );
}

/// Returns when the rebalance has begun its second half.
async fn joined_somebody(coordinator: &Coordinator) {
    while coordinator
        .describe("g")
        .is_none_or(|group| group.state != "CompletingRebalance")
    {
        tokio::task::yield_now().await;
    }
}
