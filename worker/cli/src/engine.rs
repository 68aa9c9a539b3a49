//! What the binary does for the command line.

use std::net::SocketAddr;
use std::time::Duration;

use weir_crd::LocalJob;
use weir_graph::Explanation;
use weir_types::TaskManagerId;

use crate::progress::Output;
use crate::{Exit, Failure};

/// One registered program, for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramSummary {
    /// What a manifest calls it.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
}

/// A job to run in this process alone.
#[derive(Clone)]
pub struct RunRequest {
    /// The job.
    pub job: LocalJob,
    /// Where REST listens.
    pub rest: SocketAddr,
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
    /// What to show meanwhile.
    pub output: Output,
}

/// A process that offers slots.
#[derive(Clone, Debug)]
pub struct TaskManagerRequest {
    /// `HOST:PORT` of the JobManager.
    pub jobmanager: String,
    /// How many slots.
    pub slots: u32,
    /// How long the JobManager may be out of reach.
    pub reconnect_timeout: Duration,
    /// Where to take data connections; by default a free port, of the loopback interface if the
    /// JobManager is there, else of all.
    pub data: Option<SocketAddr>,
    /// The id to register with; by default a new one.
    pub id: Option<TaskManagerId>,
}

/// Runs jobs. The command line does not know how.
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
}
