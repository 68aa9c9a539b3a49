//! What goes into a coordinator and what comes out.

use std::sync::Arc;
use std::time::Duration;

use weir_graph::NodeId;
use weir_types::{CheckpointBarrier, CheckpointId, ExecutionAttemptId, OperatorId, VertexId};

use super::SnapshotFailure;
use crate::handle::{SnapshotMetrics, SubtaskState};
use crate::metadata::CheckpointMetadata;
use crate::pointer::{OperationId, Pointer, RunState, SnapshotKind, SnapshotRef};

/// When and how checkpoints are made.
#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    /// From one checkpoint's start to the next. Zero: only on request, and at the end.
    pub interval: Duration,
    /// How long a checkpoint may take before it is given up.
    pub timeout: Duration,
    /// How long a savepoint may take before it is given up.
    pub savepoint_timeout: Duration,
    /// The least time from the end of a checkpoint to the start of the next.
    pub min_pause: Duration,
    /// How many checkpoints may run at once.
    pub max_concurrent: u32,
    /// How many checkpoints in a row may fail before the job does.
    pub tolerable_failures: u32,
    /// How many completed checkpoints are kept.
    pub retained: u32,
    /// The operators, for the metadata.
    pub operators: Vec<OperatorInfo>,
}

/// What the metadata says of an operator beside its state.
#[derive(Clone, Debug)]
pub struct OperatorInfo {
    /// Its id.
    pub operator: OperatorId,
    /// The vertex whose chain holds it.
    pub vertex: VertexId,
    /// Its name.
    pub name: String,
    /// Its uid, if the program gave it one.
    pub uid: Option<String>,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// Its node, if it is a source: that has an enumerator.
    pub source: Option<NodeId>,
}

/// A subtask that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Its current attempt.
    pub attempt: ExecutionAttemptId,
    /// It has no inputs: it is told to begin, the others see the barrier.
    pub source: bool,
    /// Its chain holds a sink that commits.
    pub commits: bool,
}

/// What follows a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The job goes on.
    Continue,
    /// The job stops where it is: nothing after the savepoint's barrier is processed.
    Stop,
    /// The sources end: everything in flight is processed, all windows fire, then the savepoint is
    /// taken and the job stops. Nothing can be read after it, as the state says that all has ended.
    Drain,
}

/// A checkpoint or savepoint that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// Asking again under the same id gives the same answer.
    pub operation: OperationId,
    /// Checkpoint or savepoint.
    pub kind: SnapshotKind,
    /// What follows it.
    pub then: Then,
}

