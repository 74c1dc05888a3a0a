//! Build a worker in one file: command line, telemetry, admin endpoints and wiring over the Longshore crates.
