//! What the Dispatcher tells about jobs and TaskManagers. Whoever shows it to people converts it;
//! none of these types is an outside format.

mod durations;
mod standby;

use std::net::SocketAddr;
use std::time::Duration;

use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::pointer::{OperationId, SnapshotKind, SnapshotRef};
use weir_graph::{ExecutionState, JobStatus, NodeId};
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, EventTime, Fault, FaultClass, JobId, OperatorId, SlotIndex,
    SubtaskIndex, TaskManagerId, VertexId,
};

use crate::StateFigure;

pub use durations::{DURATION_BOUNDS_MS, Durations};
pub use standby::{StandbyState, StandbyView, StateCheck, StateVerdict};

/// The whole at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterOverview {
    /// The version of the JobManager.
    pub version: String,
    /// The JobManager's epoch.
    pub epoch: Epoch,
    /// Registered TaskManagers.
    pub taskmanagers: u32,
    /// All slots.
    pub slots_total: u32,
    /// Slots that no job uses.
    pub slots_free: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that have finished.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_canceled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
}

/// One job in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOverview {
    /// Its id.
    pub id: JobId,
    /// What a person calls it.
    pub name: String,
    /// Where it stands.
    pub status: JobStatus,
    /// What it is waiting for, if it is.
    pub waiting_for: Option<String>,
    /// When it was submitted, in milliseconds since 1970.
    pub started_at_ms: i64,
    /// When it ended, in milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// How long it has been there.
    pub duration_ms: u64,
    /// How many subtasks it has.
    pub tasks_total: u32,
    /// How many of them are running.
    pub tasks_running: u32,
    /// How many of them have finished.
    pub tasks_finished: u32,
}

/// One job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobDetails {
    /// What the list shows.
    pub overview: JobOverview,
    /// The epoch it runs in.
    pub epoch: Epoch,
    /// Its vertices, sources first.
    pub vertices: Vec<VertexDetails>,
    /// Why it failed, if it did.
    pub root_cause: Option<ExceptionEntry>,
    /// How often it, or a part of it, was restarted in this epoch, by what helped to decide so.
    pub restarts: Vec<(FaultClass, u64)>,
}

/// One vertex.
#[derive(Clone, Debug, PartialEq)]
pub struct VertexDetails {
    /// Its id.
    pub id: VertexId,
    /// The names of its operators.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups it has.
    pub max_parallelism: u32,
    /// The state that stands for all its subtasks.
    pub state: ExecutionState,
    /// When its first subtask was deployed, in milliseconds since 1970.
    pub started_at_ms: Option<i64>,
    /// When its last subtask ended, in milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// Where its records come from.
    pub inputs: Vec<VertexInput>,
    /// Its operators, the head of the chain first, with the sums over all subtasks.
    pub operators: Vec<OperatorDetails>,
    /// The sums over all subtasks.
    pub metrics: IoMetrics,
    /// Its subtasks in order.
    pub subtasks: Vec<SubtaskDetails>,
}

/// An edge that ends at a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VertexInput {
    /// Where it starts.
    pub vertex: VertexId,
    /// How records are spread over it.
    pub partitioner: String,
}

/// One operator of a vertex.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorDetails {
    /// Its place in the program.
    pub node: NodeId,
    /// The logical operator.
    pub id: OperatorId,
    /// Its name.
    pub name: String,
    /// Records it was given; for a source, records it read.
    pub records_in: u64,
    /// Records it passed on.
    pub records_out: u64,
    /// Records that came too late and were dropped.
    pub late_records: u64,
    /// Records that could not be read and were skipped.
    pub skipped_records: u64,
    /// About how much memory its keyed state takes.
    pub state_bytes: u64,
    /// Of a sink: how long it took to make results visible.
    pub commits: Durations,
}

/// One subtask.
#[derive(Clone, Debug, PartialEq)]
pub struct SubtaskDetails {
    /// Its place among the vertex's subtasks.
    pub index: SubtaskIndex,
    /// How often it was started before.
    pub attempt: AttemptNumber,
    /// Where it stands.
    pub state: ExecutionState,
    /// Where it runs.
    pub taskmanager: Option<TaskManagerId>,
    /// The slot it runs in.
    pub slot: Option<SlotIndex>,
    /// When it was deployed, in milliseconds since 1970.
    pub started_at_ms: Option<i64>,
    /// When it ended, in milliseconds since 1970.
    pub ended_at_ms: Option<i64>,
    /// Its counters.
    pub metrics: IoMetrics,
    /// What the keyed state of its operators that lies on disk says of itself.
    pub state_figures: Vec<StateFigure>,
}

