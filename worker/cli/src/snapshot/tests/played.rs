//! A Dispatcher with one job that does what it is told.

use std::sync::{Mutex, MutexGuard};

use weir_checkpoint::coordinator::{SnapshotRequest, Then};
use weir_checkpoint::pointer::{OperationId, SnapshotKind, SnapshotRef};
use weir_graph::JobStatus;
use weir_rpc::{
    BoxFuture, ClusterOverview, DispatcherError, DispatcherGateway, ExceptionEntry, JobCheckpoints,
    JobDetails, JobExceptions, JobOverview, OperationStatus, TaskManagerDetails,
};
use weir_types::{CheckpointId, Epoch, Fault, FaultClass, JobId};

pub(super) const JOB: JobId = JobId(0xabc);

/// A job whose savepoints take three looks, and its end after one as many more.
pub(super) struct Played(Mutex<State>);

struct State {
    asked: Vec<SnapshotRequest>,
    looks: u32,
    status: JobStatus,
    /// What it is to be when it has stopped.
    end: JobStatus,
    failure: Option<&'static str>,
    checkpoints: bool,
}

const LOOKS: u32 = 3;

impl Default for Played {
    fn default() -> Self {
        Self(Mutex::new(State {
            asked: Vec::new(),
            looks: 0,
            status: JobStatus::Running,
            end: JobStatus::Finished,
            failure: None,
            checkpoints: true,
        }))
    }
}

impl Played {
    pub(super) fn failing(why: &'static str) -> Self {
        let played = Self::default();
        played.state().failure = Some(why);
        played
    }

    pub(super) fn without_checkpoints() -> Self {
        let played = Self::default();
        played.state().checkpoints = false;
        played
    }

    pub(super) fn end_with(&self, status: JobStatus) {
        self.state().end = status;
    }

    pub(super) fn asked(&self) -> Vec<SnapshotRequest> {
        self.state().asked.clone()
    }

    pub(super) fn status(&self) -> JobStatus {
        self.state().status
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("whole")
    }

    fn look(&self) -> JobOverview {
        let mut state = self.state();
        state.looks += 1;
        let stops = |ask: &SnapshotRequest| ask.then != Then::Continue;
        if state.looks > 2 * LOOKS && state.asked.iter().any(stops) {
            state.status = state.end;
        }
        JobOverview {
            id: JOB,
            name: "words".to_owned(),
            status: state.status,
            waiting_for: None,
            started_at_ms: 0,
            ended_at_ms: None,
            duration_ms: 1,
            tasks_total: 0,
            tasks_running: 0,
            tasks_finished: 0,
        }
    }
}

impl DispatcherGateway for Played {
    fn overview(&self) -> BoxFuture<'_, Result<ClusterOverview, DispatcherError>> {
        Box::pin(async { Err(DispatcherError::ShuttingDown) })
    }

    fn jobs(&self) -> BoxFuture<'_, Result<Vec<JobOverview>, DispatcherError>> {
        Box::pin(async { Ok(vec![self.look()]) })
    }

    fn job(&self, _: JobId) -> BoxFuture<'_, Result<JobDetails, DispatcherError>> {
        let job = JobDetails {
            overview: self.look(),
            epoch: Epoch(3),
            vertices: Vec::new(),
            root_cause: Some(ExceptionEntry {
                at_ms: 0,
                fault: Fault::job(
                    FaultClass::Recoverable,
                    "rename `part-0`: permission denied",
                ),
                task: None,
                taskmanager: None,
                root_cause: true,
            }),
            restarts: Vec::new(),
        };
        Box::pin(async { Ok(job) })
    }

    fn exceptions(&self, _: JobId) -> BoxFuture<'_, Result<JobExceptions, DispatcherError>> {
        Box::pin(async { Ok(JobExceptions::default()) })
    }

    fn cancel(&self, _: JobId) -> BoxFuture<'_, Result<(), DispatcherError>> {
        self.state().status = JobStatus::Cancelled;
        Box::pin(async { Ok(()) })
    }

    fn trigger_snapshot(
        &self,
        id: JobId,
        request: SnapshotRequest,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        let mut state = self.state();
        let answer = if state.checkpoints {
            state.asked.push(request);
            state.looks = 0;
            Ok(())
        } else {
            Err(DispatcherError::CheckpointsOff(id))
        };
        Box::pin(async { answer })
    }

    fn operation(
        &self,
        _: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<OperationStatus, DispatcherError>> {
        let mut state = self.state();
        state.looks += 1;
        let status = match state.failure {
            _ if state.looks <= LOOKS => OperationStatus::InProgress,
            Some(why) => OperationStatus::Failed(why.to_owned()),
            None => OperationStatus::Completed {
                snapshot: SnapshotRef {
                    id: CheckpointId(12),
                    epoch: Epoch(3),
                    kind: SnapshotKind::Savepoint,
                    path: "savepoint-3-12".to_owned(),
                    sha256: String::new(),
                    size: 100,
                    completed_ms: 10_500,
                    operation: Some(operation),
                },
                location: "/state/words/savepoint-3-12".to_owned(),
            },
        };
        Box::pin(async { Ok(status) })
    }

    fn forget_savepoint(
        &self,
        _: JobId,
        _: OperationId,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async { Ok(()) })
    }

    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<JobCheckpoints, DispatcherError>> {
        Box::pin(async { Ok(JobCheckpoints::default()) })
    }

    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
