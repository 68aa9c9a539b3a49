//! What became of the savepoints and checkpoints that somebody asked for: the newest of them, for
//! whoever asks again.

use std::collections::VecDeque;

use weir_checkpoint::pointer::OperationId;
use weir_rpc::OperationStatus;

/// How many are remembered.
const OPERATIONS_MAX: usize = 256;

/// By name, the one that was asked for or asked about first at the front.
#[derive(Debug, Default)]
pub(super) struct Operations(VecDeque<(OperationId, OperationStatus)>);

impl Operations {
    pub(super) fn note(&mut self, operation: OperationId, status: OperationStatus) {
        self.0.retain(|(known, _)| *known != operation);
        self.0.push_back((operation, status));
        if self.0.len() > OPERATIONS_MAX {
            self.0.pop_front();
        }
    }

    pub(super) fn remove(&mut self, operation: &OperationId) {
        self.0.retain(|(known, _)| known != operation);
    }

    pub(super) fn get(&self, operation: &OperationId) -> Option<&OperationStatus> {
        let known = self.0.iter().rev().find(|(known, _)| known == operation);
        known.map(|(_, status)| status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails if names that sort first are forgotten first, however new they are.
    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut operations = Operations::default();
        let name = |n: usize| OperationId(format!("{:06}", 1_000_000 - n));
        for n in 0..1_000 {
            operations.note(name(n), OperationStatus::InProgress);
            let done = OperationStatus::Failed("no room".to_owned());
            operations.note(name(n), done.clone());
            assert_eq!(operations.get(&name(n)), Some(&done));
        }
        assert_eq!(operations.get(&name(999 - OPERATIONS_MAX)), None);
        assert!(operations.get(&name(1_000 - OPERATIONS_MAX)).is_some());
    }
}
