//! How far a savepoint is, on stderr: in place on a terminal, else a line every few seconds.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::ProgressBar;
use weir_rest::dto;
use weir_types::{Clock, SystemClock, Timestamp};

use crate::human;

/// Lines come so often.
const LINES_INTERVAL: Duration = Duration::from_secs(5);

/// Shows one operation. What it shows on a terminal disappears when this is dropped.
pub(super) struct Watch {
    operation: String,
    quiet: bool,
    bar: Option<ProgressBar>,
    started: Timestamp,
    next_line: Duration,
}

impl Watch {
    pub(super) fn new(operation: &str, quiet: bool) -> Self {
        let in_place = !quiet && std::io::stderr().is_terminal();
        Self {
            operation: operation.to_owned(),
            quiet,
            bar: in_place.then(ProgressBar::new_spinner),
            started: SystemClock.now(),
            next_line: Duration::ZERO,
        }
    }

    /// Shows how far the operation is, if anybody knows.
    pub(super) fn show(&mut self, checkpoints: Option<&dto::Checkpoints>) {
        let age = SystemClock.now().since(self.started);
        if self.quiet || (self.bar.is_none() && age < self.next_line) {
            return;
        }
        self.next_line = age + LINES_INTERVAL;
        let text = text(&self.operation, age, checkpoints);
        match &self.bar {
            Some(bar) => bar.set_message(text),
            // With a closed stderr there is nobody to tell.
            None => drop(writeln!(std::io::stderr().lock(), "{text}")),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `savepoint 12: 3 of 8 subtasks have stored their part, 2.10 s (operation before-upgrade)`.
fn text(operation: &str, age: Duration, checkpoints: Option<&dto::Checkpoints>) -> String {
    let history = checkpoints
        .map(|all| all.history.as_slice())
        .unwrap_or_default();
    let mine = history
        .iter()
        .find(|each| each.operation.as_deref() == Some(operation));
    let (what, how) = match mine {
        Some(mine) => (
            format!("savepoint {}", mine.id),
            format!(
                "{} of {} subtasks have stored their part",
                mine.num_acknowledged_subtasks, mine.num_subtasks
            ),
        ),
        None => ("savepoint".to_owned(), "waiting for it to begin".to_owned()),
    };
    format!(
        "{what}: {how}, {} (operation {operation})",
        human::duration(age)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoints::examples;

    #[test]
    fn the_subtasks_of_the_operation_are_counted() {
        let age = Duration::from_millis(2_100);
        let all = examples::checkpoints();
        assert_eq!(
            text("before-upgrade", age, Some(&all)),
            "savepoint 13: 1 of 4 subtasks have stored their part, 2.10 s (operation \
             before-upgrade)"
        );
        for nothing in [None, Some(&all)] {
            assert_eq!(
                text("another", age, nothing),
                "savepoint: waiting for it to begin, 2.10 s (operation another)"
            );
        }
    }
}
