//! The bodies of the REST API. Field names are Flink's where the thing is Flink's.

mod snapshot;
mod standby;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use snapshot::{
    AfterSavepoint, Checkpoint, CheckpointCounts, CheckpointDetails, CheckpointRequest,
    CheckpointSummaries, Checkpoints, FailureKind, MinMaxAverage, Operation, OperationAccepted,
    RetainedCheckpoint, SavepointRequest, SnapshotKind, SnapshotStatus, StopRequest,
    SubtaskCheckpoint,
};
pub use standby::{CheckState, Standby, StandbyState, StateCheck};

/// The whole at a glance (`GET /overview`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Overview {
    /// Version of the JobManager.
    pub weir_version: String,
    /// The JobManager's epoch: it grows with every new leader.
    pub epoch: u64,
    /// Registered TaskManagers.
    pub taskmanagers: u32,
    /// All slots.
    pub slots_total: u32,
    /// Slots that no job uses.
    pub slots_available: u32,
    /// Jobs that have not ended.
    pub jobs_running: u32,
    /// Jobs that have finished.
    pub jobs_finished: u32,
    /// Jobs that were cancelled.
    pub jobs_cancelled: u32,
    /// Jobs that failed.
    pub jobs_failed: u32,
}

/// All jobs (`GET /jobs`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Jobs {
    /// The newest last.
    pub jobs: Vec<JobSummary>,
}

/// One job in a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct JobSummary {
    /// The job's id: 32 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Flink's `JobStatus`, for example `RUNNING`.
    pub state: String,
    /// What it is waiting for, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<String>,
    /// When it was submitted, in milliseconds since 1970.
    pub start_time: i64,
    /// When it ended, in milliseconds since 1970; -1 before.
    pub end_time: i64,
    /// How long it has been there, in milliseconds.
    pub duration: u64,
    /// How many subtasks it has, and in which states.
    pub tasks: TaskCounts,
}

/// Subtasks by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskCounts {
    /// All.
    pub total: u32,
    /// Those that run.
    pub running: u32,
    /// Those that have finished.
    pub finished: u32,
}

/// One job (`GET /jobs/{id}`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Job {
    /// What the list shows.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// The epoch it runs in.
    pub epoch: u64,
    /// Its vertices, sources first.
    pub vertices: Vec<Vertex>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_exception: Option<Exception>,
    /// How often this JobManager has started it again after a failure.
    #[serde(default)]
    pub restarts: u64,
}

/// One vertex of a job: a chain of operators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Vertex {
    /// The vertex's id: 32 hexadecimal digits.
    pub id: String,
    /// The names of its operators.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups it has.
    pub max_parallelism: u32,
    /// Flink's `ExecutionState` that stands for all its subtasks, for example `RUNNING`.
    pub status: String,
    /// When its first subtask was deployed, in milliseconds since 1970; -1 before.
    pub start_time: i64,
    /// When its last subtask ended, in milliseconds since 1970; -1 before.
    pub end_time: i64,
    /// Where its records come from.
    pub inputs: Vec<VertexInput>,
    /// Its operators, the head of the chain first, with the sums over all subtasks.
    pub operators: Vec<Operator>,
    /// The sums over all subtasks; of ratios, the largest.
    pub metrics: IoMetrics,
    /// How much it is held back by what follows it.
    pub backpressure_level: BackpressureLevel,
    /// Its subtasks in order.
    pub subtasks: Vec<Subtask>,
}

/// Flink's levels of back-pressure, from the back-pressured ratio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackpressureLevel {
    /// At most 0.1.
    Ok,
    /// At most 0.5.
    Low,
    /// More.
    High,
}

impl BackpressureLevel {
    /// The level of a ratio.
    pub fn of_ratio(ratio: f64) -> Self {
        if ratio <= 0.1 {
            Self::Ok
        } else if ratio <= 0.5 {
            Self::Low
        } else {
            Self::High
        }
    }
}

/// An edge that ends at a vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VertexInput {
    /// The vertex where it starts.
    pub id: String,
    /// How records are spread over it, for example `hash`.
    pub partitioner: String,
}

/// One operator of a vertex.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Operator {
    /// The logical operator's id, which its state belongs to.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Records it was given; for a source, records it read.
    pub read_records: u64,
    /// Records it passed on.
    pub write_records: u64,
    /// Records that came too late and were dropped.
    pub late_records: u64,
    /// Records that could not be read and were skipped.
    pub skipped_records: u64,
    /// About how much memory its keyed state takes, in bytes.
    #[serde(default)]
    pub state_bytes: u64,
    /// Of a sink: how often results were made visible.
    #[serde(default)]
    pub commits: u64,
    /// Of a sink: how long that took in all, in milliseconds.
    #[serde(default)]
    pub accumulated_commit_time: u64,
}

