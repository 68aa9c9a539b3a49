//! What was observed: one StreamJob, its pods, and what its JobManager said. Plain data.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_crd::{StreamJobSpec, StreamJobStatus};

/// A snapshot of everything that [`crate::decide`] looks at.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Milliseconds since 1970, for times in the status and for time-outs of minutes.
    pub now_ms: i64,
    /// The StreamJob.
    pub job: JobView,
    /// The specs that are kept, by revision.
    pub revisions: BTreeMap<String, StreamJobSpec>,
    /// How new each of them is: the generation that it was kept of.
    pub numbers: BTreeMap<String, i64>,
    /// The job's pods, of all deployments.
    pub pods: Vec<PodView>,
    /// What the JobManager that leads said, if one did.
    pub manager: Option<ManagerView>,
    /// For how long no JobManager has answered, as far as this process knows.
    pub silent_for: Duration,
    /// What the API server said when it refused to make a pod of the job, or another object that
    /// its pods need, the last time.
    pub refused: Option<Trouble>,
    /// What the JobManager refused to do for the operation that is open, the last time.
    pub denied: Option<Denied>,
    /// How the operation that it was asked for last has ended, if it said so at once. It may be
    /// gone since: a job that is stopped takes its JobManager with it.
    pub answered: Option<OperationView>,
    /// Who else looks after jobs.
    pub operators: Operators,
}

/// Operators, each by its Lease as `NAMESPACE/NAME`.
#[derive(Clone, Debug, Default)]
pub struct Operators {
    /// The one that asks; empty: it has no name, and looks at nobody else's.
    pub own: String,
    /// Those that the status names and whose Lease nobody holds any more.
    pub gone: BTreeSet<String>,
}

/// A StreamJob as the API server has it.
#[derive(Clone, Debug)]
pub struct JobView {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
    /// The spec's generation.
    pub generation: i64,
    /// Since when it is being deleted.
    pub deleting_since_ms: Option<i64>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Whether it bears this operator's finalizer.
    pub has_finalizer: bool,
    /// Its spec, or why that can't be read.
    pub spec: Result<StreamJobSpec, String>,
    /// Its status, as far as it can be read.
    pub status: StreamJobStatus,
    /// What of its status can't be read: a newer version wrote it, or a person.
    pub unread: Option<String>,
}

/// What a pod is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    /// It runs, or stands by to run, the job.
    JobManager,
    /// It offers slots.
    TaskManager,
    /// It deletes the job's checkpoints, after the job's end.
    Cleaner,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub component: Component,
    /// The deployment that it belongs to.
    pub deployment: i64,
    /// The revision that it was made from.
    pub revision: Option<String>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it has ended and will not be restarted by its node.
    pub over: bool,
    /// Since when it is being deleted.
    pub deleting_since_ms: Option<i64>,
    /// How the process in it ended last.
    pub ended: Option<Ended>,
    /// Why it does not run.
    pub trouble: Option<Trouble>,
    /// Since when its node has been making its container: it fetches the image and mounts volumes.
    pub creating_since_ms: Option<i64>,
    /// When it was made, in milliseconds since 1970, by the API server's clock.
    pub made_ms: i64,
    /// Whether it has an address, by which others find it.
    pub has_address: bool,
    /// It leads its job, and says that the Lease of its deployment is missing.
    pub lease_missing: bool,
    /// What it said of itself before it leads, if it was asked.
    pub standby: Option<StandbyView>,
}

/// What a JobManager that does not lead yet said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandbyView {
    /// Whether it can go on from the job's state, if it was to find out.
    pub check: Option<StateCheck>,
}

/// Whether a revision can go on from the job's state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateCheck {
    /// What was found.
    pub verdict: StateVerdict,
    /// In one word.
    pub reason: String,
    /// For people.
    pub message: String,
    /// The snapshot that it would go on from.
    pub snapshot: Option<i64>,
    /// The deployment that has the job, as its storage says.
    pub deployment: Option<i64>,
}

