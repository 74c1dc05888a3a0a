//! Job queues on Kafka and the store: work that is done later, by priority, again until it succeeds, and once at a time.
//!
//! Reading order: a [`JobPayload`] is what there is to do; [`NewJob`] is the event that adds it to its queue, with its
//! [`JobOptions`]; [`JobCompleted`] and [`JobFailed`] are how it ends.

mod options;
pub use options::{Backoff, JobOptions};

mod new_job;
pub use new_job::{JobPayload, NewJob, TOPIC_PREFIX};

mod event;
pub use event::{JobCompleted, JobFailed};