/// One subtask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Subtask {
    /// Its place among the vertex's subtasks, from 0.
    pub subtask: u32,
    /// How often it was started before.
    pub attempt: u32,
    /// Flink's `ExecutionState`.
    pub status: String,
    /// The TaskManager it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// The slot it runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<u32>,
    /// When it was deployed, in milliseconds since 1970; -1 before.
    pub start_time: i64,
    /// When it ended, in milliseconds since 1970; -1 before.
    pub end_time: i64,
    /// Its counters.
    pub metrics: IoMetrics,
    /// How much it is held back by what follows it.
    pub backpressure_level: BackpressureLevel,
}

/// Counters of a subtask, or their sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct IoMetrics {
    /// Records taken from the exchange; for a source, records read.
    pub read_records: u64,
    /// Records given to the exchange.
    pub write_records: u64,
    /// Bytes taken from the exchange.
    pub read_bytes: u64,
    /// Bytes given to the exchange.
    pub write_bytes: u64,
    /// Time spent working, in milliseconds.
    pub accumulated_busy_time: u64,
    /// Time waited for input, in milliseconds.
    pub accumulated_idle_time: u64,
    /// Time waited for room downstream, in milliseconds.
    pub accumulated_backpressured_time: u64,
    /// Bytes of the state that it began with which came from copies on the local disk.
    #[serde(default)]
    pub restored_local_bytes: u64,
    /// Those that came from the store.
    #[serde(default)]
    pub restored_store_bytes: u64,
    /// Bytes that wait in the input queues.
    #[serde(default)]
    pub queued_bytes: u64,
    /// Of a source: how old its newest record was when it went out, in milliseconds; absent while
    /// its records have no event time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_time_lag: Option<i64>,
    /// Share of the last heartbeat interval spent working, from 0 to 1.
    pub busy_ratio: f64,
    /// Share of the last heartbeat interval spent waiting for input, from 0 to 1.
    pub idle_ratio: f64,
    /// Share of the last heartbeat interval spent waiting for room downstream, from 0 to 1.
    pub backpressured_ratio: f64,
    /// The smallest watermark, in milliseconds since 1970; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current_input_watermark: Option<i64>,
}

/// What went wrong in a job (`GET /jobs/{id}/exceptions`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Exceptions {
    /// The newest failure first, its root cause before what followed from it.
    pub entries: Vec<Exception>,
    /// How many older ones are not kept.
    pub truncated: u64,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Exception {
    /// When, in milliseconds since 1970.
    pub timestamp: i64,
    /// Cause and place.
    pub exception: String,
    /// What may help: `NonRecoverable`, `PartitionDataMissing`, `StateDamaged`, `Environment` or
    /// `Recoverable`.
    pub class: String,
    /// The subtask it happened in, for example `count (2/4)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// The TaskManager it happened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taskmanager_id: Option<String>,
    /// Whether it made the job fail; the others followed from one that did.
    pub root_cause: bool,
}

/// The TaskManagers (`GET /taskmanagers`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskManagers {
    /// In the order in which they registered.
    pub taskmanagers: Vec<TaskManager>,
}

/// One TaskManager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct TaskManager {
    /// Its id: 32 hexadecimal digits, one life of the process.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// Where its exchange listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_address: Option<String>,
    /// All its slots.
    pub slots_number: u32,
    /// Its slots that no job uses.
    pub free_slots: u32,
    /// How long it has been silent, in milliseconds.
    pub time_since_last_heartbeat: u64,
    /// When it was taken in, in milliseconds since 1970.
    pub registered_at: i64,
}

/// The JobManager's configuration (`GET /config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Config {
    /// By key.
    pub config: BTreeMap<String, String>,
}

/// The answer to anything that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// Cause, place and next step; the first is the one that matters.
    pub errors: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_levels_of_back_pressure_are_flinks() {
        let levels = [0.0, 0.1, 0.1001, 0.5, 0.5001, 1.0].map(BackpressureLevel::of_ratio);
        use BackpressureLevel::{High, Low, Ok};
        assert_eq!(levels, [Ok, Ok, Low, Low, High, High]);
    }
}