/// What a check of the state found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateVerdict {
    /// Nothing yet.
    Pending,
    /// It can.
    Passed,
    /// It can't.
    Failed,
    /// The job's storage could not be asked.
    Unreachable,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub exit_code: i32,
    /// What it reported, if it is a JobManager.
    pub report: Option<JobReport>,
}

/// Why a pod does not run, as Kubernetes says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// In one word, such as `ImagePullBackOff` or `Unschedulable`.
    pub reason: String,
    /// For people.
    pub message: String,
}

/// A request that the JobManager refused: it is no use to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The operation that asked.
    pub operation: String,
    /// Why, in the JobManager's words.
    pub why: String,
}

/// What a JobManager reports as it ends, as its pod's termination message. It is read from the
/// job's storage, so it is true of the job even if this JobManager did not lead.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct JobReport {
    /// Where the job stands; none if that could not be read.
    pub run_state: Option<RunState>,
    /// The deployment that has the job.
    pub deployment: Option<i64>,
    /// Its epoch.
    pub epoch: Option<i64>,
    /// The newest snapshot.
    pub latest: Option<SnapshotView>,
    /// Why this process could not go on.
    pub error: Option<String>,
    /// The job's storage could not be asked.
    pub storage_unreachable: bool,
    /// The job must not start without state, and its storage has none.
    pub state_missing: bool,
    /// The newest snapshot, or what names it, is there and can't be read.
    pub state_unreadable: bool,
}

/// Where a job stands in its life, as its storage says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", content = "operation")]
pub enum RunState {
    /// It runs.
    Running,
    /// It is stopping by this operation.
    Stopping(String),
    /// It was stopped by this operation.
    Stopped(String),
    /// It came to the end of its input.
    Finished,
    /// It failed for good.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// Its state was deleted.
    Deleted,
}

/// A snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotView {
    /// Its number.
    pub id: i64,
    /// Its folder.
    pub path: String,
    /// When it was complete, in milliseconds since 1970.
    #[serde(default)]
    pub at_ms: i64,
    /// The operation that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// The bytes of all that it refers to, if the JobManager that took it still says so.
    #[serde(skip)]
    pub size_bytes: Option<i64>,
    /// How long it took, in milliseconds, in the same way.
    #[serde(skip)]
    pub duration_ms: Option<i64>,
}

/// What the JobManager that leads said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerView {
    /// Its pod.
    pub pod: String,
    /// Its deployment.
    pub deployment: i64,
    /// The job's id.
    pub job_id: String,
    /// Its epoch.
    pub epoch: i64,
    /// The job's state, by Flink's names.
    pub state: String,
    /// What the job is waiting for.
    pub waiting_for: Option<String>,
    /// All subtasks, and those that run or have finished.
    pub tasks: (u32, u32),
    /// The snapshot that it was started from.
    pub restored: Option<i64>,
    /// The newest snapshot.
    pub latest: Option<SnapshotView>,
    /// The newest snapshot that the job's storage did not take, if it has taken none since.
    pub not_stored: Option<NotStored>,
    /// The savepoints that are kept, oldest first.
    pub savepoints: Vec<SnapshotView>,
    /// How many checkpoints have completed since it took over.
    pub completed: u64,
    /// How often it has started the job again since it took over.
    pub restarts: u64,
    /// The operation that was asked about.
    pub operation: Option<OperationView>,
    /// Why the job failed last.
    pub last_failure: Option<String>,
}

impl ManagerView {
    /// Whether the job runs with all its subtasks.
    pub fn is_running(&self) -> bool {
        self.state == "RUNNING" && self.tasks.0 > 0 && self.tasks.0 == self.tasks.1
    }
}

/// A snapshot that the job's storage did not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStored {
    /// Its number.
    pub id: i64,
    /// Why, in the JobManager's words.
    pub cause: String,
}

/// How a snapshot that was asked for is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationView {
    /// Its operation.
    pub name: String,
    /// The snapshot, if it is complete.
    pub completed: Option<SnapshotView>,
    /// Why it was given up, if it was.
    pub failed: Option<String>,
}
