//! Waits on a thread for an answer from a task, with a deadline that tokio's own blocking receive does not have.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Waits at most `within`; `None` if there is no answer by then, or never will be.
pub(super) fn answer<T>(receiver: oneshot::Receiver<T>, within: Duration) -> Option<T> {
    let deadline = Instant::now() + within;
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut receiver = pin!(receiver);
    loop {
        if let Poll::Ready(answer) = receiver.as_mut().poll(&mut context) {
            return answer.ok();
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_from_another_thread_ends_the_wait() {
        let (sender, receiver) = oneshot::channel();
        let answering = thread::spawn(move || sender.send(7));
        assert_eq!(answer(receiver, Duration::from_secs(10)), Some(7));
        assert_eq!(answering.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn a_dropped_sender_or_the_deadline_is_no_answer() {
        let (sender, receiver) = oneshot::channel::<u8>();
        drop(sender);
        assert_eq!(answer(receiver, Duration::from_secs(10)), None);
        let (_sender, receiver) = oneshot::channel::<u8>();
        assert_eq!(answer(receiver, Duration::from_millis(1)), None);
    }
}
