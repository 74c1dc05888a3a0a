//! The one test binary; `src/lib.rs` is its table of contents.

mod broker_contract;
mod crashes;
mod dead_letters;
mod duplicates;
mod expiry;
mod followers;
mod jobs;
mod lifecycle;
mod order_flow;
mod outages;
mod redrive;
mod services;
mod support;
