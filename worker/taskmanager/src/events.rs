//! What subtasks say, on its way from their threads to the session's loop.

use tokio::sync::mpsc;
use weir_graph::{ExecutionState, NodeId};
use weir_task::TaskEvents;
use weir_types::{ExecutionAttemptId, Fault};

/// What a subtask said.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    State { attempt: ExecutionAttemptId, state: ExecutionState, fault: Option<Fault> },
    RequestSplit { attempt: ExecutionAttemptId, node: NodeId },
    EndOfInput { attempt: ExecutionAttemptId },
}

/// How many sayings may wait. A subtask that finds the queue full waits for room; the loop that
/// reads it never waits for a subtask.
const EVENTS_WAITING_MAX: usize = 4096;

/// The subtasks' end.
pub(crate) struct EventQueue(mpsc::Sender<TaskEvent>);

impl EventQueue {
    pub(crate) fn new() -> (Self, mpsc::Receiver<TaskEvent>) {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING_MAX);
        (Self(sender), receiver)
    }

    fn put(&self, event: TaskEvent) {
        // Once the session is over nobody wants to hear it.
        drop(self.0.blocking_send(event));
    }
}

impl TaskEvents for EventQueue {
    fn state_changed(
        &self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    ) {
        self.put(TaskEvent::State { attempt, state, fault });
    }

    fn request_split(&self, attempt: ExecutionAttemptId, node: NodeId) {
        self.put(TaskEvent::RequestSplit { attempt, node });
    }

    fn end_of_input(&self, attempt: ExecutionAttemptId) {
        self.put(TaskEvent::EndOfInput { attempt });
    }
}
