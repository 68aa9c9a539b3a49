//! The subtasks that run here, and what they say.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_checkpoint::coordinator::{SnapshotFailure, Then};
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskState};
use weir_graph::{ExecutionState, NodeId};
use weir_rpc::{
    DURATION_BOUNDS_MS, Durations, OperatorMetricsReport, StateFigure, TaskDeploymentDescriptor,
    TaskMetricsReport,
};
use weir_state::StateBackendFactory;
use weir_stream::metrics::COMMIT_BOUNDS_MS;
use weir_stream::source::SplitAnswer;
use weir_task::{
    ChainedOperatorMetrics, InputDeployment, ProducerLocation, Program, TaskCommit, TaskDeployment,
    TaskEnvironment, TaskEvents, TaskHandle, TaskMetrics,
};
use weir_types::{
    CheckpointBarrier, CheckpointId, EventTime, ExecutionAttemptId, Fault, FaultClass, Timestamp,
};

/// How many events of all subtasks may wait; a subtask waits beyond it. The reader never waits for
/// a subtask, so the wait ends.
const EVENTS_WAITING_MAX: usize = 4096;

/// What a subtask says.
#[derive(Debug)]
pub(crate) enum TaskEvent {
    State(ExecutionAttemptId, ExecutionState, Option<Fault>),
    RequestSplit(ExecutionAttemptId, NodeId),
    EndOfInput(ExecutionAttemptId),
    Acknowledged(
        ExecutionAttemptId,
        CheckpointId,
        Box<SubtaskState>,
        SnapshotMetrics,
    ),
    Declined(ExecutionAttemptId, CheckpointId, SnapshotFailure),
    Committed(ExecutionAttemptId, CheckpointId),
}

/// The subtasks' end of the queue.
struct EventQueue(mpsc::Sender<TaskEvent>);

impl EventQueue {
    fn put(&self, event: TaskEvent) {
        // Called on subtasks' own threads. Nobody listens any more once the JobManager is lost.
        drop(self.0.blocking_send(event));
    }
}

impl TaskEvents for EventQueue {
    fn state_changed(
        &self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    ) {
        self.put(TaskEvent::State(attempt, state, fault));
    }

    fn request_split(&self, attempt: ExecutionAttemptId, node: NodeId) {
        self.put(TaskEvent::RequestSplit(attempt, node));
    }

    fn end_of_input(&self, attempt: ExecutionAttemptId) {
        self.put(TaskEvent::EndOfInput(attempt));
    }

    fn acknowledged(
        &self,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        state: SubtaskState,
        metrics: SnapshotMetrics,
    ) {
        self.put(TaskEvent::Acknowledged(
            attempt,
            id,
            Box::new(state),
            metrics,
        ));
    }

    fn declined(&self, attempt: ExecutionAttemptId, id: CheckpointId, why: SnapshotFailure) {
        self.put(TaskEvent::Declined(attempt, id, why));
    }

    fn committed(&self, attempt: ExecutionAttemptId, id: CheckpointId) {
        self.put(TaskEvent::Committed(attempt, id));
    }
}

/// A queue for what subtasks say.
pub(crate) fn events() -> (Arc<dyn TaskEvents>, mpsc::Receiver<TaskEvent>) {
    let (sender, events) = mpsc::channel(EVENTS_WAITING_MAX);
    (Arc::new(EventQueue(sender)), events)
}

/// The subtasks that have not ended. Dropping the table cancels them.
pub(crate) struct TaskTable {
    program: Arc<Program>,
    /// All but the slot's own.
    environment: TaskEnvironment,
    /// What keyed state lies on, by slot.
    slots: Vec<Arc<dyn StateBackendFactory>>,
    tasks: BTreeMap<ExecutionAttemptId, TaskHandle>,
}

impl TaskTable {
    pub(crate) fn new(
        program: Arc<Program>,
        environment: TaskEnvironment,
        slots: Vec<Arc<dyn StateBackendFactory>>,
    ) -> Self {
        Self {
            program,
            environment,
            slots,
            tasks: BTreeMap::new(),
        }
    }

    /// Starts a subtask.
    pub(crate) fn deploy(&mut self, task: TaskDeploymentDescriptor) -> Result<(), Fault> {
        let TaskDeploymentDescriptor {
            attempt,
            slot,
            inputs,
            restore,
        } = task;
        let refuse = |cause: String| Err(Fault::task(FaultClass::NonRecoverable, attempt, cause));
        let Some(state_backend) = self.slots.get(slot.0 as usize) else {
            return refuse(format!(
                "deploy {attempt}: no slot {slot}, there are {}",
                self.slots.len()
            ));
        };
        let environment = TaskEnvironment {
            state_backend: Arc::clone(state_backend),
            ..self.environment.clone()
        };
        if self.tasks.contains_key(&attempt) {
            return refuse(format!("deploy {attempt}: it runs already"));
        }
        let inputs = inputs.into_iter().map(|gate| InputDeployment {
            edge: gate.edge,
            producers: gate
                .producers
                .iter()
                .map(|producer| ProducerLocation {
                    attempt: producer.attempt,
                    remote: producer
                        .remote
                        .map(|remote| (remote.taskmanager, remote.address)),
                })
                .collect(),
        });
        let deployment = TaskDeployment {
            attempt,
            inputs: inputs.collect(),
            restore,
        };
        let program = Arc::clone(&self.program);
        // Operators are made by user code. What a panic leaves behind is not used again.
        let launch = || weir_task::launch(deployment, program, environment);
        match catch_unwind(AssertUnwindSafe(launch)) {
            Ok(Ok(handle)) => {
                self.tasks.insert(attempt, handle);
                Ok(())
            }
            Ok(Err(fault)) => Err(fault),
            Err(_) => refuse(format!(
                "deploy {attempt}: making its operators panicked; the TaskManager's log says where"
            )),
        }
    }

