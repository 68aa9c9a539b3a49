//! `status`: what the controller knows about a job, and what it is doing with it.
//!
//! [`Operation`] is a write-ahead log: a step stands here, written on condition that nobody else
//! has written meanwhile, before it is acted on. So a controller that is killed at any point leaves
//! behind what its successor needs to go on. No time in here changes unless something else does.

mod components;
mod operation;
mod snapshots;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use components::{JobManagerStatus, RestartStatus, TaskManagerStatus};
pub use operation::{HandledNonces, Operation, OperationType, Retry, RolledBack, StartFrom, Step};
pub use snapshots::{CheckpointStatus, Restored, Savepoint, SavepointStatus, SnapshotState};

/// What the controller knows about a job, and what it is doing with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StreamJobStatus {
    /// The generation of the spec that this status tells about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The operator that looks after the job, as its Lease's namespace and name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Another operator that was to look after the job, too, and leaves it alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_operator: Option<String>,
    /// Where the job stands in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// What is true of the job now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The id of the job's lineage, as the JobManager names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The epoch of the JobManager that leads; it only grows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// The number of the last operation that started pods; it only grows. Pods, ConfigMaps, Leases
    /// and Services bear it in their names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment: Option<i64>,
    /// The highest deployment number that was ever given out. Some may never have come to run: none
    /// is given out twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_deployment: Option<i64>,
    /// The revision that runs, or ran last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_revision: Option<String>,
    /// The revision that an open operation leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub update_revision: Option<String>,
    /// The last revision that was stable: a rollback returns to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stable_revision: Option<String>,
    /// A revision that did not become stable and was rolled back; it is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_revision: Option<String>,
    /// The operation that is open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<Operation>,
    /// The requests that have been handled, each by its nonce.
    pub handled: HandledNonces,
    /// What the deployment's processes are told to start from, if they are the job's first ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<StartFrom>,
    /// What the running job was started from; none until the deployment has run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<Restored>,
    /// The newest checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// Savepoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointStatus>,
    /// The JobManagers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_manager: Option<JobManagerStatus>,
    /// The TaskManagers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_manager: Option<TaskManagerStatus>,
    /// The parallelism that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallelism: Option<u32>,
    /// How often the job was started again after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restarts: Option<RestartStatus>,
    /// The last rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback: Option<RolledBack>,
    /// Since when the current revision has run without a break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_since: Option<String>,
    /// When an operation that failed is tried again, and how often it has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// When the job ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<LastError>,
}

/// Where a job stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing has been started yet.
    Pending,
    /// Its pods are being started.
    Deploying,
    /// It runs.
    Running,
    /// It runs, and the revision has proved itself.
    Stable,
    /// It is being restarted after a failure.
    Recovering,
    /// Another revision takes its place.
    Upgrading,
    /// The last stable revision returns.
    RollingBack,
    /// It is being stopped with a savepoint.
    Suspending,
    /// It is stopped and has no pods.
    Suspended,
    /// It came to the end of its input.
    Finished,
    /// It failed for good.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// The StreamJob is being deleted.
    Deleting,
}

impl Phase {
    /// Whether the job has ended by itself: it is never started again unless a person asks for it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Cancelled)
    }
}

/// What is true of a job now, as Kubernetes' `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// The generation of the spec that it was true of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status changed last.
    pub last_transition_time: String,
    /// Why, in one word for programs.
    pub reason: String,
    /// Why, and what to do about it, for people.
    pub message: String,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody can tell.
    Unknown,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastError {
    /// In one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// When.
    pub at: String,
}