/// How a pointer write ended, for certain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerOutcome {
    /// The pointer is as it was to be.
    Written,
    /// It is not, and never will be by this write: the store refused it, or did not take it in
    /// time. Trying again may help.
    Failed(String),
    /// Somebody else leads the job.
    Fenced(Box<Pointer>),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// All subtasks run: checkpoints may be triggered.
    Started {
        /// Those that take part: all subtasks of the job.
        participants: Vec<Participant>,
    },
    /// Something failed: all that is pending is given up, and nothing is triggered until the next
    /// `Started`. (A checkpoint whose pointer write is under way is not given up: it is in doubt.)
    Interrupted {
        /// For people.
        reason: String,
    },
    /// Somebody asks for a snapshot.
    Request(SnapshotRequest),
    /// Nobody wants the savepoint of this operation any more. Whether it may go is asked of the
    /// pointer ([`Pointer::needs`]); when it has gone is seen there too.
    Forget(OperationId),
    /// The newest checkpoint, which the job goes on from, is damaged, and no results of it or of
    /// later ones need a commit: the one before becomes the newest, if [`Coordinator::can_leave`]
    /// says that there is one. Comes after `Interrupted`.
    ///
    /// [`Coordinator::can_leave`]: super::Coordinator::can_leave
    Damaged(CheckpointId),
    /// All subtasks have processed all their input: the last checkpoint may be taken.
    EndOfInput,
    /// What an enumerator keeps.
    EnumeratorState {
        /// For which checkpoint.
        id: CheckpointId,
        /// Whose.
        node: NodeId,
        /// Its bytes, or what went wrong.
        result: Result<Vec<u8>, String>,
    },
    /// A subtask has stored its part.
    Acknowledged {
        /// Of which checkpoint.
        id: CheckpointId,
        /// The subtask.
        attempt: ExecutionAttemptId,
        /// Its part.
        state: SubtaskState,
        /// How it went.
        metrics: SnapshotMetrics,
    },
    /// A subtask could not store its part.
    Declined {
        /// Of which checkpoint.
        id: CheckpointId,
        /// The subtask.
        attempt: ExecutionAttemptId,
        /// Why.
        why: SnapshotFailure,
    },
    /// The metadata's write has ended.
    MetadataWritten {
        /// Whose.
        id: CheckpointId,
        /// The SHA-256 in hexadecimal digits and the size, or what went wrong.
        result: Result<(String, u64), SnapshotFailure>,
    },
    /// A pointer write has ended.
    PointerWritten {
        /// The nonce of what was to be written.
        nonce: u128,
        /// How.
        outcome: PointerOutcome,
    },
    /// A sink has committed its results up to a checkpoint.
    Committed {
        /// Up to which.
        id: CheckpointId,
        /// The subtask.
        attempt: ExecutionAttemptId,
    },
    /// The job is over by a failure or a cancellation and all its tasks have ended: say so in the
    /// pointer. `Deleted`: it was cancelled, and its checkpoints are let go.
    Ended(RunState),
}

/// How a job that was to end by a last checkpoint did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinalOutcome {
    /// It came to the end of its input.
    Finished,
    /// It was stopped with this savepoint.
    Stopped(SnapshotRef),
}

/// What is to be done, in order.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask an enumerator what it keeps. Splits that it hands out afterwards must not reach a reader
    /// before that reader is told to trigger, or the checkpoint is given up.
    SnapshotEnumerator {
        /// For which checkpoint.
        id: CheckpointId,
        /// Whose.
        node: NodeId,
    },
    /// Tell the sources to put the barrier into their outputs.
    Trigger {
        /// The barrier.
        barrier: CheckpointBarrier,
        /// What follows.
        then: Then,
        /// The sources' subtasks.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Tell all subtasks that this checkpoint will never complete.
    Abort {
        /// Which one.
        id: CheckpointId,
        /// Why, for people.
        reason: String,
    },
    /// Write the metadata as a new object; answer with `MetadataWritten`.
    WriteMetadata {
        /// Its folder, relative to the job's state folder.
        path: String,
        /// Its content.
        metadata: Arc<CheckpointMetadata>,
    },
    /// Move the pointer to this content; answer with `PointerWritten` once the outcome is certain.
    WritePointer(Box<Pointer>),
    /// The checkpoint is complete: tell all subtasks, whose sinks commit.
    Complete {
        /// Which one.
        id: CheckpointId,
        /// It is the last one: subtasks end when they have committed.
        last: bool,
        /// Those that have to answer with `Committed`.
        commits: Vec<ExecutionAttemptId>,
    },
    /// An operation has ended.
    Answer {
        /// Which one.
        operation: OperationId,
        /// The snapshot, or why there is none.
        result: Result<SnapshotRef, String>,
    },
    /// All is committed and the pointer says so: the job is over.
    End(FinalOutcome),
    /// The pointer says what `Event::Ended` asked for.
    EndRecorded,
    /// Too many checkpoints failed in a row: the job is to fail (and may be restarted).
    Fail {
        /// Why.
        reason: String,
    },
    /// Another leader has the job: nothing may be done any more.
    Fenced {
        /// For people.
        reason: String,
    },
    /// For the log.
    Say(String),
}
