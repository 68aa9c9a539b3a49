//! The traits that the components of a job talk through.
//!
//! Commands to a TaskManager never wait: the JobMaster must not be held up by one that is slow, and
//! one whose queue is full is as good as lost. Messages to the JobMaster wait for room. So one of
//! the two directions always drains, and the two can not block each other.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::pointer::OperationId;
use weir_types::JobId;

use crate::{
    ClusterOverview, Fenced, JobCheckpoints, JobDetails, JobExceptions, JobOverview, JobResult,
    OperationStatus, Registered, Registration, StandbyView, TaskExecutorCommand,
    TaskManagerDetails, TaskManagerMessage,
};

/// A future behind a pointer, for traits that are used as `dyn`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The other side cannot be reached any more.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum GatewayError {
    /// The connection is gone.
    #[error("the connection is closed")]
    Closed,
    /// The other side has not read its messages for long.
    #[error("{waiting} messages wait to be read: the other side does not keep up")]
    Full {
        /// How many.
        waiting: usize,
    },
}

/// Why a TaskManager was not taken in.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegisterError {
    /// Nobody answers there, or the connection broke. Trying again may help.
    #[error("reach the JobManager at {address}: {cause}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// The JobManager does not want it. Trying again will not help.
    #[error("the JobManager refused this TaskManager: {0}")]
    Refused(String),
    /// There is nothing left to do.
    #[error("the job has ended: {0}")]
    JobEnded(JobResult),
}

/// How a TaskManager finds its JobMaster.
pub trait JobMasterGateway: Send + Sync {
    /// Asks to be taken in. Commands for the TaskManager go to `executor` from then on; the
    /// connection lives as long as the session that is returned.
    fn register(
        &self,
        registration: Registration,
        executor: Arc<dyn TaskExecutorGateway>,
    ) -> BoxFuture<'_, Result<Registered, RegisterError>>;
}

/// A TaskManager's connection to its JobMaster. Dropping it closes the connection.
pub trait JobMasterSession: Send + Sync {
    /// Sends a message; waits while there is no room. Messages arrive in order.
    fn tell(&self, message: Fenced<TaskManagerMessage>) -> BoxFuture<'_, Result<(), GatewayError>>;
}

/// How the JobMaster reaches a TaskManager.
pub trait TaskExecutorGateway: Send + Sync {
    /// Sends a command and never waits. Commands arrive in order.
    fn tell(&self, command: Fenced<TaskExecutorCommand>) -> Result<(), GatewayError>;

    /// The connection is gone; no command follows.
    fn disconnected(&self, reason: &str);
}

/// Why a question to the Dispatcher has no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DispatcherError {
    /// No such job.
    #[error("no job with id {0}: `weir list` shows the ids")]
    UnknownJob(JobId),
    /// It has ended, so it cannot be cancelled.
    #[error("job {id} has already ended: {result}")]
    Ended {
        /// The job.
        id: JobId,
        /// How it ended.
        result: JobResult,
    },
    /// The job keeps no state outside.
    #[error(
        "job {0} takes no snapshots: set spec.checkpoint and spec.storage, or start it with \
         `--checkpoint-dir`"
    )]
    CheckpointsOff(JobId),
    /// Nobody asked for such an operation, or it was long ago.
    #[error("job {id} knows no operation `{operation}`")]
    UnknownOperation {
        /// The job.
        id: JobId,
        /// The operation that was named.
        operation: String,
    },
    /// The savepoint is needed.
    #[error("the savepoint of operation `{operation}` stays: {why}")]
    Needed {
        /// The operation that took it.
        operation: String,
        /// What for.
        why: String,
    },
    /// The JobManager is going down.
    #[error("the JobManager is shutting down")]
    ShuttingDown,
}

/// What people and the command line ask the JobManager.
pub trait DispatcherGateway: Send + Sync {
    /// Counts of TaskManagers, slots and jobs.
    fn overview(&self) -> BoxFuture<'_, Result<ClusterOverview, DispatcherError>>;

    /// All jobs.
    fn jobs(&self) -> BoxFuture<'_, Result<Vec<JobOverview>, DispatcherError>>;

    /// One job with its vertices, subtasks and counters.
    fn job(&self, id: JobId) -> BoxFuture<'_, Result<JobDetails, DispatcherError>>;

    /// What went wrong in a job: root causes first.
    fn exceptions(&self, id: JobId) -> BoxFuture<'_, Result<JobExceptions, DispatcherError>>;

    /// Asks a job to stop. The answer means that the request has been taken, not that the job has
    /// stopped.
    fn cancel(&self, id: JobId) -> BoxFuture<'_, Result<(), DispatcherError>>;

    /// The same for a process that is told to end by whoever runs it: no person has asked for the
    /// end of the job, so its checkpoints stay whatever is said about a cancelled job's.
    fn cancel_and_keep(&self, id: JobId) -> BoxFuture<'_, Result<(), DispatcherError>> {
        self.cancel(id)
    }

    /// Asks for a checkpoint or savepoint, and for what is to follow it. The answer means that the
    /// request has been taken; [`DispatcherGateway::operation`] tells how it goes on. Asking again
    /// under the same operation id is harmless.
    fn trigger_snapshot(
        &self,
        id: JobId,
        request: SnapshotRequest,
    ) -> BoxFuture<'_, Result<(), DispatcherError>>;

    /// How a snapshot that was asked for is doing.
    fn operation(
        &self,
        id: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<OperationStatus, DispatcherError>>;

    /// Has the job let go of the savepoint of an operation, and delete it. The answer means that
    /// the request has been taken, or that there is no such savepoint (any more); one that is
    /// needed is refused. Asking again is harmless.
    fn forget_savepoint(
        &self,
        id: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<(), DispatcherError>>;

    /// The job's checkpoints and savepoints.
    fn checkpoints(&self, id: JobId) -> BoxFuture<'_, Result<JobCheckpoints, DispatcherError>>;

    /// The TaskManagers that are registered.
    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>>;

    /// The JobManager's configuration, by key.
    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>>;

    /// Whether this JobManager leads. One that answers all else does.
    fn standby(&self) -> StandbyView {
        StandbyView::default()
    }
}
