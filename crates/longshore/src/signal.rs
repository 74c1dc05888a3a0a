//! The wish to stop: SIGTERM or Ctrl-C once to finish, twice to end at once.

use std::io;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tracing::{info, warn};

/// The exit code of a process that was ended by a second signal.
const ENDED_AT_ONCE: i32 = 1;

/// What comes so soon after the first signal is the same wish: `timeout` of coreutils signals its child, and then the
/// group that the child is in.
const SAME_WISH: Duration = Duration::from_millis(200);

/// Completes at the first SIGTERM or Ctrl-C. The second one ends the process at once, whatever it is doing, unless it
/// comes within 200 ms of the first.
///
/// Both signals are caught from the moment this is called.
///
/// # Errors
/// The operating system lets no handler be installed.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn stop_signal() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (wish, wished) = oneshot::channel();
    tokio::spawn(async move {
        let name = either(&mut interrupt, &mut terminate).await;
        info!(
            signal = name,
            "stopping; a second signal ends the process at once"
        );
        // Nobody listens if the worker has ended by itself.
        wish.send(()).ok();
        let first = Instant::now();
        let name = loop {
            let name = either(&mut interrupt, &mut terminate).await;
            if first.elapsed() >= SAME_WISH {
                break name;
            }
        };
        warn!(
            signal = name,
            "ended at once; what was under way is left unfinished"
        );
        std::process::exit(ENDED_AT_ONCE);
    });
    Ok(async move {
        if wished.await.is_err() {
            // The task is gone with its runtime; so is whoever waits here.
            std::future::pending().await
        }
    })
}

async fn either(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
