//! Progress for a terminal: a table that is written over, below whatever scrolls by.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use weir_rpc::JobDetails;

use crate::human;
use crate::progress::model::Row;
use crate::progress::recovery::Recovery;
use crate::table::Table;

/// The table. It disappears when this is dropped.
pub(super) struct View {
    terminal: MultiProgress,
    lines: Vec<ProgressBar>,
}

impl View {
    pub(super) fn new(terminal: MultiProgress) -> Self {
        Self {
            terminal,
            lines: Vec::new(),
        }
    }

    /// Shows these lines in the place of those before.
    pub(super) fn show(&mut self, texts: Vec<String>) {
        while self.lines.len() < texts.len() {
            self.lines.push(self.terminal.add(line()));
        }
        for (place, line) in self.lines.iter().enumerate() {
            line.set_message(texts.get(place).cloned().unwrap_or_default());
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        for line in &self.lines {
            line.finish_and_clear();
            self.terminal.remove(line);
        }
    }
}

/// A line that is cut at the terminal's width.
fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style)
}

/// The table's lines.
pub(super) fn texts(
    job: &JobDetails,
    rows: &[Row],
    recovery: &Recovery,
    age: Duration,
) -> Vec<String> {
    let overview = &job.overview;
    let mut texts = vec![format!(
        "job {}  {}  {}",
        overview.name,
        overview.status,
        human::duration(age)
    )];
    texts.extend(overview.waiting_for.clone());
    texts.extend(recovery.texts());
    let mut table = Table::new(&[
        "STATE",
        ">IN",
        ">OUT",
        ">RATE",
        "WATERMARK",
        ">BUSY",
        ">B-PRES",
        "OPERATORS",
    ]);
    for row in rows {
        table.row([
            row.state.clone(),
            human::short(row.records_in),
            human::short(row.records_out),
            row.rate.clone(),
            row.watermark.clone(),
            row.busy.clone(),
            row.backpressured.clone(),
            row.name.clone(),
        ]);
    }
    texts.extend(table.lines());
    texts
}
