//! What a JobMaster tells about itself.

use weir_graph::{
    ChainedOperator, ExecutionState, ExecutionVertex, FailureRecord, JobStatus, JobVertex,
};
use weir_rpc::{
    ClusterOverview, Durations, ExceptionEntry, JobDetails, JobExceptions, JobOverview,
    OperatorDetails, SubtaskDetails, TaskManagerDetails, VERSION, VertexDetails, VertexInput,
};
use weir_types::{FaultScope, TaskManagerId};

use super::metrics::sum;
use super::{JobMaster, Now, Preparation};

impl JobMaster {
    pub(crate) fn cluster(&self) -> ClusterOverview {
        let is = |status: JobStatus| u32::from(self.graph.status() == status);
        ClusterOverview {
            version: VERSION.to_owned(),
            epoch: self.config.epoch,
            taskmanagers: count(self.task_managers.len()),
            slots_total: count(self.slots.total()),
            slots_free: count(self.slots.total() - self.slots.allocated()),
            jobs_running: u32::from(!self.graph.status().is_terminal()),
            jobs_finished: is(JobStatus::Finished),
            jobs_canceled: is(JobStatus::Cancelled),
            jobs_failed: is(JobStatus::Failed),
        }
    }

    /// How the job is doing.
    pub fn overview(&self, now: Now) -> JobOverview {
        let status = self.graph.status();
        let ended_at_ms = if status.is_terminal() {
            self.graph.status_since_ms().get(&status).copied()
        } else {
            None
        };
        let duration_ms = ended_at_ms
            .unwrap_or(now.unix_ms)
            .saturating_sub(self.submitted_at_ms);
        let in_state = |state: ExecutionState| {
            count(
                self.graph
                    .executions()
                    .iter()
                    .filter(|e| e.state == state)
                    .count(),
            )
        };
        JobOverview {
            id: self.config.id,
            name: self.config.name.clone(),
            status,
            waiting_for: self
                .waiting_for_slots()
                .or_else(|| self.waiting_for_preparations()),
            started_at_ms: self.submitted_at_ms,
            ended_at_ms,
            duration_ms: u64::try_from(duration_ms).unwrap_or(0),
            tasks_total: count(self.graph.executions().len()),
            tasks_running: in_state(ExecutionState::Running),
            tasks_finished: in_state(ExecutionState::Finished),
        }
    }

    fn waiting_for_preparations(&self) -> Option<String> {
        if self.graph.status().is_terminal() {
            return None;
        }
        self.preparations.first().map(|what| {
            let (kind, node) = match what {
                Preparation::Source(node) => ("source", node),
                Preparation::Sink(node) => ("sink", node),
            };
            let vertex = self.graph.job().vertex_of_node(*node);
            let operator = vertex.and_then(|vertex| vertex.operator(*node));
            let name = operator.map_or("?", |operator| operator.name.as_str());
            format!("waiting for {kind} `{name}` to get ready")
        })
    }

    pub(crate) fn details(&self, now: Now) -> JobDetails {
        JobDetails {
            overview: self.overview(now),
            epoch: self.config.epoch,
            vertices: self
                .graph
                .job()
                .vertices
                .iter()
                .map(|vertex| self.vertex(vertex))
                .collect(),
            root_cause: self
                .graph
                .root_cause()
                .map(|record| self.exception(record, true)),
            restarts: self.restarts.clone(),
        }
    }

    fn vertex(&self, vertex: &JobVertex) -> VertexDetails {
        let executions = self.graph.subtasks(vertex.id);
        let subtasks: Vec<SubtaskDetails> = executions.iter().map(|e| self.subtask(e)).collect();
        let state = aggregate(executions);
        let inputs = self.graph.job().inputs(vertex.id);
        let ended = subtasks
            .iter()
            .map(|subtask| subtask.ended_at_ms)
            .max()
            .flatten();
        VertexDetails {
            id: vertex.id,
            name: vertex.name.clone(),
            parallelism: vertex.parallelism,
            max_parallelism: vertex.max_parallelism,
            state,
            started_at_ms: subtasks
                .iter()
                .filter_map(|subtask| subtask.started_at_ms)
                .min(),
            ended_at_ms: ended.filter(|_| executions.iter().all(|e| e.state.is_terminal())),
            inputs: inputs
                .iter()
                .map(|edge| VertexInput {
                    vertex: edge.source,
                    partitioner: edge.partitioner.to_string(),
                })
                .collect(),
            operators: vertex
                .operators
                .iter()
                .map(|o| self.operator(o, executions))
                .collect(),
            metrics: sum(subtasks.iter().map(|subtask| subtask.metrics)),
            subtasks,
        }
    }

