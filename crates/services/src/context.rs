//! What a call passes on of its cause, so that it can be followed from end to end.

use tokio::task_local;

/// The cause of the calls that are made within [`CallContext::scope`].
///
/// It goes with the task and not through the signatures: whose message it is makes no difference to what is asked of a
/// service, and every port, its sandbox and whatever stands between them would have to hand it on unread. It is set in
/// one place, where a worker's handler, a job or an API's request begins. What is spawned within the scope is outside of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallContext {
    /// `X-Correlation-ID`.
    pub correlation_id: String,
    /// `traceparent` (W3C Trace Context).
    pub trace_parent: Option<String>,
}

task_local! {
    static CURRENT: CallContext;
}

impl CallContext {
    /// Runs `work` with this as the cause of its calls.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The cause of what is running; `None` outside of a scope.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Self::clone).ok()
    }
}
