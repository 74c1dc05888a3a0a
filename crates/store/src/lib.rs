//! Inbox and outbox on SQL: one text for SQLite and PostgreSQL.
