//! Values of a statement as sqlx takes them.

use longshore_worker::{Statement, Value};
use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// A statement of a handler, ready to run; prepared once a connection, by its text.
///
/// Its values are counted here, because neither database can be left to it: SQLite takes a missing one for null, and
/// PostgreSQL answers with a protocol error, which looks like an outage.
pub(crate) fn query(statement: &Statement) -> sqlx::Result<Query<'_, Any, AnyArguments>> {
    let (wanted, bound) = (parameters(&statement.text), statement.arguments.len());
    if wanted != bound {
        let message = format!("it has {wanted} parameters, and {bound} values were bound to it");
        return Err(sqlx::Error::Encode(message.into()));
    }
    let query = sqlx::query(AssertSqlSafe(statement.text.clone()));
    Ok(statement.arguments.iter().fold(query, bind))
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

/// The highest `$n` outside of quotes and comments.
fn parameters(text: &str) -> usize {
    let mut highest = 0;
    let mut rest = text.as_bytes();
    while let Some(start) = rest.iter().position(|byte| b"$'\"-/".contains(byte)) {
        rest = &rest[start..];
        rest = match rest {
            [b'$', digits @ ..] => {
                let (number, rest) = leading_number(digits);
                highest = highest.max(number);
                rest
            }
            [b'-', b'-', comment @ ..] => after(comment, b"\n"),
            [b'/', b'*', comment @ ..] => after(comment, b"*/"),
            [quote @ (b'\'' | b'"'), quoted @ ..] => after(quoted, &[*quote]),
            _ => &rest[1..],
        };
    }
    highest
}

fn leading_number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit());
    let (digits, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    let number = digits.iter().fold(0_usize, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    });
    (number, rest)
}

/// What follows the first `end`. A quote written twice within a quoted text ends it and begins it again.
fn after<'a>(bytes: &'a [u8], end: &[u8]) -> &'a [u8] {
    let found = bytes.windows(end.len()).position(|window| window == end);
    found.map_or(&[], |start| &bytes[start + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_counted_outside_of_quotes_and_comments() {
        for (text, expected) in [
            ("select 1", 0),
            ("select $1, $2, $1", 2),
            ("update t set a = a - $10 / $2", 10),
            ("select 'it''s $3', $1", 1),
            ("select \"odd$4\" from t where x = $1", 1),
            ("select $1 -- don't count $2\n, $3", 3),
            ("/* don't $9 */ select $1", 1),
            ("select '$5", 0),
            ("select $", 0),
        ] {
            assert_eq!(parameters(text), expected, "{text}");
        }
    }
}
