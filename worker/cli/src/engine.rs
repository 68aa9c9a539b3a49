//! What the binary does for the command line.

mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_crd::LocalJob;
use weir_graph::Explanation;
use weir_types::TaskManagerId;

use crate::progress::Output;
use crate::{Exit, Failure};

pub use store::{
    ClearRequest, FsckReport, FsckRequest, GarbageObject, GcReport, GcRequest, InspectRequest,
    JobCheck, JobGarbage, OperatorReport, SnapshotCheck, SnapshotChoice, SnapshotReport,
    StateReport, StoreListing, StoreRequest, StoredJob, StoredSnapshot, SubtaskReport,
};

/// One registered program, for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSummary {
    /// What a manifest calls it.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
}

/// Where a job keeps its checkpoints, and which state it starts with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointArgs {
    /// A folder or a URI. None: no checkpoints.
    pub dir: Option<String>,
    /// From one checkpoint's start to the next. Zero: only on request, and at the end. None: what
    /// the manifest says.
    pub interval: Option<Duration>,
    /// Which state it starts with. None: nothing was said.
    pub restore: Option<RestoreChoice>,
    /// It starts with that though it has newer state of its own, which is left behind.
    pub rewind: Option<Rewind>,
    /// State in the snapshot that belongs to no operator of the program is left behind.
    pub allow_non_restored_state: bool,
    /// It must not start with no state.
    pub require_state: bool,
    /// How the store is reached: `s3.endpoint` and so on.
    pub store: BTreeMap<String, String>,
}

/// Which state a job starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestoreChoice {
    /// The newest of its own checkpoints and savepoints; none only if there never was one.
    Latest,
    /// None: it begins anew.
    None,
    /// That of a checkpoint or savepoint, by its folder: a path or a URI.
    Path(String),
}

/// A person's wish that a job goes back. The same wish is granted once, as whoever looks after the
/// job's processes starts them with the same words again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewind {
    /// Tells it from another wish to go back to the same place.
    pub name: Option<String>,
}

/// A job to run in this process alone.
#[derive(Clone)]
pub struct RunRequest {
    /// The job.
    pub job: LocalJob,
    /// Where REST listens.
    pub rest: SocketAddr,
    /// Its checkpoints.
    pub checkpoints: CheckpointArgs,
    /// Where keyed state lies that memory has no room for; by default where the job says.
    pub local_dir: Option<PathBuf>,
    /// What to show meanwhile.
    pub output: Output,
}

/// A job to run on TaskManagers that will come.
#[derive(Clone)]
pub struct JobManagerRequest {
    /// The job.
    pub job: LocalJob,
    /// Where to wait for TaskManagers.
    pub rpc: SocketAddr,
    /// Where REST listens.
    pub rest: SocketAddr,
    /// Its checkpoints.
    pub checkpoints: CheckpointArgs,
    /// The operation that started this process and its like: those of an older one give way.
    pub deployment: Option<u64>,
    /// Where the leader among several JobManagers is elected. None: in the checkpoint folder, if
    /// that is one of this machine; else this is the only one.
    pub election_dir: Option<PathBuf>,
    /// What to show meanwhile.
    pub output: Output,
}

/// A process that offers slots.
#[derive(Clone, Debug)]
pub struct TaskManagerRequest {
    /// `HOST:PORT` of each JobManager, the leader and those that stand by; at least one.
    pub jobmanagers: Vec<String>,
    /// How many slots.
    pub slots: u32,
    /// How long all JobManagers may be out of reach.
    pub reconnect_timeout: Duration,
    /// Where to take data connections; by default a free port, of the loopback interface if the
    /// JobManager is there, else of all.
    pub data: Option<SocketAddr>,
    /// Where keyed state lies that memory has no room for; by default where the job says.
    pub local_dir: Option<PathBuf>,
    /// Where other TaskManagers reach that; by default the same.
    pub data_advertised: Option<SocketAddr>,
    /// The id to register with; by default a new one.
    pub id: Option<TaskManagerId>,
    /// The operation that started this process and its like.
    pub deployment: Option<u64>,
}

/// Runs jobs and looks into stores. The command line does not know how.
pub trait Engine {
    /// The programs that manifests can name.
    fn programs(&self) -> Vec<ProgramSummary>;

    /// Runs a job in this process. Returns when it has ended; a failed one is a [`Failure`].
    fn run(&self, request: RunRequest) -> Result<Exit, Failure>;

    /// Runs a job on TaskManagers of other processes. Returns when it has ended; a failed one is a
    /// [`Failure`].
    fn jobmanager(&self, request: JobManagerRequest) -> Result<Exit, Failure>;

    /// Works for a JobManager until its job has ended.
    fn taskmanager(&self, request: TaskManagerRequest) -> Result<Exit, Failure>;

    /// What a job consists of. Reads no input.
    fn explain(&self, job: LocalJob) -> Result<Explanation, Failure>;

    /// The jobs of a store with their checkpoints and savepoints. Changes nothing.
    fn checkpoints_ls(&self, request: StoreRequest) -> Result<StoreListing, Failure>;

    /// What one checkpoint or savepoint consists of. Changes nothing.
    fn checkpoints_inspect(&self, request: InspectRequest) -> Result<SnapshotReport, Failure>;

    /// Reads all that the retained checkpoints and savepoints refer to and compares checksums.
    /// Damage is a part of the report, not a [`Failure`]. Changes nothing.
    fn fsck(&self, request: FsckRequest) -> Result<FsckReport, Failure>;

    /// Finds the objects that nothing needs any more, and deletes them if the request says so.
    fn gc(&self, request: GcRequest) -> Result<GcReport, Failure>;

    /// Deletes the checkpoints of a job that is over, for good.
    fn checkpoints_clear(&self, request: ClearRequest) -> Result<GcReport, Failure>;
}
