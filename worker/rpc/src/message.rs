//! What JobMaster and TaskManager tell each other once the TaskManager has been taken in.

use std::time::Duration;

use weir_checkpoint::coordinator::{SnapshotFailure, Then};
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskState};
use weir_graph::{ExecutionState, Fingerprint, NodeId};
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, Fault};

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
    /// A subtask has stored its part of a checkpoint.
    CheckpointAcknowledged {
        /// Which subtask.
        attempt: ExecutionAttemptId,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Its part.
        state: SubtaskState,
        /// How it went.
        metrics: SnapshotMetrics,
    },
    /// A subtask could not store its part of a checkpoint.
    CheckpointDeclined {
        /// Which subtask.
        attempt: ExecutionAttemptId,
        /// Of which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        why: SnapshotFailure,
    },
    /// A subtask's sinks have made their results visible up to a checkpoint.
    Committed {
        /// Which subtask.
        attempt: ExecutionAttemptId,
        /// Up to which checkpoint.
        checkpoint: CheckpointId,
    },
}

impl FencedBody for TaskManagerMessage {
    fn attempt(&self) -> Option<ExecutionAttemptId> {
        match self {
            Self::Ready { .. } | Self::Heartbeat { .. } => None,
            Self::TaskState { attempt, .. }
            | Self::RequestSplit { attempt, .. }
            | Self::EndOfInput { attempt }
            | Self::CheckpointAcknowledged { attempt, .. }
            | Self::CheckpointDeclined { attempt, .. }
            | Self::Committed { attempt, .. } => Some(*attempt),
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
    /// Put a checkpoint's barrier into a source's outputs.
    TriggerCheckpoint {
        /// The source's subtask.
        attempt: ExecutionAttemptId,
        /// The barrier; its epoch is the message's.
        barrier: CheckpointBarrier,
        /// What follows.
        then: Then,
    },
    /// A checkpoint will never complete: do not wait for its barriers any more.
    AbortCheckpoint {
        /// The subtask.
        attempt: ExecutionAttemptId,
        /// Which checkpoint.
        checkpoint: CheckpointId,
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
            Self::Cancel(attempt)
            | Self::Commit { attempt, .. }
            | Self::Split { attempt, .. }
            | Self::TriggerCheckpoint { attempt, .. }
            | Self::AbortCheckpoint { attempt, .. } => Some(*attempt),
            Self::Heartbeat | Self::Dismissed { .. } | Self::JobEnded(_) => None,
        }
    }
}

/// Which results to make visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitRequest {
    /// Those before this checkpoint, which has completed.
    Checkpoint {
        /// The checkpoint.
        id: CheckpointId,
        /// It is the last one: the subtask ends when it has committed.
        last: bool,
    },
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
