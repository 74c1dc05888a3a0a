//! Starting and stopping a broker.

use std::fs::{File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::config::BrokerConfig;
use crate::error::StartError;
use crate::faults::Faults;
use crate::node::Node;
use crate::server;
use crate::upkeep;

/// Threads that serve clients.
const THREADS: usize = 2;

/// A running broker. Dropping it stops it without waiting; [`Broker::shutdown`] also flushes, and
/// returns when the port and the data directory are free again.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    node: Arc<Node>,
    serving: JoinHandle<()>,
    stop: oneshot::Sender<()>,
    // Last, so that the directory is released when nothing uses it any more.
    threads: Threads,
    lock: Arc<File>,
}

impl Broker {
    /// Starts a broker and returns when it accepts connections.
    ///
    /// It runs on threads of its own, so a caller that blocks its runtime does not block the broker.
    ///
    /// # Errors
    ///
    /// See [`StartError`]; nothing is left running.
    pub async fn start(config: BrokerConfig) -> Result<Self, StartError> {
        let began = Instant::now();
        let listen = config.listen;
        if !listen.ip().is_loopback() && !config.allow_remote {
            return Err(StartError::NotLoopback { listen });
        }
        let threads = Threads::start()?;
        let data = config.data.clone();
        let upkeep_interval = config.upkeep_interval;
        let (lock, node) = threads.run(move || open(&config)).await??;
        let (lock, node) = (Arc::new(lock), Arc::new(node));
        let upkeep = {
            let (node, lock) = (node.clone(), lock.clone());
            async move { upkeep::run(&node, &lock, upkeep_interval).await }
        };
        let bind_error = |source| StartError::Bind { listen, source };
        let listener = {
            // The listener belongs to the runtime it is bound in.
            let _inside = threads.handle.enter();
            std_listener(listen).and_then(TcpListener::from_std)
        }
        .map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;
        let (stop, stopped) = oneshot::channel();
        let serving = threads
            .handle
            .spawn(server::run(listener, node.clone(), upkeep, stopped));
        tracing::info!(
            %address,
            data = %data.display(),
            started_in_ms = began.elapsed().as_millis() as u64,
            "embedded broker started; it is for development: one node, no replication, no authentication"
        );
        Ok(Self {
            address,
            node,
            serving,
            stop,
            threads,
            lock,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for a client's `bootstrap.servers`.
    pub fn bootstrap(&self) -> String {
        self.address.to_string()
    }

    /// Makes it misbehave, for tests of clients.
    pub fn faults(&self) -> Faults {
        Faults::new(self.node.clone())
    }

    /// Stops accepting, closes every connection, and flushes to disk. Afterwards a broker can be started
    /// on the same address and data directory.
    pub async fn shutdown(self) {
        let Self {
            address,
            node,
            serving,
            stop,
            threads,
            lock,
        } = self;
        drop(stop);
        if let Err(error) = serving.await {
            tracing::error!(%error, "the broker did not stop cleanly");
        }
        let end = move || {
            node.upkeep.stop();
            node.flush();
        };
        if let Err(error) = threads.run(end).await {
            tracing::error!(%error, "the broker did not flush cleanly");
        }
        drop(lock);
        tracing::info!(%address, "embedded broker stopped");
    }
}

/// On Unix the standard library sets `SO_REUSEADDR`, so that a broker can come back on its port at once.
fn std_listener(listen: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn open(config: &BrokerConfig) -> Result<(File, Node), StartError> {
    std::fs::create_dir_all(&config.data).map_err(StartError::storage(&config.data))?;
    let lock = lock(&config.data)?;
    Ok((lock, Node::open(config)?))
}

/// Claims the data directory until the returned file is closed, be it by the death of the process.
fn lock(data: &Path) -> Result<File, StartError> {
    let path = data.join("lock");
    let file = File::create(&path).map_err(StartError::storage(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::DataInUse { data: data.into() }),
        Err(TryLockError::Error(source)) => Err(StartError::Storage { path, source }),
    }
}

/// The broker's own runtime, which may be dropped inside another one.
#[derive(Debug)]
struct Threads {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Threads {
    fn start() -> Result<Self, StartError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("longshore-broker")
            .enable_all()
            .build()
            .map_err(StartError::Threads)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }

    /// Runs `work`, which blocks, beside the threads that serve.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StartError> {
        let done = self.handle.spawn_blocking(work).await;
        done.map_err(|error| StartError::Threads(error.into()))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
