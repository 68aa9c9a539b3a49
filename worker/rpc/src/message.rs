//! What JobMaster and TaskManager tell each other once the TaskManager has been taken in.

use std::time::Duration;

use weir_graph::{ExecutionState, Fingerprint, NodeId};
use weir_types::{CheckpointId, ExecutionAttemptId, Fault};

use crate::fence::FencedBody;
use crate::{JobResult, TaskDeploymentDescriptor, TaskMetricsReport};

/// From a TaskManager to the JobMaster.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskManagerMessage {
    /// It has built the program and its slots may be used.
    Ready {
        /// What it has built.
        fingerprint: Fingerprint,
    },
    /// It lives.
    Heartbeat {
        /// The counters of each subtask that it runs or has just finished.
        tasks: Vec<TaskMetricsReport>,
    },
    /// A subtask has gone into another state.
    TaskState {
        /// Which one.
        attempt: ExecutionAttemptId,
        /// The state.
        state: ExecutionState,
        /// Why, if it failed.
        fault: Option<Fault>,
        /// Its counters; given with a state that is the last.
        metrics: Option<TaskMetricsReport>,
    },
    /// A source's reader wants work.
    RequestSplit {
        /// The reader's subtask.
        attempt: ExecutionAttemptId,
        /// The source.
        node: NodeId,
    },
    /// A subtask that has results to publish has reached the end of its input, and waits to be told
    /// to publish them.
    EndOfInput {
        /// Which one.
        attempt: ExecutionAttemptId,
    },
}

impl FencedBody for TaskManagerMessage {
    fn attempt(&self) -> Option<ExecutionAttemptId> {
        match self {
            Self::Ready { .. } | Self::Heartbeat { .. } => None,
            Self::TaskState { attempt, .. }
            | Self::RequestSplit { attempt, .. }
            | Self::EndOfInput { attempt } => Some(*attempt),
        }
    }
}

/// From the JobMaster to a TaskManager.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskExecutorCommand {
    /// Start a subtask.
    Deploy(Box<TaskDeploymentDescriptor>),
    /// Stop a subtask.
    Cancel(ExecutionAttemptId),
    /// Make a subtask's results visible.
    Commit {
        /// Which one.
        attempt: ExecutionAttemptId,
        /// Up to where.
        commit: CommitRequest,
    },
    /// The answer to [`TaskManagerMessage::RequestSplit`].
    Split {
        /// The reader's subtask.
        attempt: ExecutionAttemptId,
        /// The source.
        node: NodeId,
        /// What to read.
        response: SplitResponse,
    },
    /// The JobMaster lives.
    Heartbeat,
    /// This TaskManager is not wanted after all.
    Dismissed {
        /// Why.
        reason: String,
    },
    /// Nothing is left to do.
    JobEnded(JobResult),
}

impl FencedBody for TaskExecutorCommand {
    fn attempt(&self) -> Option<ExecutionAttemptId> {
        match self {
            Self::Deploy(task) => Some(task.attempt),
            Self::Cancel(attempt) | Self::Commit { attempt, .. } | Self::Split { attempt, .. } => {
                Some(*attempt)
            }
            Self::Heartbeat | Self::Dismissed { .. } | Self::JobEnded(_) => None,
        }
    }
}

/// Which results to make visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitRequest {
    /// Those before this checkpoint, which has completed.
    Checkpoint(CheckpointId),
    /// All: every subtask has reached the end of its input.
    Final,
}

/// What an enumerator answers to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitResponse {
    /// Read this. Only the source knows what the bytes mean.
    Split(Vec<u8>),
    /// Nothing now; ask again after this time.
    NotYet(Duration),
    /// There will never be more.
    NoMore,
}
