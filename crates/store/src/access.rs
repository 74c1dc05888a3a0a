//! Statements of handlers and tests, outside of any commit: a ledger, a look at the state.

use std::fmt;

use longshore_worker::{Statement, StoreError};
use sqlx::any::AnyRow;
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Decode, Row as _, Type, Value as _};

use crate::SqlStore;
use crate::bind::query;

impl SqlStore {
    /// Runs a statement in a transaction of its own and returns how many rows it changed.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] or [`StoreError::Unavailable`]; after the latter it may have taken effect.
    pub async fn execute(&self, statement: &Statement) -> Result<u64, StoreError> {
        self.within(async {
            let mut connection = self.writing().await?;
            run(&mut connection, statement)
                .await
                .map_err(|error| self.inner.database.statement_error(statement, error))
        })
        .await
    }

    /// As [`execute`](Self::execute), for a statement with `returning`: returns the rows it names.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] or [`StoreError::Unavailable`]; after the latter it may have taken effect.
    pub async fn execute_returning(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.within(async {
            let connection = self.writing().await?;
            self.rows(connection, statement).await
        })
        .await
    }

    /// Runs a query and returns all of its rows. It sees what was committed before it began. Use
    /// [`execute`](Self::execute) to change anything: on SQLite, queries run on connections that cannot write.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] or [`StoreError::Unavailable`].
    pub async fn fetch(&self, statement: &Statement) -> Result<Vec<Row>, StoreError> {
        self.within(async {
            let connection = self.reading().await?;
            self.rows(connection, statement).await
        })
        .await
    }

    /// As [`fetch`](Self::fetch), the first row alone.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] or [`StoreError::Unavailable`].
    pub async fn fetch_optional(&self, statement: &Statement) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch(statement).await?.into_iter().next())
    }

    async fn rows(
        &self,
        mut connection: PoolConnection<Any>,
        statement: &Statement,
    ) -> Result<Vec<Row>, StoreError> {
        let rows = match query(statement) {
            Ok(query) => query.fetch_all(&mut *connection).await,
            Err(error) => Err(error),
        };
        let rows = rows.map_err(|error| self.inner.database.statement_error(statement, error))?;
        Ok(rows.into_iter().map(Row).collect())
    }

    pub(crate) async fn ask(&self) -> Result<(), StoreError> {
        let mut connection = self.writing().await?;
        sqlx::query("select 1")
            .execute(&mut *connection)
            .await
            .map(drop)
            .map_err(|error| StoreError::Unavailable(error.into()))
    }
}

/// Runs a statement on a connection, in its transaction if there is one; returns how many rows it changed.
pub(crate) async fn run(
    connection: &mut AnyConnection,
    statement: &Statement,
) -> sqlx::Result<u64> {
    Ok(query(statement)?.execute(connection).await?.rows_affected())
}

/// One row of a query. Columns are counted from zero.
pub struct Row(pub(crate) AnyRow);

impl Row {
    /// A column of any integer type; `None` is null.
    ///
    /// # Panics
    /// If there is no such column or it is no integer: the query and its reader do not belong together.
    pub fn integer(&self, column: usize) -> Option<i64> {
        self.get(column)
    }

    /// A `double precision` column; `None` is null.
    ///
    /// # Panics
    /// If there is no such column or it is no floating-point number.
    pub fn real(&self, column: usize) -> Option<f64> {
        self.get(column)
    }

    /// A `text` column; `None` is null.
    ///
    /// # Panics
    /// If there is no such column or it is no text.
    pub fn text(&self, column: usize) -> Option<&str> {
        self.get(column)
    }

    /// A `bytea` column; `None` is null.
    ///
    /// # Panics
    /// If there is no such column or it is no bytes.
    pub fn bytes(&self, column: usize) -> Option<&[u8]> {
        self.get(column)
    }

    fn get<'r, T>(&'r self, column: usize) -> Option<T>
    where
        T: Decode<'r, sqlx::Any> + Type<sqlx::Any>,
    {
        match self.0.try_get::<Option<T>, _>(column) {
            Ok(value) => value,
            Err(error) => {
                panic!("column {column} of a query is not what its reader expects: {error}")
            }
        }
    }
}

/// The columns, separated by ` | `: texts as they are, `null`, bytes as in SQL (`x'00ff'`).
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (column, value) in self.0.values.iter().enumerate() {
            if column > 0 {
                f.write_str(" | ")?;
            }
            let row = &self.0;
            // A column is asked what it is: each type but its own is an error.
            if value.is_null() {
                f.write_str("null")?;
            } else if let Ok(value) = row.try_get::<i64, _>(column) {
                write!(f, "{value}")?;
            } else if let Ok(value) = row.try_get::<f64, _>(column) {
                write!(f, "{value}")?;
            } else if let Ok(value) = row.try_get::<bool, _>(column) {
                write!(f, "{value}")?;
            } else if let Ok(value) = row.try_get::<&str, _>(column) {
                f.write_str(value)?;
            } else if let Ok(value) = row.try_get::<&[u8], _>(column) {
                write_bytes(f, value)?;
            } else {
                write!(f, "{:?}", value.kind)?;
            }
        }
        Ok(())
    }
}

fn write_bytes(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("x'")?;
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    f.write_str("'")
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.values.iter().map(|value| &value.kind))
            .finish()
    }
}
