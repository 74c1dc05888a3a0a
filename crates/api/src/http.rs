//! HTTP: requests become commands and queries, what comes of them becomes JSON, and what does not is a problem document.
//!
//! Reading order: [`router`] is the way of a request; `endpoint` says what a route is, and `users`, `orders`, `analytics` and `upkeep`
//! hold the routes, each with what is documented of it; `document` makes the OpenAPI document of the same list; `body`,
//! `parameters` and `limit` say what a request may be; `problem` is how it is told what was wrong with it.

mod router;
pub use router::{Limits, Server, router};

mod endpoint;

mod users;

mod orders;

mod analytics;

mod upkeep;
pub use upkeep::Health;

mod document;
pub use document::document;

mod operation;

mod body;

mod parameters;

mod limit;

mod origin;

mod problem;
pub use problem::{Kind, Problem, Violation};
