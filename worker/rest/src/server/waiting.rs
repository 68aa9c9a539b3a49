//! Who waits for an operation and comes back to ask again.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_checkpoint::pointer::OperationId;
use weir_types::Timestamp;

/// How soon whoever was told that an operation is not over asks again, on a busy machine.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// How many operations are remembered.
const REMEMBERED_MAX: usize = 64;

/// Operations that somebody waits for between two questions, and until when they are expected.
///
/// Stopping with a savepoint ends the process as well: whoever waits for the savepoint is to hear
/// that it is complete, and not that nobody is there. An operation that comes to no end here
/// (another JobManager leads) holds nothing up: once the process is about to end, nobody is
/// expected anew.
#[derive(Default)]
pub(super) struct Waiting(Mutex<Expected>);

#[derive(Default)]
struct Expected {
    until: BTreeMap<OperationId, Timestamp>,
    is_closing: bool,
}

impl Waiting {
    /// Somebody who waits was told that it is not over yet, or how it ended.
    pub(super) fn told(&self, operation: &OperationId, over: bool, now: Timestamp) {
        let mut expected = self.expected();
        expected.until.retain(|_, until| *until > now);
        if over {
            expected.until.remove(operation);
        } else if !expected.is_closing && expected.until.len() < REMEMBERED_MAX {
            expected.until.insert(operation.clone(), now + BACK_WITHIN);
        }
    }

    /// From now on whoever is expected stays so until its time is over, or it is told the end.
    pub(super) fn close(&self) {
        self.expected().is_closing = true;
    }

    /// Whether somebody is expected to ask again.
    pub(super) fn is_somebody_expected(&self, now: Timestamp) -> bool {
        self.expected().until.values().any(|until| *until > now)
    }

    fn expected(&self) -> MutexGuard<'_, Expected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_waits_is_expected_until_told_the_end_or_too_long_gone() {
        let (waiting, start) = (Waiting::default(), Timestamp::default());
        let operation = |name: &str| OperationId(name.to_owned());
        assert!(!waiting.is_somebody_expected(start));
        waiting.told(&operation("a"), false, start);
        waiting.told(&operation("b"), false, start + BACK_WITHIN / 2);
        assert!(waiting.is_somebody_expected(start));
        waiting.told(&operation("a"), true, start + BACK_WITHIN / 2);
        assert!(waiting.is_somebody_expected(start + BACK_WITHIN));
        assert!(!waiting.is_somebody_expected(start + BACK_WITHIN * 2));
    }

    #[test]
    fn an_operation_without_an_end_holds_up_the_end_of_the_process_for_a_bounded_time() {
        let (waiting, start) = (Waiting::default(), Timestamp::default());
        let operation = OperationId("a".to_owned());
        waiting.told(&operation, false, start);
        waiting.close();
        assert!(waiting.is_somebody_expected(start));
        let just_before = start + (BACK_WITHIN - Duration::from_millis(1));
        waiting.told(&operation, false, just_before);
        assert!(waiting.is_somebody_expected(just_before));
        assert!(!waiting.is_somebody_expected(start + BACK_WITHIN));
    }

    #[test]
    fn what_nobody_came_back_for_is_forgotten() {
        let (waiting, start) = (Waiting::default(), Timestamp::default());
        for number in 0..10 * REMEMBERED_MAX {
            waiting.told(&OperationId(number.to_string()), false, start);
        }
        let later = start + BACK_WITHIN * 2;
        waiting.told(&OperationId("new".to_owned()), false, later);
        assert_eq!(waiting.expected().until.len(), 1);
        assert!(waiting.is_somebody_expected(later));
    }
}
