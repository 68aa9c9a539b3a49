//! Savepoints and checkpoints that somebody asks for, and what became of the newest of them, for
//! whoever asks again.

use std::collections::VecDeque;

use weir_checkpoint::coordinator::{self, SnapshotRequest};
use weir_checkpoint::pointer::OperationId;
use weir_rpc::OperationStatus;

use super::{Action, JobMaster, Now};

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

impl JobMaster {
    /// Somebody asks for a snapshot.
    pub fn request_snapshot(&mut self, now: Now, request: SnapshotRequest) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(checkpoints) = &mut self.checkpoints {
            let known = checkpoints.operations.get(&request.operation);
            if !matches!(known, Some(OperationStatus::Completed { .. })) {
                let operation = request.operation.clone();
                checkpoints
                    .operations
                    .note(operation, OperationStatus::InProgress);
            }
        }
        self.tell_coordinator(now, coordinator::Event::Request(request), &mut actions);
        actions
    }

    /// Why the savepoint of an operation must stay, if it must.
    pub(crate) fn needs_savepoint(&self, operation: &OperationId) -> Option<&'static str> {
        let checkpoints = self.checkpoints.as_ref()?;
        checkpoints.coordinator.pointer().needs(operation)
    }

    /// Nobody wants the savepoint of an operation any more.
    pub fn forget_savepoint(&mut self, now: Now, operation: OperationId) -> Vec<Action> {
        let mut actions = Vec::new();
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.operations.remove(&operation);
        }
        self.tell_coordinator(now, coordinator::Event::Forget(operation), &mut actions);
        actions
    }

    /// Whether the job takes snapshots.
    pub(crate) fn takes_snapshots(&self) -> bool {
        self.checkpoints.is_some()
    }

    /// How an operation is doing.
    pub fn operation(&self, operation: &OperationId) -> Option<OperationStatus> {
        let checkpoints = self.checkpoints.as_ref()?;
        checkpoints.operations.get(operation).cloned()
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
