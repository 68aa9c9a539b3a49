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
    /// The savepoints that it keeps, and the one that it is to let go of, after a look.
    kept: Vec<SnapshotRef>,
    unwanted: Option<OperationId>,
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
            kept: Vec::new(),
            unwanted: None,
        }))
    }
}

impl Played {
    pub(super) fn failing(why: &'static str) -> Self {
        let played = Self::default();
        played.state().failure = Some(why);
        played
    }

    /// Savepoints by number and operation, the newest last.
    pub(super) fn keeping(savepoints: &[(u64, &str)]) -> Self {
        let kept = savepoints.iter().map(|(id, operation)| {
            let path = format!("savepoint-3-{id}");
            savepoint(*id, &path, OperationId((*operation).to_owned()))
        });
        let played = Self::default();
        played.state().kept = kept.collect();
        played
    }

    /// The operations of the savepoints that it keeps.
    pub(super) fn kept(&self) -> Vec<String> {
        let kept = self.state().kept.clone().into_iter();
        kept.filter_map(|kept| kept.operation)
            .map(|operation| operation.0)
            .collect()
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

fn savepoint(id: u64, path: &str, operation: OperationId) -> SnapshotRef {
    SnapshotRef {
        id: CheckpointId(id),
        epoch: Epoch(3),
        kind: SnapshotKind::Savepoint,
        path: path.to_owned(),
        sha256: String::new(),
        size: 100,
        completed_ms: 10_500,
        operation: Some(operation),
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
                snapshot: savepoint(12, "savepoint-3-12", operation),
                location: "/state/words/savepoint-3-12".to_owned(),
            },
        };
        Box::pin(async { Ok(status) })
    }

    fn forget_savepoint(
        &self,
        _: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        let mut state = self.state();
        let newest = state.kept.last().and_then(|kept| kept.operation.clone());
        let answer = match newest == Some(operation.clone()) {
            true => Err(DispatcherError::Needed {
                operation: operation.0,
                why: "it is the newest".to_owned(),
            }),
            false => {
                state.unwanted = Some(operation);
                state.looks = 0;
                Ok(())
            }
        };
        Box::pin(async { answer })
    }

    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<JobCheckpoints, DispatcherError>> {
        let mut state = self.state();
        state.looks += 1;
        if state.looks > LOOKS
            && let Some(unwanted) = state.unwanted.take()
        {
            let is_wanted = |kept: &SnapshotRef| kept.operation.as_ref() != Some(&unwanted);
            state.kept.retain(is_wanted);
        }
        let checkpoints = JobCheckpoints {
            folder: "/state/words".to_owned(),
            retained: state.kept.clone(),
            ..JobCheckpoints::default()
        };
        Box::pin(async { Ok(checkpoints) })
    }

    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
