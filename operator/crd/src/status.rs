//! `status`: what the controller knows about a job, and what it is doing with it.
//!
//! [`Operation`] is a write-ahead log: a step stands here, written on condition that nobody else
//! has written meanwhile, before it is acted on. So a controller that is killed at any point leaves
//! behind what its successor needs to go on. No time in here changes unless something else does.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::{RestoreFrom, UpgradeMode, UpgradeStrategy};

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

/// The JobManagers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JobManagerStatus {
    /// The pod that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The name of the job's Lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_name: Option<String>,
    /// How many are ready.
    pub ready_replicas: u32,
    /// The Service of the REST interface, as `HOST:PORT` within the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_endpoint: Option<String>,
}

/// The TaskManagers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TaskManagerStatus {
    /// How many there are.
    pub replicas: u32,
    /// How many are ready.
    pub ready_replicas: u32,
    /// What selects their pods, for autoscalers.
    pub selector: String,
}

/// How often the job was started again after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestartStatus {
    /// In all, over the StreamJob's life.
    pub total: u64,
    /// Why, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reason: Option<String>,
    /// When it was noticed, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_time: Option<String>,
    /// When the last ones were noticed, newest first: as many as `spec.health.restartThreshold`
    /// counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<String>,
    /// The epoch whose restarts were counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// How many of that epoch are in `total`.
    pub of_epoch: u64,
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
