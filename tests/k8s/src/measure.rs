//! Numbers, and how they are shown.

use serde_json::{Value, json};

/// What was measured.
pub(crate) struct Measured {
    what: String,
    unit: &'static str,
    at_most: f64,
    /// In the order in which they were measured.
    values: Vec<f64>,
    sorted: Vec<f64>,
}

impl Measured {
    pub(crate) fn new(what: &str, unit: &'static str, at_most: f64, values: Vec<f64>) -> Self {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        Self {
            what: what.to_owned(),
            unit,
            at_most,
            values,
            sorted,
        }
    }

    /// The smallest value that so many percent do not exceed.
    fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or(f64::NAN)
    }

    /// A row of a table.
    pub(crate) fn row(&self) -> String {
        let unit = self.unit;
        let missed = match self.percentile(99) <= self.at_most {
            true => "",
            false => " **missed**",
        };
        format!(
            "| {} | {} | {:.1} {unit} | {:.1} {unit} | ≤ {} {unit}{missed} |",
            self.what,
            self.values.len(),
            self.percentile(50),
            self.percentile(99),
            self.at_most,
        )
    }

    /// One line.
    pub(crate) fn json(&self) -> Value {
        json!({
            "figure": self.what,
            "unit": self.unit,
            "runs": self.values.len(),
            "p50": self.percentile(50),
            "p99": self.percentile(99),
            "max": self.percentile(100),
            "bar": self.at_most,
            "values": self.values,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_shows_the_median_the_slowest_of_twenty_and_what_was_missed() {
        let values = (1..=20).rev().map(f64::from).collect();
        let measured = Measured::new("a", "s", 19.0, values);
        assert_eq!(
            measured.row(),
            "| a | 20 | 10.0 s | 20.0 s | ≤ 19 s **missed** |"
        );
        let fine = Measured::new("b", "MiB", 30.0, vec![29.0]);
        assert_eq!(fine.row(), "| b | 1 | 29.0 MiB | 29.0 MiB | ≤ 30 MiB |");
        assert_eq!(fine.json()["max"], 29.0);
    }
}
