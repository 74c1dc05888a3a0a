//! Waiting for a condition with a deadline, instead of sleeping and hoping.

use std::fmt::Debug;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
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

/// A loopback port that is free and that nobody is likely to take: it lies below the range from which systems choose
/// ports for outgoing connections, where one that was free a moment ago may be gone.
///
/// # Errors
/// When no port of the range is free.
pub fn free_port() -> io::Result<u16> {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 18_000;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test processes that run side by side start at different places.
    let start = || AtomicU16::new((uuid::Uuid::new_v4().as_u128() % u128::from(COUNT)) as u16);
    let next = NEXT.get_or_init(start);
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| io::Error::other("no loopback port is free"))
}