    fn operator(
        &self,
        operator: &ChainedOperator,
        subtasks: &[ExecutionVertex],
    ) -> OperatorDetails {
        let mut details = OperatorDetails {
            node: operator.node,
            id: operator.operator_id,
            name: operator.name.clone(),
            records_in: 0,
            records_out: 0,
            late_records: 0,
            skipped_records: 0,
            state_bytes: 0,
            commits: Durations::default(),
        };
        let reports = subtasks
            .iter()
            .flat_map(|e| self.metrics.operators(e.attempt));
        for report in reports.filter(|report| report.node == operator.node) {
            details.records_in += report.records_in;
            details.records_out += report.records_out;
            details.late_records += report.late_records;
            details.skipped_records += report.skipped_records;
            details.state_bytes += report.state_bytes;
            details.commits.merge(&report.commits);
        }
        details
    }

    fn subtask(&self, execution: &ExecutionVertex) -> SubtaskDetails {
        let since = |state| execution.state_since_ms.get(&state).copied();
        SubtaskDetails {
            index: execution.id.subtask,
            attempt: execution.attempt.attempt,
            state: execution.state,
            taskmanager: execution.slot.map(|slot| slot.task_manager),
            slot: execution.slot.map(|slot| slot.slot),
            started_at_ms: since(ExecutionState::Deploying),
            ended_at_ms: execution
                .state
                .is_terminal()
                .then(|| since(execution.state))
                .flatten(),
            metrics: self.metrics.io(execution.attempt),
            state_figures: self.metrics.state(execution.attempt).to_vec(),
        }
    }

    pub(crate) fn exceptions(&self) -> JobExceptions {
        let mut exceptions = JobExceptions::default();
        let failures = self.graph.failures();
        exceptions.dropped = failures.left_out;
        for entry in failures.entries.iter().rev() {
            exceptions
                .entries
                .push(self.exception(&entry.root_cause, true));
            exceptions.dropped += entry.concurrent_left_out;
        }
        for entry in failures.entries.iter().rev() {
            exceptions
                .entries
                .extend(entry.concurrent.iter().map(|r| self.exception(r, false)));
        }
        exceptions
    }

    fn exception(&self, record: &FailureRecord, root_cause: bool) -> ExceptionEntry {
        ExceptionEntry {
            at_ms: record.at_ms,
            fault: record.fault.clone(),
            task: record.task_name.clone(),
            taskmanager: self.home(record),
            root_cause,
        }
    }

    fn home(&self, record: &FailureRecord) -> Option<TaskManagerId> {
        if let FaultScope::TaskManager(id) = record.fault.scope {
            return Some(id);
        }
        let execution = self.execution(record.attempt?)?;
        execution.slot.map(|slot| slot.task_manager)
    }

    pub(crate) fn task_managers(&self, now: Now) -> Vec<TaskManagerDetails> {
        let details = self
            .task_managers
            .iter()
            .map(|task_manager| TaskManagerDetails {
                id: task_manager.id,
                name: task_manager.name.clone(),
                data_address: task_manager.data_address,
                slots_total: task_manager.slots,
                slots_free: count(self.slots.free_of(task_manager.id)),
                since_heartbeat_ms: u64::try_from(now.at.since(task_manager.last_seen).as_millis())
                    .unwrap_or(u64::MAX),
                registered_at_ms: task_manager.registered_at_ms,
            });
        details.collect()
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// The one state that stands for all subtasks (Flink's `getAggregateJobVertexState`).
fn aggregate(subtasks: &[ExecutionVertex]) -> ExecutionState {
    use ExecutionState::{
        Canceled, Canceling, Created, Deploying, Failed, Finished, Initializing, Running, Scheduled,
    };
    let any = |state: ExecutionState| subtasks.iter().any(|subtask| subtask.state == state);
    let telling = [Failed, Canceling, Canceled, Initializing, Running];
    if let Some(state) = telling.into_iter().find(|&state| any(state)) {
        return state;
    }
    if any(Finished) {
        let all = subtasks.iter().all(|subtask| subtask.state == Finished);
        return if all { Finished } else { Running };
    }
    [Deploying, Scheduled]
        .into_iter()
        .find(|&state| any(state))
        .unwrap_or(Created)
}
