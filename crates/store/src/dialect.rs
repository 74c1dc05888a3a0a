//! The words in which the two databases differ.

use crate::classify::Database;

/// One statement in both dialects.
pub(crate) struct Dialects<T> {
    sqlite: T,
    postgres: T,
}

impl<T> Dialects<T> {
    /// `make` makes the statement for a database.
    pub(crate) fn new(make: impl Fn(Database) -> T) -> Self {
        Self {
            sqlite: make(Database::Sqlite),
            postgres: make(Database::Postgres),
        }
    }

    pub(crate) fn of(&self, database: Database) -> &T {
        match database {
            Database::Sqlite => &self.sqlite,
            Database::Postgres => &self.postgres,
        }
    }
}

impl Database {
    /// A statement whose parameters stand in it in their order, each once, for inserts with many of them. sqlx asks SQLite
    /// for the name of every parameter, and SQLite looks through all names each time; nameless ones have their place.
    ///
    /// # Panics
    /// If the parameters stand in another order: their values would be mixed up.
    pub(crate) fn in_order(self, text: &str) -> String {
        match self {
            Self::Sqlite => nameless(text),
            Self::Postgres => text.to_owned(),
        }
    }

    /// Begins a transaction that writes. SQLite's own `begin` starts as a reader and fails at its first write if somebody
    /// else (an operator's shell) wrote since; this one waits for them first.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "begin immediate",
            Self::Postgres => "begin",
        }
    }

    /// Ends a `select` whose rows of `table` nobody may change until the transaction ends; it waits for those who are
    /// about to.
    pub(crate) fn sharing(self, table: &str) -> String {
        match self {
            // One writer at a time: nobody can.
            Self::Sqlite => String::new(),
            Self::Postgres => format!(" for share of {table}"),
        }
    }

    /// Ends a `select` of rows that this transaction will change; those that others are changing are left out.
    pub(crate) fn taking(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for update skip locked",
        }
    }

    /// Ends a `select` of rows that this transaction will change; it waits for others who are changing them.
    pub(crate) fn locking(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " for update",
        }
    }

    /// `column` is among the results of `query`, which is run once. Left to itself, PostgreSQL may plan it as a join with
    /// the whole table, since it prepares statements without knowing how few rows a limit lets through.
    pub(crate) fn among(self, column: &str, query: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} in ({query})"),
            Self::Postgres => format!("{column} = any(array({query}))"),
        }
    }

    /// A column that finds a row of a table within one statement.
    pub(crate) fn row_address(self) -> &'static str {
        match self {
            Self::Sqlite => "rowid",
            Self::Postgres => "ctid",
        }
    }

    /// Sorts topics as Rust does, whatever the locale of the database.
    pub(crate) fn bytewise(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            Self::Postgres => " collate \"C\"",
        }
    }
}

fn nameless(text: &str) -> String {
    let mut pieces = text.split('$');
    let mut nameless = pieces.next().unwrap_or_default().to_owned();
    for (place, piece) in (1..).zip(pieces) {
        let rest = piece.trim_start_matches(|character: char| character.is_ascii_digit());
        let number = piece[..piece.len() - rest.len()].parse::<usize>();
        assert_eq!(number, Ok(place), "parameters stand in their order: {text}");
        nameless.push('?');
        nameless.push_str(rest);
    }
    nameless
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_in_their_order_need_no_names_in_sqlite() {
        let text = "insert into t (a, b) values ($1, $2), ($3, 7), ($4, $5)";
        assert_eq!(
            Database::Sqlite.in_order(text),
            "insert into t (a, b) values (?, ?), (?, 7), (?, ?)"
        );
        assert_eq!(Database::Postgres.in_order(text), text);
    }

    #[test]
    #[should_panic = "parameters stand in their order"]
    fn a_parameter_that_is_used_twice_needs_its_name() {
        Database::Sqlite.in_order("values ($1, $2), ($3, $1)");
    }
}
