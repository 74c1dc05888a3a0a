//! End-to-end tests of Longshore: real worker processes, real clients, on whichever broker the environment names.
//!
//! All tests are one binary, `tests/e2e`. Where a new one belongs:
//!
//! | module | proves |
//! |---|---|
//! | `broker_contract` | that the embedded broker and Apache Kafka behave alike: `records`, `admin`, `groups`, `transactions` |
//! | `order_flow` | that orders reach their end, once, in order, under one correlation id |
//! | `duplicates` | that a message that comes again has no second effect |
//! | `dead_letters` | that what is no event, or fails for good, is set aside as the bytes it was |
//! | `redrive` | that dead letters come back once, and that what is parked waits through a kill |
//! | `outages` | that a broker, a database or a topic that is away for a while costs and doubles nothing |
//! | `services` | the same of the services that workers call over HTTP |
//! | `crashes` | the same of workers killed with -9 |
//! | `followers` | that analytics equal the log and mails are written once, whoever is killed meanwhile |
//! | `expiry` | that orders that are not paid in time are asked to be cancelled, once, across a kill |
//! | `jobs` | that jobs run to their right ends, by priority, through kills |
//! | `lifecycle` | how a worker starts and stops |
//! | `support` | nothing: an order system to test on, a client, the worker binaries |
//!
//! Choose the broker with `KAFKA_BROKERS`, or with `LONGSHORE_TEST_BROKER` = `docker`, `apache` or `embedded`.
