//! The API without a broker: requests go to the router, events to a log in memory, and from there into the projection.

mod support;

mod orders;

mod users;

mod analytics;

mod problems;

mod document;

mod projection;

mod instances;

mod replica;
