//! What a list is narrowed to. Only what is asked for stands in the text, so that an index can find it.

use longshore_worker::Statement;

/// Columns that must have these values.
#[derive(Clone, Debug)]
pub(crate) struct Filter(Vec<(&'static str, String)>);

impl Filter {
    /// Columns without a value narrow nothing.
    pub(crate) fn of<const N: usize>(columns: [(&'static str, Option<String>); N]) -> Self {
        let given = columns.into_iter();
        Self(
            given
                .filter_map(|(column, value)| Some((column, value?)))
                .collect(),
        )
    }

    /// `where …`, or nothing. Its parameters are the first of the statement.
    pub(crate) fn text(&self) -> String {
        let conditions = self.0.iter().zip(1..);
        let conditions: Vec<_> = conditions
            .map(|((column, _), number)| format!("{column} = ${number}"))
            .collect();
        match conditions.is_empty() {
            true => String::new(),
            false => format!("where {}", conditions.join(" and ")),
        }
    }

    /// Binds its values.
    pub(crate) fn bind(&self, statement: Statement) -> Statement {
        let values = self.0.iter().map(|(_, value)| value.clone());
        values.fold(statement, Statement::bind)
    }

    /// `limit … offset …`, whose parameters follow.
    pub(crate) fn slice(&self) -> String {
        let last = self.0.len();
        format!("limit ${} offset ${}", last + 1, last + 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_worker::sql;

    #[test]
    fn only_what_is_asked_for_stands_in_the_text() {
        let none = Filter::of([("a", None), ("b", None)]);
        assert_eq!(
            (none.text(), none.slice()),
            (String::new(), "limit $1 offset $2".into())
        );
        let one = Filter::of([("a", None), ("b", Some("x".to_owned()))]);
        assert_eq!(one.text(), "where b = $1");
        assert_eq!(one.slice(), "limit $2 offset $3");
        assert_eq!(one.bind(sql("")).arguments, sql("").bind("x").arguments);
        let both = Filter::of([("a", Some(String::new())), ("b", Some(String::new()))]);
        assert_eq!(both.text(), "where a = $1 and b = $2");
    }
}
