//! Checkpoints and savepoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a savepoint (`POST /jobs/{id}/savepoints`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct SavepointRequest {
    /// A name for it: asking again under the same name gives the same savepoint. By default a new
    /// one is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// What follows it: nothing, by default.
    pub then: AfterSavepoint,
}

/// What follows a savepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AfterSavepoint {
    /// The job goes on.
    #[default]
    Continue,
    /// The job stops: nothing after the savepoint is processed.
    Stop,
    /// The input ends first, all that is on its way is processed and all windows fire; then the
    /// savepoint is taken and the job stops. There is nothing to continue with after it.
    Drain,
}

/// Asks for an end with a savepoint (`POST /jobs/{id}/stop`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StopRequest {
    /// Whether the input ends first, so that all that is on its way is processed and all windows
    /// fire.
    pub drain: bool,
    /// A name for the savepoint: asking again under the same name gives the same one. By default a
    /// new one is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// Asks for a checkpoint now (`POST /jobs/{id}/checkpoints`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CheckpointRequest {
    /// A name for it: asking again under the same name gives the same checkpoint. By default a new
    /// one is made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// What was asked for was taken on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct OperationAccepted {
    /// Its name: `GET /jobs/{id}/savepoints/{operation}` tells how it goes on.
    pub operation: String,
}

/// How a checkpoint or savepoint that was asked for is doing
/// (`GET /jobs/{id}/savepoints/{operation}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Operation {
    /// Its name.
    pub operation: String,
    /// How it is doing.
    pub status: SnapshotStatus,
    /// The number of the checkpoint or savepoint, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// Its folder, as `--restore` takes it, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// When it was complete, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_timestamp: Option<i64>,
    /// From the trigger until it was complete, in milliseconds, if the history still says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_to_end_duration: Option<u64>,
    /// Bytes of all that it refers to, in the same way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_size: Option<u64>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// Flink's `CheckpointStatsStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SnapshotStatus {
    /// Under way.
    InProgress,
    /// Complete.
    Completed,
    /// Given up.
    Failed,
}

/// Checkpoint or savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotKind {
    /// Taken for the job's own recovery.
    Checkpoint,
    /// Taken on request, complete in itself, kept until a person deletes it.
    Savepoint,
}

/// A job's checkpoints and savepoints (`GET /jobs/{id}/checkpoints`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Checkpoints {
    /// Where the job keeps them.
    pub folder: String,
    /// How many there were since this JobManager took over.
    pub counts: CheckpointCounts,
    /// The number of what the job was started from, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored: Option<u64>,
    /// Over the completed ones of the history.
    pub summary: CheckpointSummaries,
    /// Those that are kept, oldest first.
    pub retained: Vec<RetainedCheckpoint>,
    /// The latest since this JobManager took over, newest first.
    pub history: Vec<Checkpoint>,
}

impl Checkpoints {
    /// What a complete one was like, if it is among the latest.
    pub fn taken(&self, id: u64) -> Option<&Checkpoint> {
        let mut history = self.history.iter();
        history.find(|taken| taken.id == id && taken.status == SnapshotStatus::Completed)
    }

    /// The newest one that the job's storage did not take, if none has completed since.
    pub fn not_stored(&self) -> Option<&Checkpoint> {
        let done = self.retained.iter().map(|kept| kept.id).max();
        let of_storage = |each: &&Checkpoint| {
            each.failure_kind == Some(FailureKind::Storage) && Some(each.id) > done
        };
        self.history.iter().find(of_storage)
    }
}

/// Checkpoints and savepoints by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CheckpointCounts {
    /// Under way.
    pub in_progress: u64,
    /// Complete.
    pub completed: u64,
    /// Given up.
    pub failed: u64,
}

/// What the completed ones were like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CheckpointSummaries {
    /// From the trigger until complete, in milliseconds.
    pub end_to_end_duration: MinMaxAverage,
    /// Bytes of all that one refers to.
    pub state_size: MinMaxAverage,
    /// Bytes that one stored anew.
    pub checkpointed_size: MinMaxAverage,
    /// Bytes that waited for barriers in blocked channels.
    pub alignment_buffered: MinMaxAverage,
}

/// The range of a number, and its mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MinMaxAverage {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
    /// The mean, rounded down.
    pub avg: u64,
}

/// A checkpoint or savepoint that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct RetainedCheckpoint {
    /// Its number.
    pub id: u64,
    /// The epoch that took it.
    pub epoch: u64,
    /// Which of the two.
    pub kind: SnapshotKind,
    /// Its folder, as `--restore` takes it.
    pub location: String,
    /// When it was complete, in milliseconds since 1970.
    pub completed_timestamp: i64,
    /// The operation that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// What kept a checkpoint or savepoint from being complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The job's storage: it can't be reached, does not let the job write, or has no room.
    Storage,
    /// Anything else, for example a task, or its time-out.
    #[serde(other)]
    Other,
}

/// One checkpoint or savepoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Checkpoint {
    /// Its number.
    pub id: u64,
    /// Which of the two.
    pub kind: SnapshotKind,
    /// How it is doing.
    pub status: SnapshotStatus,
    /// Why it was given up, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<String>,
    /// What was at fault then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_kind: Option<FailureKind>,
    /// The operation that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// When it was triggered, in milliseconds since 1970.
    pub trigger_timestamp: i64,
    /// From the trigger until it was complete or given up, or until now, in milliseconds.
    pub end_to_end_duration: u64,
    /// Bytes of all that it refers to.
    pub state_size: u64,
    /// Bytes that it stored anew.
    pub checkpointed_size: u64,
    /// The longest alignment of a subtask, in milliseconds.
    pub alignment_duration: f64,
    /// Bytes that waited for barriers in blocked channels.
    pub alignment_buffered: u64,
    /// The longest time that a subtask stood still for it, in milliseconds.
    pub sync_duration: f64,
    /// Subtasks that take part.
    pub num_subtasks: u32,
    /// Subtasks that have stored their part.
    pub num_acknowledged_subtasks: u32,
}

/// One checkpoint or savepoint with its subtasks (`GET /jobs/{id}/checkpoints/{n}`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CheckpointDetails {
    /// What the history shows.
    #[serde(flatten)]
    pub checkpoint: Checkpoint,
    /// Those that have stored their part.
    pub subtasks: Vec<SubtaskCheckpoint>,
}

/// One subtask's part of a checkpoint. All times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct SubtaskCheckpoint {
    /// The vertex.
    pub vertex_id: String,
    /// The names of its operators; absent if the job has no such vertex any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vertex_name: Option<String>,
    /// The subtask, from 0.
    pub subtask: u32,
    /// From the trigger until all was stored.
    pub end_to_end_duration: f64,
    /// From the trigger to the first barrier.
    pub start_delay: f64,
    /// From the first barrier to the last.
    pub alignment_duration: f64,
    /// How long the task stood still.
    pub sync_duration: f64,
    /// From then until all was stored.
    pub async_duration: f64,
    /// Bytes that waited in blocked channels when the last barrier came.
    pub alignment_buffered: u64,
    /// Bytes of all that it refers to.
    pub state_size: u64,
    /// Bytes that it stored anew.
    pub checkpointed_size: u64,
}
