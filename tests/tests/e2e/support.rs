//! What the tests stand on.

pub(crate) mod client;
pub(crate) mod ledger;
pub(crate) mod observer;
pub(crate) mod order;
pub(crate) mod system;
pub(crate) mod worker;
