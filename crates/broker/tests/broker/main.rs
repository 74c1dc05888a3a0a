//! The embedded broker as clients see it. One file a subject:
//!
//! - [`records`]: what goes in comes out
//! - [`groups`]: who consumes what
//! - [`offsets`]: where a consumer goes on
//! - [`admin`]: topics, configurations, groups
//! - [`lifecycle`]: starting, stopping, recovering
//! - [`versions`]: every API in every version it is offered in
//! - [`protocol`]: what no ordinary client does

mod admin;
mod groups;
mod lifecycle;
mod offsets;
mod protocol;
mod records;
mod versions;

mod raw;
mod support;
