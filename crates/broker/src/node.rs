//! What all connections share: the identity of the one node, its topics, groups and producer ids.

mod producer_ids;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use kafka_protocol::messages::BrokerId;
use kafka_protocol::protocol::StrBytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::catalog::Catalog;
use crate::config::BrokerConfig;
use crate::durable;
use crate::error::StartError;
use crate::faults::ActiveFaults;
use crate::group::Coordinator;
use crate::transaction::{Participants, TransactionCoordinator};
use crate::upkeep::Upkeep;
use producer_ids::ProducerIds;

/// The id of the only node.
pub(crate) const NODE_ID: BrokerId = BrokerId(1);

/// The broker without its sockets.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) cluster_id: StrBytes,
    pub(crate) catalog: Catalog,
    pub(crate) coordinator: Coordinator,
    pub(crate) transactions: TransactionCoordinator,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) upkeep: Upkeep,
    pub(crate) faults: ActiveFaults,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoredCluster {
    cluster_id: String,
}

impl Node {
    /// Opens the data directory of `config`, recovering what a crash left.
    ///
    /// # Errors
    ///
    /// A file cannot be read or written, or is not what was written.
    pub(crate) fn open(config: &BrokerConfig) -> Result<Self, StartError> {
        let data = &config.data;
        fs::create_dir_all(data).map_err(StartError::storage(data))?;
        let catalog = Catalog::open(data).map_err(StartError::storage(data.join("topics.json")))?;
        let journal = data.join("groups.journal");
        let coordinator = Coordinator::open(
            &journal,
            config.journal_bytes,
            config.initial_rebalance_delay,
        )
        .map_err(StartError::storage(journal))?;
        let journal = data.join("transactions.journal");
        let participants = Participants {
            catalog: &catalog,
            groups: &coordinator,
        };
        let transactions =
            TransactionCoordinator::open(&journal, config.journal_bytes, participants)
                .map_err(StartError::storage(journal))?;
        Ok(Self {
            cluster_id: cluster_id(&data.join("cluster.json"))?,
            catalog,
            coordinator,
            transactions,
            producer_ids: ProducerIds::open(data.join("producer-ids.json"))
                .map_err(StartError::storage(data.join("producer-ids.json")))?,
            upkeep: Upkeep::default(),
            faults: ActiveFaults::default(),
        })
    }

    /// What transactions change.
    pub(crate) fn participants(&self) -> Participants<'_> {
        Participants {
            catalog: &self.catalog,
            groups: &self.coordinator,
        }
    }

    /// Brings everything to the disk; what cannot be is logged.
    pub(crate) fn flush(&self) {
        for (what, result) in [
            ("logs", self.catalog.flush()),
            ("groups", self.coordinator.flush()),
            ("transactions", self.transactions.flush()),
        ] {
            if let Err(error) = result {
                tracing::error!(what, %error, "cannot flush to disk");
            }
        }
    }
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_millis() as i64
}

fn cluster_id(path: &Path) -> Result<StrBytes, StartError> {
    let stored: Option<StoredCluster> =
        durable::read_json(path).map_err(StartError::storage(path))?;
    let cluster = match stored {
        Some(cluster) => cluster,
        None => {
            let cluster = StoredCluster {
                cluster_id: Uuid::new_v4().simple().to_string(),
            };
            durable::replace_json(path, &cluster).map_err(StartError::storage(path))?;
            cluster
        }
    };
    Ok(StrBytes::from_string(cluster.cluster_id))
}
