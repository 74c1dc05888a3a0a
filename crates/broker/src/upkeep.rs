//! Retention and compaction in the background, one partition after the other, so that neither a topic
//! nor the disk grows without end.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::catalog::{Topic, config};
use crate::log::Partition;
use crate::node::{Node, now_ms};
use crate::sync::lock;

/// Stops upkeep, and waits for it.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    stopped: AtomicBool,
    /// Held while a round goes on.
    at_work: Mutex<()>,
}

impl Upkeep {
    /// Begins no other round, and returns when the present one has ended. Blocks.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        drop(lock(&self.at_work));
    }
}

/// Looks every `interval` for something to do. Runs until it is dropped; then the round that is under
/// way goes on, and holds `claim` on the data directory until it ends.
pub(crate) async fn run(node: &Arc<Node>, claim: &Arc<File>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let (node, claim) = (node.clone(), claim.clone());
        let round = tokio::task::spawn_blocking(move || {
            make_round(&node);
            drop(claim);
        });
        if let Err(error) = round.await {
            tracing::error!(%error, "retention and compaction ended early");
        }
    }
}

fn make_round(node: &Node) {
    let _at_work = lock(&node.upkeep.at_work);
    for topic in node.catalog.topics().iter() {
        for partition in &topic.partitions {
            if node.upkeep.stopped.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = clean(topic, partition, &node.upkeep.stopped) {
                let (topic, partition) = (topic.name.as_str(), partition.index);
                tracing::error!(topic, partition, %error, "cannot clean a log; the next round tries again");
            }
        }
    }
}

fn clean(topic: &Topic, partition: &Partition, stop: &AtomicBool) -> io::Result<()> {
    let now = now_ms();
    let dropped = {
        let mut log = partition.log();
        // First, since on a full disk it is what makes room for a new segment.
        let dropped = log.retain(&config::retention(&topic.configs), now)?;
        log.roll_if_older(config::segment_ms(&topic.configs), now)?;
        dropped
    };
    let compacted = match config::compaction(&topic.configs) {
        Some(how) => partition.compact(&how, now, stop)?,
        None => false,
    };
    if dropped > 0 || compacted {
        let (topic, partition) = (topic.name.as_str(), partition.index);
        tracing::debug!(
            topic,
            partition,
            segments_dropped = dropped,
            compacted,
            "cleaned a log"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use uuid::Uuid;

    use super::*;
    use crate::log::BatchOf;

    #[test]
    fn old_segments_go_though_there_is_no_room_for_a_new_one() {
        let directory = tempfile::tempdir().unwrap();
        let partition = Arc::new(Partition::open(0, directory.path().join("0")).unwrap());
        let configs = [
            ("retention.bytes", "0"),
            ("retention.ms", "-1"),
            ("segment.bytes", "100"),
            // Older than this a segment is at once.
            ("segment.ms", "-1"),
        ];
        let configs = configs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let topic = Topic::new("t", Uuid::nil(), configs.into(), vec![partition.clone()]);
        for _ in 0..3 {
            let batch = BatchOf::default().checked();
            partition.append(&batch, &topic.append()).unwrap();
        }
        // What a disk without room does to the next segment.
        fs::create_dir(directory.path().join("0/00000000000000000003.log")).unwrap();

        let cleaned = clean(&topic, &partition, &AtomicBool::new(false));

        assert!(cleaned.is_err());
        assert_eq!(partition.log().start_offset(), 2);
    }
}
