//! A Dispatcher that knows one job.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use weir_checkpoint::coordinator::{SnapshotFailure, SnapshotRequest};
use weir_checkpoint::handle::SnapshotMetrics;
use weir_checkpoint::pointer::{OperationId, SnapshotKind, SnapshotRef};
use weir_graph::{ExecutionState, JobStatus, NodeId};
use weir_rpc::{
    BoxFuture, CheckpointDetails, CheckpointState, ClusterOverview, Collected, DispatcherError,
    DispatcherGateway, Durations, IoMetrics, JobCheckpoints, JobDetails, JobExceptions,
    JobOverview, OperationStatus, OperatorDetails, StateFigure, SubtaskCheckpoint, SubtaskDetails,
    TaskManagerDetails, VertexDetails,
};
use weir_types::{
    AttemptNumber, CheckpointId, Epoch, FaultClass, JobId, OperatorId, SubtaskIndex, VertexId,
};

pub(super) const JOB: JobId = JobId(0xabc);

/// What it was asked, and what it answers.
#[derive(Default)]
pub(super) struct Scripted {
    pub(super) asked: Mutex<Vec<SnapshotRequest>>,
    /// Operations whose savepoints were let go of.
    pub(super) forgotten: Mutex<Vec<String>>,
    /// How many looks at an operation find it in progress, before it is complete.
    pub(super) looks: Mutex<BTreeMap<String, u32>>,
    refusal: Option<DispatcherError>,
}

impl Scripted {
    /// One that answers all that concerns checkpoints with this.
    pub(super) fn refusing(error: DispatcherError) -> Self {
        Self {
            refusal: Some(error),
            ..Self::default()
        }
    }

    fn refused(&self) -> Result<(), DispatcherError> {
        self.refusal.clone().map_or(Ok(()), Err)
    }
}

/// Reads, keeps state and commits, in two subtasks.
fn vertex() -> VertexDetails {
    let mut commits = Durations::default();
    for ms in [16, 25] {
        commits.add(Duration::from_millis(ms));
    }
    let subtask = |index, event_time_lag_ms| SubtaskDetails {
        index: SubtaskIndex(index),
        attempt: AttemptNumber(0),
        state: ExecutionState::Running,
        taskmanager: None,
        slot: None,
        started_at_ms: None,
        ended_at_ms: None,
        metrics: IoMetrics {
            queue_bytes: 512,
            event_time_lag_ms,
            ..IoMetrics::default()
        },
        state_figures: vec![StateFigure {
            node: NodeId(4),
            name: "sst_bytes".to_owned(),
            value: 3_500,
        }],
    };
    VertexDetails {
        id: VertexId(2),
        name: "write".to_owned(),
        parallelism: 2,
        max_parallelism: 128,
        state: ExecutionState::Running,
        started_at_ms: None,
        ended_at_ms: None,
        inputs: Vec::new(),
        operators: vec![OperatorDetails {
            node: NodeId(4),
            id: OperatorId(9),
            name: "write".to_owned(),
            records_in: 0,
            records_out: 0,
            late_records: 0,
            skipped_records: 0,
            state_bytes: 4096,
            commits,
        }],
        metrics: IoMetrics::default(),
        subtasks: vec![subtask(0, None), subtask(1, Some(-2_500))],
    }
}

fn savepoint(id: u64) -> SnapshotRef {
    SnapshotRef {
        id: CheckpointId(id),
        epoch: Epoch(3),
        kind: SnapshotKind::Savepoint,
        path: format!("savepoint-3-{id}"),
        sha256: String::new(),
        size: 100,
        completed_ms: 10_500,
        operation: Some(OperationId("slow".to_owned())),
    }
}

fn taken(id: u64, state: CheckpointState, duration_ms: u64) -> CheckpointDetails {
    CheckpointDetails {
        id: CheckpointId(id),
        kind: SnapshotKind::Checkpoint,
        state,
        operation: None,
        triggered_ms: 10_000,
        duration: Duration::from_millis(duration_ms),
        acknowledged: 0,
        participants: 2,
        subtasks: Vec::new(),
    }
}

fn part(index: u32) -> SubtaskCheckpoint {
    let part = u64::from(index) + 1;
    SubtaskCheckpoint {
        vertex: VertexId(5),
        subtask: SubtaskIndex(index),
        metrics: SnapshotMetrics {
            start_delay_us: 1_000,
            alignment_us: 2_000 * part,
            alignment_bytes: 7,
            sync_us: 250 * part,
            async_us: 90_000,
            written_bytes: 10 * part,
            full_bytes: 1_000 * part,
        },
    }
}