    pub(crate) fn cancel(&self, attempt: ExecutionAttemptId) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.cancel();
        }
    }

    pub(crate) fn cancel_all(&self) {
        for task in self.tasks.values() {
            task.cancel();
        }
    }

    pub(crate) fn trigger(
        &self,
        attempt: ExecutionAttemptId,
        barrier: CheckpointBarrier,
        then: Then,
    ) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.trigger(barrier, then);
        }
    }

    pub(crate) fn abort_checkpoint(&self, attempt: ExecutionAttemptId, id: CheckpointId) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.abort_checkpoint(id);
        }
    }

    pub(crate) fn commit(&self, attempt: ExecutionAttemptId, commit: TaskCommit) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.commit(commit);
        }
    }

    pub(crate) fn split_answer(
        &self,
        attempt: ExecutionAttemptId,
        node: NodeId,
        answer: SplitAnswer,
    ) {
        if let Some(task) = self.tasks.get(&attempt) {
            task.split_answer(node, answer);
        }
    }

    /// A subtask has ended; gives its last counters.
    pub(crate) fn ended(
        &mut self,
        attempt: ExecutionAttemptId,
        now: Timestamp,
    ) -> Option<TaskMetricsReport> {
        let task = self.tasks.remove(&attempt)?;
        Some(report(attempt, task.metrics(), now))
    }

    /// How many subtasks have not ended.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The counters of all subtasks that have not ended.
    pub(crate) fn reports(&self, now: Timestamp) -> Vec<TaskMetricsReport> {
        self.tasks
            .iter()
            .map(|(&attempt, task)| report(attempt, task.metrics(), now))
            .collect()
    }
}

impl Drop for TaskTable {
    fn drop(&mut self) {
        self.cancel_all();
    }
}

fn report(attempt: ExecutionAttemptId, metrics: &TaskMetrics, now: Timestamp) -> TaskMetricsReport {
    let spent = metrics.times.spent(now);
    let watermark = metrics.watermark();
    TaskMetricsReport {
        attempt,
        records_in: metrics.records_in.get(),
        records_out: metrics.records_out.get(),
        bytes_in: metrics.bytes_in.get(),
        bytes_out: metrics.bytes_out.get(),
        busy_ns: spent.busy_ns,
        idle_ns: spent.idle_ns,
        backpressured_ns: spent.backpressured_ns,
        restored_local_bytes: metrics.restored.local(),
        restored_store_bytes: metrics.restored.store(),
        queue_bytes: metrics.queue_bytes() as u64,
        event_time_lag_ms: metrics.source_event_time_lag_ms(),
        watermark: (watermark > EventTime::MIN).then_some(watermark),
        operators: metrics
            .operators
            .iter()
            .map(|operator| OperatorMetricsReport {
                node: operator.node,
                records_in: operator.records_in.get(),
                records_out: operator.records_out.get(),
                late_records: operator.own.late_records(),
                skipped_records: operator.own.skipped_records(),
                state_bytes: operator.own.state_bytes(),
                commits: {
                    let commits = operator.own.commits();
                    Durations::counted(&commits.counts, commits.sum)
                },
            })
            .collect(),
        state: metrics.operators.iter().flat_map(state).collect(),
    }
}

// A commit is counted by the task and told by the JobManager: both go by the same bounds.
const _: () = {
    let (counted, told) = (COMMIT_BOUNDS_MS, DURATION_BOUNDS_MS);
    let mut place = 0;
    while place < told.len() {
        assert!(counted.len() == told.len() && counted[place] == told[place]);
        place += 1;
    }
};

fn state(operator: &ChainedOperatorMetrics) -> impl Iterator<Item = StateFigure> {
    let node = operator.node;
    let stats = operator.own.tier();
    let figures = stats.into_iter().flat_map(|stats| {
        let own = [
            ("pending_bytes", stats.pending_bytes),
            ("written_entries", stats.written_entries),
            ("read_keys", stats.read_keys),
        ];
        own.into_iter().chain(stats.figures)
    });
    figures.map(move |(name, value)| StateFigure {
        node,
        name: name.to_owned(),
        value,
    })
}
