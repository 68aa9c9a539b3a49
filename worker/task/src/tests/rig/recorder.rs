//! Hears what subtasks say.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskState};
use weir_graph::{ExecutionState, NodeId};
use weir_types::{CheckpointId, ExecutionAttemptId, Fault};

use crate::TaskEvents;

/// Long enough for anything to happen that will.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Something that a subtask has said.
#[expect(dead_code, reason = "a wait that fails shows all of it")]
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    State(ExecutionAttemptId, ExecutionState, Option<String>),
    EndOfInput(ExecutionAttemptId),
    Acknowledged(ExecutionAttemptId, u64, SubtaskState, SnapshotMetrics),
    Declined(ExecutionAttemptId, u64, SnapshotFailure),
    Committed(ExecutionAttemptId, u64),
}

#[derive(Default)]
pub(super) struct Recorder {
    heard: Mutex<Vec<Heard>>,
    more: Condvar,
}

impl Recorder {
    pub(super) fn all(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    pub(super) fn wait_until(&self, what: &str, done: impl Fn(&[Heard]) -> bool) {
        let heard = self.heard.lock().unwrap();
        let (heard, waited) = self
            .more
            .wait_timeout_while(heard, PATIENCE, |heard| !done(heard))
            .unwrap();
        assert!(!waited.timed_out(), "{what}; heard {heard:#?}");
    }

    fn put(&self, heard: Heard) {
        self.heard.lock().unwrap().push(heard);
        self.more.notify_all();
    }
}

impl TaskEvents for Recorder {
    fn state_changed(
        &self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    ) {
        self.put(Heard::State(attempt, state, fault.map(|fault| fault.cause)));
    }

    fn request_split(&self, _attempt: ExecutionAttemptId, _node: NodeId) {}

    fn end_of_input(&self, attempt: ExecutionAttemptId) {
        self.put(Heard::EndOfInput(attempt));
    }

    fn acknowledged(
        &self,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        state: SubtaskState,
        metrics: SnapshotMetrics,
    ) {
        assert!(metrics.written_bytes <= metrics.full_bytes, "{metrics:?}");
        self.put(Heard::Acknowledged(attempt, id.0, state, metrics));
    }

    fn declined(&self, attempt: ExecutionAttemptId, id: CheckpointId, why: SnapshotFailure) {
        self.put(Heard::Declined(attempt, id.0, why));
    }

    fn committed(&self, attempt: ExecutionAttemptId, id: CheckpointId) {
        self.put(Heard::Committed(attempt, id.0));
    }
}
