//! Test support: brokers to test on, an in-memory log and store with faults, a history checker.
