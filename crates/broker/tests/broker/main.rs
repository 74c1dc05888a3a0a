//! The embedded broker as clients see it. One file a subject:
//!
//! - [`records`]: what goes in comes out
//! - [`groups`]: who consumes what
//! - [`offsets`]: where a consumer goes on
//! - [`admin`]: topics, configurations, groups
//! - [`transactions`]: all or nothing
//! - [`lifecycle`]: starting, stopping, recovering
//! - [`upkeep`]: what goes by age, by size, by key and by offset
//! - [`full_disk`]: no room for what comes
//! - [`faults`]: what a broker can be told to do wrong, and what clients make of it
//! - [`versions`]: every API in every version it is offered in
//! - [`protocol`]: what no ordinary client does

// What a test cannot go on without, it may unwrap, also in functions that tests share.
#![allow(clippy::unwrap_used)]

mod admin;
mod faults;
mod full_disk;
mod groups;
mod lifecycle;
mod offsets;
mod protocol;
mod records;
mod transactions;
mod upkeep;
mod versions;

mod process;
mod raw;
mod support;
