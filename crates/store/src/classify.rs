//! What an error of the database asks the caller to do: try again, or give up on the statement.

use std::borrow::Cow;

use longshore_worker::{Statement, StoreError};
use sqlx::error::DatabaseError;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Sqlite,
    Postgres,
}

/// A statement that cannot succeed, however often it is tried.
#[derive(Debug, thiserror::Error)]
#[error("the statement `{text}` was rejected")]
pub struct RejectedStatement {
    /// The statement's text, without its arguments.
    pub text: Cow<'static, str>,
    /// What the database says.
    #[source]
    pub cause: sqlx::Error,
}

impl RejectedStatement {
    /// Whether another row has a value that this one must have for itself.
    pub fn is_unique_violation(&self) -> bool {
        let error = self.cause.as_database_error();
        error.is_some_and(DatabaseError::is_unique_violation)
    }
}

impl Database {
    /// An error that a statement raised.
    pub(crate) fn statement_error(self, statement: &Statement, error: sqlx::Error) -> StoreError {
        self.text_error(statement.text.clone(), error)
    }

    /// An error that the statement `text` raised.
    pub(crate) fn text_error(
        self,
        text: impl Into<Cow<'static, str>>,
        cause: sqlx::Error,
    ) -> StoreError {
        if self.lies_in_the_statement(&cause) {
            let text = text.into();
            StoreError::Rejected(RejectedStatement { text, cause }.into())
        } else {
            StoreError::Unavailable(cause.into())
        }
    }

    /// Whether trying again is useless. What is not known is tried again: a message that is tried too often is late,
    /// one that is given up for a disk that was full is lost.
    pub(crate) fn lies_in_the_statement(self, error: &sqlx::Error) -> bool {
        match error {
            sqlx::Error::Database(error) => self.code_lies_in_the_statement(error.as_ref()),
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::AnyDriverError(_) => true,
            _ => false,
        }
    }

    fn code_lies_in_the_statement(self, error: &dyn DatabaseError) -> bool {
        let Some(code) = error.code() else {
            return false;
        };
        match self {
            Self::Sqlite => code.parse().is_ok_and(sqlite_rejects),
            Self::Postgres => postgres_rejects(&code),
        }
    }
}

/// By the primary result code, the low byte (<https://www.sqlite.org/rescode.html>).
fn sqlite_rejects(code: i32) -> bool {
    const ERROR: i32 = 1;
    const TOOBIG: i32 = 18;
    const CONSTRAINT: i32 = 19;
    const MISMATCH: i32 = 20;
    const RANGE: i32 = 25;
    matches!(code & 0xff, ERROR | TOOBIG | CONSTRAINT | MISMATCH | RANGE)
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn postgres_rejects(code: &str) -> bool {
    // Permissions are the operator's to grant; the statement may be fine.
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    // Feature not supported, case not found, cardinality, data exception (NUL bytes in text among them), integrity
    // constraint, trigger, routines, syntax or access rule, check option, program limit, PL/pgSQL.
    const CLASSES: [&str; 12] = [
        "0A", "20", "21", "22", "23", "27", "2F", "38", "42", "44", "54", "P0",
    ];
    code != INSUFFICIENT_PRIVILEGE && code.get(..2).is_some_and(|class| CLASSES.contains(&class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_never_blamed_on_a_statement() {
        // Connection lost, deadlock, serialisation, disk full, too many connections, read-only after a failover,
        // lock time-out, cancelled, shut down, starting up, I/O error, not allowed, internal error.
        for code in [
            "08006", "40P01", "40001", "53100", "53300", "25006", "55P03", "57014", "57P01",
            "57P03", "58030", "42501", "XX000",
        ] {
            assert!(!postgres_rejects(code), "{code}");
        }
        // Busy, locked, out of memory, read-only, I/O error (with an extended code), full, cannot open.
        for code in [5, 6, 7, 8, 10, 10 | (4 << 8), 13, 14] {
            assert!(!sqlite_rejects(code), "{code}");
        }
    }

    #[test]
    fn what_a_statement_does_wrong_is_its_own_fault() {
        for code in ["23505", "23503", "42601", "42P01", "22021", "42804"] {
            assert!(postgres_rejects(code), "{code}");
        }
        // A syntax error, and unique and foreign keys with their extended codes.
        for code in [1, 19 | (8 << 8), 19 | (3 << 8)] {
            assert!(sqlite_rejects(code), "{code}");
        }
    }
}