/// Counters of a subtask, or their sums.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct IoMetrics {
    /// Records taken from the exchange: none for a source, whose operator tells what it read.
    pub records_in: u64,
    /// Records given to the exchange.
    pub records_out: u64,
    /// Bytes taken from the exchange.
    pub bytes_in: u64,
    /// Bytes given to the exchange.
    pub bytes_out: u64,
    /// Time spent working, in milliseconds.
    pub busy_ms: u64,
    /// Time waited for input, in milliseconds.
    pub idle_ms: u64,
    /// Time waited for room downstream, in milliseconds.
    pub backpressured_ms: u64,
    /// Bytes of the state that it began with which came from copies on the local disk.
    pub restored_local_bytes: u64,
    /// Those that came from the store.
    pub restored_store_bytes: u64,
    /// Bytes that wait in the input queues.
    pub queue_bytes: u64,
    /// Of a source: how old its newest record was when it went out. Of a vertex, the largest.
    pub event_time_lag_ms: Option<i64>,
    /// The smallest watermark; none before the first.
    pub watermark: Option<EventTime>,
    /// What the time between the last two heartbeats went into. Of a vertex, the largest share of
    /// each kind over its subtasks, as Flink shows it.
    pub shares: TimeShares,
}

/// Shares of time, each between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TimeShares {
    /// Working.
    pub busy: f64,
    /// Waiting for input.
    pub idle: f64,
    /// Waiting for room downstream.
    pub backpressured: f64,
}

/// What went wrong in a job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobExceptions {
    /// The root causes first, newest failure first; then what followed from them.
    pub entries: Vec<ExceptionEntry>,
    /// How many more there were than are kept.
    pub dropped: u64,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionEntry {
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
    /// What.
    pub fault: Fault,
    /// The subtask it happened in, for a person: `word count (2/4)`.
    pub task: Option<String>,
    /// The TaskManager it happened on.
    pub taskmanager: Option<TaskManagerId>,
    /// Whether it made the job fail; the others followed from one that did.
    pub root_cause: bool,
}

/// One TaskManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagerDetails {
    /// Its id.
    pub id: TaskManagerId,
    /// What a person calls it.
    pub name: String,
    /// Where its exchange listens.
    pub data_address: Option<SocketAddr>,
    /// All its slots.
    pub slots_total: u32,
    /// Its slots that no job uses.
    pub slots_free: u32,
    /// How long it has been silent.
    pub since_heartbeat_ms: u64,
    /// When it was taken in, in milliseconds since 1970.
    pub registered_at_ms: i64,
}

/// How a snapshot that somebody asked for is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OperationStatus {
    /// It is under way.
    InProgress,
    /// It is complete.
    Completed {
        /// The snapshot.
        snapshot: SnapshotRef,
        /// Where it lies, as a person names it for `--restore`.
        location: String,
    },
    /// It will not come.
    Failed(String),
}

/// A job's checkpoints and savepoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobCheckpoints {
    /// The job's state folder: a store's address.
    pub folder: String,
    /// How many have completed in this epoch.
    pub completed: u64,
    /// How many have failed in this epoch.
    pub failed: u64,
    /// What the job was started from, if it was.
    pub restored: Option<CheckpointId>,
    /// Those that are kept, oldest first.
    pub retained: Vec<SnapshotRef>,
    /// The latest of this epoch, newest first.
    pub history: Vec<CheckpointDetails>,
    /// How long those took that have completed in this epoch.
    pub durations: Durations,
    /// What was deleted in this epoch because nothing needs it any more.
    pub collected: Collected,
}

/// What the collector of a leading JobManager has deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Objects of checkpoints that are not kept any more.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How often the store failed meanwhile.
    pub failures: u64,
}

/// One checkpoint or savepoint of this epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointDetails {
    /// Its number.
    pub id: CheckpointId,
    /// Which of the two.
    pub kind: SnapshotKind,
    /// How it is doing.
    pub state: CheckpointState,
    /// The operation that asked for it.
    pub operation: Option<OperationId>,
    /// When it was triggered, in milliseconds since 1970.
    pub triggered_ms: i64,
    /// From the trigger until the pointer named it or it was given up, or until now.
    pub duration: Duration,
    /// Subtasks that have acknowledged it.
    pub acknowledged: u32,
    /// Subtasks that take part.
    pub participants: u32,
    /// By subtask.
    pub subtasks: Vec<SubtaskCheckpoint>,
}

/// How a checkpoint is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckpointState {
    /// It is under way.
    InProgress,
    /// It is complete.
    Completed,
    /// It was given up: why.
    Failed(SnapshotFailure),
}

/// One subtask's part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubtaskCheckpoint {
    /// The vertex.
    pub vertex: VertexId,
    /// The subtask.
    pub subtask: SubtaskIndex,
    /// How it went.
    pub metrics: SnapshotMetrics,
}
