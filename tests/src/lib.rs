//! End-to-end tests: one package, one binary, a table of contents.
