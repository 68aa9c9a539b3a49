//! Columns of text, as wide as what is in them.

use std::fmt;

/// A table. The first row is the header.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers lean to the right.
    right: Vec<bool>,
}

impl Table {
    /// A table of these columns. A name that begins with `>` makes a column of numbers.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let header = columns
            .iter()
            .map(|name| name.trim_start_matches('>').to_owned());
        let right = columns.iter().map(|name| name.starts_with('>'));
        Self {
            rows: vec![header.collect()],
            right: right.collect(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines, without line breaks.
    pub(crate) fn lines(&self) -> Vec<String> {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.right.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).zip(&self.right);
            let cells: Vec<String> = cells
                .map(|((cell, width), right)| {
                    if *right {
                        format!("{cell:>width$}")
                    } else {
                        format!("{cell:<width$}")
                    }
                })
                .collect();
            cells.join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines()
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_lean_right() {
        let mut table = Table::new(&["NAME", ">COUNT", "NOTE"]);
        table.row(["a".to_owned(), "12345678".to_owned(), String::new()]);
        table.row(["länger".to_owned(), "1".to_owned(), "x".to_owned()]);
        assert_eq!(
            table.to_string(),
            "NAME       COUNT  NOTE\na       12345678\nlänger         1  x\n"
        );
    }
}
