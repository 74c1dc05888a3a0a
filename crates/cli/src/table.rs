//! Columns that line up.

use crate::record::printable;

/// Rows of text; the first one is the heading.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heading: &[&str]) -> Self {
        let heading = heading.iter().map(|cell| (*cell).to_owned()).collect();
        Self {
            rows: vec![heading],
        }
    }

    /// Adds a row; its cells may come from outside, so control characters are escaped.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        let cells = cells.iter().map(|cell| match *cell {
            "" => "-".to_owned(),
            cell => printable(cell).into_owned(),
        });
        self.rows.push(cells.collect());
    }

    /// The lines, each without blanks at its end.
    pub(crate) fn lines(&self) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        self.rows.iter().map(move |row| {
            let cells = row.iter().zip(&widths);
            let line: String = cells
                .map(|(cell, &width)| format!("{cell:<width$}  "))
                .collect();
            line.trim_end().to_owned()
        })
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["TOPIC", "N"]);
        table.row(&["order.created", "1"]);
        table.row(&["é", ""]);

        let lines: Vec<_> = table.lines().collect();

        assert_eq!(
            lines,
            ["TOPIC          N", "order.created  1", "é              -"]
        );
    }
}
