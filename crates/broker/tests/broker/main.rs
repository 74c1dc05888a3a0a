//! The embedded broker as clients see it. One file a subject:
//!
//! - [`records`]: what goes in comes out
//! - [`groups`]: who consumes what
//! - [`offsets`]: where a consumer goes on
//! - [`admin`]: topics, configurations, groups
//! - [`lifecycle`]: starting, stopping, recovering

mod admin;
mod groups;
mod lifecycle;
mod offsets;
mod records;
mod support;
