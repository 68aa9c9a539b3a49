//! What the controller is doing with a job, and what it has done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{RestoreFrom, UpgradeMode, UpgradeStrategy};

/// An operation that is open: the write-ahead log of what the controller does with the job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name, chosen before the first step. The JobManager knows its savepoint by it.
    pub id: String,
    /// What it does.
    #[serde(rename = "type")]
    pub kind: OperationType,
    /// The step that is being done.
    pub step: Step,
    /// Why it was begun.
    pub reason: String,
    /// The generation of the spec that it leads to.
    pub target_generation: i64,
    /// The revision that it leads to; none if nothing is to run after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_revision: Option<String>,
    /// The deployment that it stops; none if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_deployment: Option<i64>,
    /// The deployment that it starts; none if nothing is to run after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_deployment: Option<i64>,
    /// When it was begun.
    pub started_at: String,
    /// When its step was begun.
    pub step_started_at: String,
    /// What state the new job was to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_mode: Option<UpgradeMode>,
    /// What state it does start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_mode: Option<UpgradeMode>,
    /// In which order old and new pods come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_strategy: Option<UpgradeStrategy>,
    /// What the new deployment's first processes are told to start from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_from: Option<StartFrom>,
    /// The request that began it, by its nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
    /// The number of its snapshot, once that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<i64>,
    /// The folder of its snapshot, once that is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_path: Option<String>,
    /// What it is waiting for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationType {
    /// Starts a job of which nothing runs.
    Deploy,
    /// Puts another revision in place of the one that runs.
    Upgrade,
    /// Changes the parallelism.
    Rescale,
    /// Starts the same revision anew, because a person asked for it.
    Restart,
    /// Starts from the snapshot that a person named.
    Restore,
    /// Puts the last stable revision in place of the one that runs.
    Rollback,
    /// Stops the job with a savepoint.
    Suspend,
    /// Takes a savepoint; the job goes on.
    Savepoint,
    /// Takes a checkpoint; the job goes on.
    Checkpoint,
    /// Ends the job because the StreamJob is deleted.
    Delete,
}

/// A step of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Step {
    /// It has been decided on. Nothing has been done.
    Accepted,
    /// The old job runs on while new pods come up and one of them finds out whether it can go on
    /// from the job's state.
    Warming,
    /// The job takes a snapshot and goes on.
    Snapshot,
    /// The job takes its last savepoint and stops.
    Stopping,
    /// The old pods are removed.
    Removing,
    /// The new objects are made.
    Starting,
    /// The new job is to run.
    AwaitRunning,
    /// The job's checkpoints are deleted, by a pod of their own.
    CleanUp,
    /// Nothing is left to be done before the StreamJob goes.
    Release,
}

/// The requests that have been handled, each by its nonce: the same one never acts twice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HandledNonces {
    /// `weir.dev/savepoint-nonce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// `weir.dev/checkpoint-nonce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// `weir.dev/rollback-nonce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<String>,
    /// `spec.restartNonce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart: Option<i64>,
    /// `spec.restore.nonce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<i64>,
    /// The revision that a person wants to stay although it did not become stable: it is not rolled
    /// back by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_revision: Option<String>,
    /// The newest spec's revision, if a person returned to another one: it is not tried again until
    /// the spec changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_revision: Option<String>,
}

/// What a deployment's processes are told to start from. Those that come later go on from what the
/// first ones have stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartFrom {
    /// What it is.
    pub from: RestoreFrom,
    /// The snapshot's folder for `Path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// They must not start without state: the job has had some.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_state: bool,
}

/// A rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// The revision that failed.
    pub from_revision: String,
    /// The revision that returned.
    pub to_revision: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: String,
}

/// When an operation that failed is tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retry {
    /// How often it has failed in a row.
    pub failures: u32,
    /// Not before then.
    pub not_before: String,
    /// The generation of the spec that it was about: another one is tried at once.
    pub generation: i64,
}
