//! Texts of statements over many rows. They come in a few sizes, so that a database prepares each once and keeps it.

use std::collections::BTreeMap;
use std::fmt;

use longshore_event::TopicPartition;
use sqlx::Any;
use sqlx::any::AnyArguments;
use sqlx::query::Query;

/// Sizes are the powers of two up to 64 rows: any number of rows takes at most six statements more than it must. More
/// rows would save PostgreSQL a few round trips and cost SQLite far more: sqlx asks it for the name of every parameter,
/// and it looks through all of them each time, so that the cost of a statement grows with the square of its rows. Those
/// with many parameters a row are better off without names (`Database::in_order`).
const SIZES: usize = 7;

/// Rows of the largest size.
pub const MAX_ROWS: usize = 1 << (SIZES - 1);

/// One statement in all sizes.
#[derive(Debug)]
pub struct BySize([String; SIZES]);

impl BySize {
    /// `text` makes the statement for a number of rows.
    pub fn new(text: impl Fn(usize) -> String) -> Self {
        Self(std::array::from_fn(|power| text(1 << power)))
    }

    /// Splits the items into the largest sizes that are full, each with its text.
    pub(crate) fn split<'a, T>(
        &'static self,
        mut items: &'a [T],
    ) -> impl Iterator<Item = (&'static str, &'a [T])> {
        std::iter::from_fn(move || {
            let power = items.len().checked_ilog2()?.min(SIZES as u32 - 1) as usize;
            let (chunk, rest) = items.split_at(1 << power);
            items = rest;
            Some((self.0[power].as_str(), chunk))
        })
    }

    /// The smallest size that holds `rows`, up to [`MAX_ROWS`], and its text. The caller fills it up: where rows are
    /// looked for, by repeating one; where they are made, with nulls, which the text leaves out.
    pub fn holding(&'static self, rows: usize) -> (&'static str, usize) {
        let size = rows.clamp(1, MAX_ROWS).next_power_of_two();
        (self.0[size.ilog2() as usize].as_str(), size)
    }
}

/// `limit $n`, for statements that run often. Of a parameter that stands there alone, SQLite (since 3.47) makes the plan by
/// its value, and prepares the statement anew whenever one is bound.
pub fn limit(parameter: usize) -> String {
    format!("limit cast(${parameter} as bigint)")
}

/// `(a, b), (c, d)`: one tuple a row, made by `row` from the number of its first own parameter. `shared` parameters
/// come before, the same for all rows.
pub(crate) fn tuples(
    rows: usize,
    columns: usize,
    shared: usize,
    row: impl Fn(usize, usize) -> String,
) -> String {
    let tuples: Vec<String> = (0..rows)
        .map(|index| row(index, shared + 1 + index * columns))
        .collect();
    tuples.join(", ")
}

/// `($1, $2), ($3, $4)`: one tuple a row, all of parameters.
pub(crate) fn parameters(rows: usize, columns: usize) -> String {
    tuples(rows, columns, 0, |_, first| {
        let own: Vec<String> = (first..first + columns).map(|n| format!("${n}")).collect();
        format!("({})", own.join(", "))
    })
}

/// As [`parameters`], each cast to its column's type: of a null among `values`, PostgreSQL cannot guess it. Both databases
/// call the columns of `values` `column1` and so on. `columns` are names with types.
pub(crate) fn typed_parameters(rows: usize, columns: &[(&str, &str)]) -> String {
    tuples(rows, columns.len(), 0, |_, first| {
        let casts = columns.iter().zip(first..);
        let casts = casts.map(|((_, kind), number)| format!("cast(${number} as {kind})"));
        format!("({})", casts.collect::<Vec<_>>().join(", "))
    })
}

/// A condition on `source_topic` and `source_partition`, for any number of partitions in one statement. The text changes
/// with the partitions of an instance, which is when they are assigned; so this is not for what is committed.
pub(crate) struct OfPartitions<'a> {
    numbers: BTreeMap<&'a str, Vec<i32>>,
    shared: usize,
}

impl<'a> OfPartitions<'a> {
    /// `shared` parameters of the statement come before the condition's own.
    pub(crate) fn new(partitions: &'a [TopicPartition], shared: usize) -> Self {
        let mut numbers: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            let topic = numbers.entry(&partition.topic).or_default();
            topic.push(partition.partition);
        }
        Self { numbers, shared }
    }

    /// Binds the condition's own parameters, however often it stands in the text.
    pub(crate) fn bind<'q>(
        &'q self,
        query: Query<'q, Any, AnyArguments>,
    ) -> Query<'q, Any, AnyArguments> {
        let topics = self.numbers.keys();
        topics.fold(query, |query, topic| query.bind(*topic))
    }
}

impl fmt::Display for OfPartitions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.numbers.is_empty() {
            return f.write_str("1 = 0");
        }
        for (index, numbers) in self.numbers.values().enumerate() {
            let or = if index == 0 { "(" } else { " or " };
            let parameter = self.shared + 1 + index;
            let numbers: Vec<String> = numbers.iter().map(i32::to_string).collect();
            let numbers = numbers.join(", ");
            write!(
                f,
                "{or}source_topic = ${parameter} and source_partition in ({numbers})"
            )?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::LazyLock;

    static COUNT: LazyLock<BySize> = LazyLock::new(|| BySize::new(|rows| rows.to_string()));

    #[test]
    fn items_are_split_into_full_sizes() {
        let items = [(); 128 + 52];
        let sizes: Vec<_> = COUNT.split(&items).map(|(text, _)| text).collect();
        assert_eq!(sizes, ["64", "64", "32", "16", "4"]);
        let lengths = COUNT.split(&items).map(|(_, chunk)| chunk.len());
        assert_eq!(lengths.sum::<usize>(), items.len());
        assert_eq!(COUNT.split::<()>(&[]).count(), 0);
    }

    #[test]
    fn what_is_looked_for_takes_the_next_size_up() {
        assert_eq!(COUNT.holding(1), ("1", 1));
        assert_eq!(COUNT.holding(5), ("8", 8));
        assert_eq!(COUNT.holding(64), ("64", 64));
    }
}
