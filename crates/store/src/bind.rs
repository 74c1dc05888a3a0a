//! Values of a statement as sqlx takes them.

use longshore_worker::{Statement, Value};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// A statement of a handler, ready to run; prepared once a connection, by its text.
pub(crate) fn query(statement: &Statement) -> Query<'_, Any, AnyArguments> {
    let text = AssertSqlSafe(statement.text.clone());
    let query = sqlx::query(text);
    statement.arguments.iter().fold(query, bind)
}

fn bind<'q>(query: Query<'q, Any, AnyArguments>, value: &'q Value) -> Query<'q, Any, AnyArguments> {
    match value {
        Value::Integer(value) => query.bind(*value),
        Value::Real(Some(value)) => query.bind(*value),
        // sqlx 0.9.0 (`AnyArguments::convert_into`) swaps the types of the two floating-point nulls. PostgreSQL would
        // then prepare the statement for `real`, and reject every `double precision` that follows.
        Value::Real(None) => query.bind(None::<f32>),
        Value::Text(value) => query.bind(value.as_deref()),
        Value::Bytes(value) => query.bind(value.as_deref()),
    }
}
