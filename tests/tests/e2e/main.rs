//! The one test binary; `src/lib.rs` is its table of contents.

mod broker_contract;
mod support;
