//! Why a broker could not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A broker did not start; nothing is left running.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address is reachable from other machines, and that was not asked for.
    #[error(
        "refusing to listen on {listen}: the embedded broker has no authentication; \
         use a loopback address, or allow remote clients explicitly"
    )]
    NotLoopback {
        /// The address that was asked for.
        listen: SocketAddr,
    },
    /// Another broker, in this process or another, uses the data directory.
    #[error("{} is in use by another broker; stop it, or choose another data directory", .data.display())]
    DataInUse {
        /// The data directory.
        data: PathBuf,
    },
    /// The address cannot be bound.
    #[error("cannot listen on {listen}; is the port in use?")]
    Bind {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file or directory below the data directory cannot be read or written.
    #[error("cannot use {}; check that it is readable, writable and on a disk with space", .path.display())]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The broker's threads cannot be started.
    #[error("cannot start the broker's threads; check the limit on processes")]
    Threads(#[source] io::Error),
}

impl StartError {
    pub(crate) fn storage(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Storage { path, source }
    }
}
