//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::fmt::Debug;
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Time between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(25);

/// Asks `look` until it answers `Ok`, and returns that.
///
/// # Panics
/// With `what` and the last `Err` if `within` passes first.
#[track_caller]
pub fn eventually<T, E: Debug, F: Future<Output = Result<T, E>>>(
    what: &str,
    within: Duration,
    look: impl FnMut() -> F,
) -> impl Future<Output = T> {
    let place = std::panic::Location::caller();
    async move {
        match poll(within, look).await {
            Ok(found) => found,
            Err(last) => panic!("{what}: not within {within:?}; last seen: {last:?} ({place})"),
        }
    }
}

/// As [`eventually`], for code that reports the last `Err` instead of panicking with it.
///
/// # Errors
/// The last answer, if `within` passes first.
pub async fn poll<T, E, F: Future<Output = Result<T, E>>>(
    within: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, E> {
    let deadline = Instant::now() + within;
    loop {
        match look().await {
            Err(last) if Instant::now() >= deadline => return Err(last),
            Err(_) => sleep(PAUSE).await,
            found => return found,
        }
    }
}

/// A loopback port that was free a moment ago.
///
/// # Errors
/// When the machine has none.
pub(crate) fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
