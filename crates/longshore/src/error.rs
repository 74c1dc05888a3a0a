//! Why a worker does not run, with the exit code that goes with it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use longshore_kafka::KafkaError;
use longshore_services::ClientError;
use longshore_store::{OpenError, StoreUrl};
use longshore_topics::LoadError;
use longshore_worker::SourceError;
pub(crate) use longshore_worker::chain;

/// Why a worker did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The topic files cannot be read.
    #[error("the topic files are not usable")]
    TopicsDir(#[source] LoadError),
    /// No topic file describes a topic of the worker.
    #[error("topic {topic} is described by no file in {}; check --topics-dir", dir.display())]
    UndescribedTopic {
        /// The topic.
        topic: String,
        /// The directory.
        dir: PathBuf,
    },
    /// The worker is to hold keys, and has nothing to park their messages in.
    #[error(
        "--strict keeps the key of a dead message parked, and this worker has no store to park in; leave --strict out, or build the worker with a store"
    )]
    StrictWithoutStore,
    /// A property of the Kafka client is not accepted.
    #[error("the properties given with --kafka are not usable")]
    Properties(#[source] KafkaError),
    /// The store cannot be opened, and waiting does not help.
    #[error("cannot open the store {url}")]
    Store {
        /// Where it is.
        url: StoreUrl,
        /// What is wrong with it.
        source: OpenError,
    },
    /// The services that it calls cannot be called.
    #[error(transparent)]
    Services(#[from] ClientError),
    /// The consumer cannot start or go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Nothing can be served at this address.
    #[error("cannot listen on {address}; check --admin-listen")]
    AdminListen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// An API cannot be served at this address.
    #[error("cannot listen on {address}; check --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        source: io::Error,
    },
    /// Signals cannot be caught.
    #[error("cannot catch SIGTERM and Ctrl-C")]
    Signals(#[from] io::Error),
    /// The work beside the messages ended although nobody stopped it; the log says more.
    #[error("the work beside the messages ended by itself; the log says why")]
    Beside,
    /// The worker did not stop in time. What was in flight is handled again.
    #[error("the worker did not stop within {} s; what was in flight is handled again", within.as_secs())]
    Overrun {
        /// The time it had.
        within: Duration,
    },
}

impl RunError {
    /// 2 if the command line is wrong, 1 if something failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::TopicsDir(_)
            | Self::UndescribedTopic { .. }
            | Self::StrictWithoutStore
            | Self::Properties(_)
            | Self::Services(ClientError::Address(_)) => 2,
            Self::Services(ClientError::Tls(_))
            | Self::Store { .. }
            | Self::Source(_)
            | Self::AdminListen { .. }
            | Self::Listen { .. }
            | Self::Signals(_)
            | Self::Beside
            | Self::Overrun { .. } => 1,
        }
    }
}