fn overview() -> JobOverview {
    JobOverview {
        id: JOB,
        name: "words".to_owned(),
        status: JobStatus::Running,
        waiting_for: None,
        started_at_ms: 0,
        ended_at_ms: None,
        duration_ms: 1,
        tasks_total: 0,
        tasks_running: 0,
        tasks_finished: 0,
    }
}

impl DispatcherGateway for Scripted {
    fn overview(&self) -> BoxFuture<'_, Result<ClusterOverview, DispatcherError>> {
        let overview = ClusterOverview {
            version: String::new(),
            epoch: Epoch(3),
            taskmanagers: 0,
            slots_total: 0,
            slots_free: 0,
            jobs_running: 1,
            jobs_finished: 0,
            jobs_canceled: 0,
            jobs_failed: 0,
        };
        Box::pin(async { Ok(overview) })
    }

    fn jobs(&self) -> BoxFuture<'_, Result<Vec<JobOverview>, DispatcherError>> {
        Box::pin(async { Ok(vec![overview()]) })
    }

    fn job(&self, _: JobId) -> BoxFuture<'_, Result<JobDetails, DispatcherError>> {
        let job = JobDetails {
            overview: overview(),
            epoch: Epoch(3),
            vertices: vec![vertex()],
            root_cause: None,
            restarts: vec![(FaultClass::Recoverable, 3), (FaultClass::Environment, 1)],
        };
        Box::pin(async { Ok(job) })
    }

    fn exceptions(&self, _: JobId) -> BoxFuture<'_, Result<JobExceptions, DispatcherError>> {
        Box::pin(async { Ok(JobExceptions::default()) })
    }

    fn cancel(&self, _: JobId) -> BoxFuture<'_, Result<(), DispatcherError>> {
        Box::pin(async { Ok(()) })
    }

    fn trigger_snapshot(
        &self,
        _: JobId,
        request: SnapshotRequest,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        let answer = self.refused();
        if answer.is_ok() {
            self.asked.lock().expect("whole").push(request);
        }
        Box::pin(async { answer })
    }

    fn operation(
        &self,
        id: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<OperationStatus, DispatcherError>> {
        let mut looks = self.looks.lock().expect("whole");
        let answer = match (operation.0.as_str(), looks.get_mut(&operation.0)) {
            ("failed", _) => Ok(OperationStatus::Failed("the store is full".to_owned())),
            (_, Some(0)) => Ok(OperationStatus::Completed {
                snapshot: savepoint(12),
                location: "/state/words/savepoint-3-12".to_owned(),
            }),
            (_, Some(left)) => {
                *left -= 1;
                Ok(OperationStatus::InProgress)
            }
            (_, None) => Err(DispatcherError::UnknownOperation {
                id,
                operation: operation.0,
            }),
        };
        Box::pin(async { answer })
    }

    fn forget_savepoint(
        &self,
        _: JobId,
        operation: OperationId,
    ) -> BoxFuture<'_, Result<(), DispatcherError>> {
        let needed = DispatcherError::Needed {
            operation: operation.0.clone(),
            why: "it is the newest".to_owned(),
        };
        let answer = self.refused().and(match operation.0.as_str() {
            "newest" => Err(needed),
            _ => Ok(()),
        });
        if answer.is_ok() {
            self.forgotten.lock().expect("whole").push(operation.0);
        }
        Box::pin(async { answer })
    }

    fn checkpoints(&self, _: JobId) -> BoxFuture<'_, Result<JobCheckpoints, DispatcherError>> {
        let failed = CheckpointState::Failed(SnapshotFailure::storage("the store is full"));
        let named = CheckpointDetails {
            kind: SnapshotKind::Savepoint,
            operation: Some(OperationId("slow".to_owned())),
            subtasks: vec![part(0), part(1)],
            ..taken(12, CheckpointState::Completed, 301)
        };
        let mut durations = Durations::default();
        durations.add(Duration::from_millis(100));
        durations.add(Duration::from_millis(301));
        let view = JobCheckpoints {
            folder: "/state/words".to_owned(),
            completed: 2,
            failed: 1,
            restored: Some(CheckpointId(7)),
            retained: vec![savepoint(10), savepoint(12)],
            history: vec![
                taken(14, CheckpointState::InProgress, 5),
                taken(13, failed, 700),
                named,
                taken(11, CheckpointState::Completed, 100),
            ],
            durations,
            collected: Collected {
                objects: 5,
                ..Collected::default()
            },
        };
        let answer = self.refused().map(|()| view);
        Box::pin(async { answer })
    }

    fn taskmanagers(&self) -> BoxFuture<'_, Result<Vec<TaskManagerDetails>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn config(&self) -> BoxFuture<'_, Result<Vec<(String, String)>, DispatcherError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
