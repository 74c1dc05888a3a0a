//! Insertion of many rows by one statement, for the tables of other modules.

use longshore_worker::{Statement, sql};

use crate::text::{BySize, typed_parameters};

/// Inserts up to [`MAX_ROWS`](crate::MAX_ROWS) rows. It comes in a few sizes, so that a database prepares few texts; what
/// is left over of a size is filled up with nulls, which are not inserted.
#[derive(Debug)]
pub struct Insertion {
    columns: Columns,
    text: BySize,
}

/// Names and types. The first column is never null in a row.
type Columns = &'static [(&'static str, &'static str)];

impl Insertion {
    /// An insertion into `table`, whose `columns` are names with types, `text` or `bigint`; the first one is never null.
    /// `rest` is what follows, such as `on conflict`.
    pub fn new(table: &str, columns: Columns, rest: &str) -> Self {
        let text = BySize::new(|rows| text(table, columns, rest, rows));
        Self { columns, text }
    }

    /// The statement for these rows; `bind` binds one row's values in the order of the columns.
    ///
    /// # Panics
    /// If there are more rows than [`MAX_ROWS`](crate::MAX_ROWS).
    pub fn of<T>(
        &'static self,
        rows: impl ExactSizeIterator<Item = T>,
        bind: impl Fn(Statement, T) -> Statement,
    ) -> Statement {
        let filled = rows.len();
        let (text, size) = self.text.holding(filled);
        assert!(filled <= size, "{filled} rows for one statement");
        let statement = rows.fold(sql(text), bind);
        (filled..size).fold(statement, |statement, _| self.nulls(statement))
    }

    fn nulls(&self, statement: Statement) -> Statement {
        let columns = self.columns.iter();
        columns.fold(statement, |statement, (_, kind)| match *kind {
            "bigint" => statement.bind(None::<i64>),
            _ => statement.bind(None::<String>),
        })
    }
}

fn text(table: &str, columns: Columns, rest: &str, rows: usize) -> String {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let numbered: Vec<String> = (1..=columns.len())
        .map(|number| format!("column{number}"))
        .collect();
    let values = typed_parameters(rows, columns);
    // Without `where`, SQLite would take `on conflict` for the beginning of a join.
    format!(
        "insert into {table} ({}) select {} from (values {values}) as given where column1 is not null {rest}",
        names.join(", "),
        numbered.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    static PAIRS: LazyLock<Insertion> = LazyLock::new(|| {
        let columns = &[("name", "text"), ("number", "bigint")];
        Insertion::new("pairs", columns, "on conflict do nothing")
    });

    #[test]
    fn what_is_left_over_of_a_size_is_filled_up_with_nulls() {
        let rows = [("a", 1_i64), ("b", 2), ("c", 3)];
        let statement = PAIRS.of(rows.into_iter(), |statement, (name, number)| {
            statement.bind(name).bind(number)
        });
        assert_eq!(
            statement.text,
            "insert into pairs (name, number) select column1, column2 from (values \
             (cast($1 as text), cast($2 as bigint)), (cast($3 as text), cast($4 as bigint)), \
             (cast($5 as text), cast($6 as bigint)), (cast($7 as text), cast($8 as bigint))) as given \
             where column1 is not null on conflict do nothing"
        );
        let expected = sql("").bind("a").bind(1_i64).bind("b").bind(2_i64);
        let expected = expected.bind("c").bind(3_i64);
        let expected = expected.bind(None::<String>).bind(None::<i64>);
        assert_eq!(statement.arguments, expected.arguments);
    }
}
