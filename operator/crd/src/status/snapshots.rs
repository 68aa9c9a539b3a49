//! What is known of a job's checkpoints and savepoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a job was started from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restored {
    /// The folder of the snapshot; none if it was the newest checkpoint, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The number of the snapshot; none if the job started empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_id: Option<i64>,
    /// The epoch that was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// When.
    pub at: String,
}

/// The newest checkpoint, as of the last time that something else changed: a job that just runs
/// costs the API server no writes. Its JobManager always knows the newest one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// How old the newest checkpoint is, as far as can be said without telling it anew each time:
    /// `<11m30s` as long as checkpoints complete in time, `>11m30s` from when they don't.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<String>,
    /// Its number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_completed_id: Option<i64>,
    /// When it was complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_completed_time: Option<String>,
    /// Its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The bytes of all that it refers to, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// How long it took, in milliseconds, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// The last handled `weir.dev/checkpoint-nonce` and what became of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Savepoint>,
}

/// Savepoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SavepointStatus {
    /// The last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Savepoint>,
    /// The last ones, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Savepoint>,
    /// When the next periodic one is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_scheduled: Option<String>,
}

/// A snapshot that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Savepoint {
    /// The nonce that asked for it; none if the schedule, an upgrade or a suspension did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The operation that took it.
    pub operation: String,
    /// Its number, if it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<i64>,
    /// Its folder, if it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When it was complete or given up.
    pub at: String,
    /// The bytes of all that it refers to. Not known of one that the job stopped with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<i64>,
    /// How long it took, in milliseconds. Not known of one that the job stopped with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    /// What became of it.
    pub state: SnapshotState,
    /// Why it was given up, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a snapshot that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SnapshotState {
    /// It is complete.
    Completed,
    /// It was given up.
    Failed,
}
