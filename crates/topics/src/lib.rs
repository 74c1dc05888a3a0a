//! Declarative topics: one TOML file a topic says what should be, [`plan`] compares it with what is, and the
//! difference is what an apply does. No broker is talked to here.
//!
//! Reading order: [`TopicSpec::load_dir`] reads the files, [`desired_topics`] derives the topics they ask for (the
//! topics, their dead-letter topics, the redrive topics of groups), [`plan`] is the pure diff, [`Schema`] checks the values that go into a topic.

mod name;
pub use name::name_fault;

mod duration;
pub use duration::Retention;

mod spec;
pub use spec::{Cleanup, DeadLetterSpec, State, TopicSpec};

mod document;
mod load;
pub use load::{LoadError, SpecFault};

mod redrive;
pub use redrive::{REDRIVES_TOPIC, desired_topics};

mod topic;
pub use topic::{ActualTopic, DesiredTopic};

mod plan;
pub use plan::{Change, ConfigChange, Plan, plan};

mod display;

mod schema;
pub use schema::{KeyError, Schema, SchemaError, Violation, key_of};
