//! Transactions over a log in memory: what a batch publishes and the offsets of its messages are there together, or not at
//! all.

use std::sync::{Mutex, MutexGuard};

use longshore_event::{Identity, OutgoingRecord, Position, TopicPartition};
use longshore_worker::{CommitError, CommitStrategy, Finished, Refused, Window};

use super::{MemoryPublisher, SourceControl, lock};

/// Commits as the `transaction` strategy does on Kafka: completed prefixes, follow-on records and dead letters together
/// with the offsets, nothing of a partition that was lost, nothing twice. Statements and timers are refused.
///
/// The faults of the publisher are those of its transactions: one record that cannot be published, and nothing of the
/// batch is there.
#[derive(Debug)]
pub struct MemoryTransactions {
    publisher: MemoryPublisher,
    member: SourceControl,
    window: Mutex<Window>,
}

impl MemoryTransactions {
    /// Commits what comes from the source that `member` controls.
    pub fn new(publisher: MemoryPublisher, member: SourceControl) -> Self {
        member.leave_to_transactions();
        Self {
            publisher,
            member,
            window: Mutex::default(),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        lock(&self.window)
    }
}

impl CommitStrategy for MemoryTransactions {
    async fn take_over(&self, _: &[TopicPartition]) -> Result<Option<i64>, CommitError> {
        Ok(None)
    }

    async fn seen(&self, messages: &[&Identity]) -> Result<Vec<bool>, CommitError> {
        let window = self.window();
        Ok(messages.iter().map(|id| window.contains(id)).collect())
    }

    async fn commit(&self, batch: Vec<Finished>) -> Result<(), Refused> {
        let batch = Refused::if_it_needs_a_store(batch, "transaction")?;
        let rows = batch.iter().flat_map(|finished| &finished.outbox);
        let records: Vec<&OutgoingRecord> = rows.map(|row| &row.record).collect();
        let messages: Vec<&Position> = batch.iter().map(|finished| &finished.position).collect();
        let committed = self
            .publisher
            .transact(&records, || self.member.enlist(&messages));
        if let Err(reason) = committed.await {
            return Err(Refused { batch, reason });
        }
        let mut window = self.window();
        for finished in batch {
            window.remember(finished.identity);
        }
        Ok(())
    }

    fn in_log_order(&self) -> bool {
        true
    }

    async fn hand_over(&self, _: &[TopicPartition]) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryGroup, MemoryLog, Note};
    use longshore_event::{NextOffset, Offset};
    use longshore_worker::{Claim, OutboxRow, PublishErrorKind, Source, SourceEvent};
    use uuid::Uuid;

    /// A message that was handled, and published one note.
    fn handled(offset: i64, publishes: &str) -> Finished {
        let position = Position {
            partition: TopicPartition::new("letters", 0),
            offset: Offset(offset),
        };
        let row = OutboxRow {
            id: Uuid::from_u128(offset.unsigned_abs().into()),
            sequence: offset,
            source: position.partition.clone(),
            record: Note::new("a", publishes).outgoing(publishes),
        };
        Finished {
            identity: Identity {
                source: "letters".into(),
                id: offset.to_string().into(),
            },
            position,
            key: None,
            claim: Claim::Inbox,
            writes: Vec::new(),
            outbox: vec![row],
            timers: Vec::new(),
            parked: None,
            releases: None,
            keeps: None,
        }
    }

    struct Bench {
        log: MemoryLog,
        group: MemoryGroup,
        publisher: MemoryPublisher,
        source: crate::memory::MemorySource,
        transactions: MemoryTransactions,
    }

    /// A member that has been delivered two letters.
    async fn bench() -> Bench {
        let log = MemoryLog::new()
            .with_topic("letters", 1)
            .with_topic("notes", 1);
        for id in ["1", "2"] {
            let mut letter = Note::new("a", id).outgoing(id);
            letter.topic = "letters".into();
            log.append(letter).expect("the topic exists");
        }
        let group = MemoryGroup::new(&log);
        let publisher = MemoryPublisher::new(&log);
        let mut source = group.join(10);
        source.control().assign(&log.partitions("letters"));
        while !matches!(source.next().await, SourceEvent::Records(_)) {}
        let transactions = MemoryTransactions::new(publisher.clone(), source.control());
        Bench {
            log,
            group,
            publisher,
            source,
            transactions,
        }
    }

    impl Bench {
        /// The notes that are there, and the offset.
        fn found(&self) -> (usize, Option<NextOffset>) {
            let partition = TopicPartition::new("letters", 0);
            let notes = self.log.records("notes").len();
            (notes, self.group.committed(&partition))
        }
    }

    #[tokio::test]
    async fn records_and_offset_are_there_together_or_not_at_all() {
        let bench = bench().await;
        let batch = vec![handled(0, "x"), handled(1, "y")];
        bench
            .publisher
            .fail_record(2, PublishErrorKind::Unavailable);

        let refused = bench.transactions.commit(batch).await;
        let refused = refused.expect_err("one cannot be published");
        assert!(matches!(refused.reason, CommitError::Unavailable(_)));
        assert_eq!(bench.found(), (0, None));

        bench
            .transactions
            .commit(refused.batch)
            .await
            .expect("committed");
        assert_eq!(bench.found(), (2, Some(NextOffset(2))));
    }

    #[tokio::test]
    async fn nothing_takes_effect_twice_or_where_it_is_anothers() {
        let mut bench = bench().await;
        let commit = async |finished| bench.transactions.commit(vec![finished]).await;
        commit(handled(0, "x")).await.expect("committed");
        let again = commit(handled(0, "x")).await.expect_err("again");
        assert!(matches!(again.reason, CommitError::Duplicate));

        bench
            .source
            .control()
            .lose(&bench.log.partitions("letters"));
        let late = commit(handled(1, "y")).await.expect_err("lost");
        assert!(matches!(late.reason, CommitError::Fenced(_)));

        // It comes back, and is read again from what is committed.
        bench
            .source
            .control()
            .assign(&bench.log.partitions("letters"));
        let early = commit(handled(1, "y")).await.expect_err("not yet read");
        assert!(matches!(early.reason, CommitError::Fenced(_)));
        while !matches!(bench.source.next().await, SourceEvent::Records(_)) {}
        let found = bench.transactions.commit(vec![handled(1, "y")]).await;
        found.expect("committed");
        assert_eq!(bench.found(), (2, Some(NextOffset(2))));
    }
}
