//! What several messages hold: ids, attempts, faults, states, counters.

use std::net::SocketAddr;
use std::time::Duration;

use weir_graph::{ExecutionState, NodeId};
use weir_types::{
    AttemptNumber, Epoch, EventTime, ExecutionAttemptId, Fault, FaultClass, FaultScope,
    SubtaskIndex, TaskManagerId, VertexId,
};

use super::{WireError, pb, required};
use crate::{Durations, JobResult, OperatorMetricsReport, StateFigure, TaskMetricsReport};

pub(super) fn id_to_wire(id: u128) -> Vec<u8> {
    id.to_be_bytes().to_vec()
}

pub(super) fn id_from_wire(field: &'static str, bytes: &[u8]) -> Result<u128, WireError> {
    match <[u8; 16]>::try_from(bytes) {
        Ok(bytes) => Ok(u128::from_be_bytes(bytes)),
        Err(_) => Err(WireError::new(
            field,
            format!("an id has 16 bytes, not {}", bytes.len()),
        )),
    }
}

/// Checkpoint data travels in its own encoding, which both sides share.
pub(super) fn blob_to_wire<T: serde::Serialize>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("plain data can be written to memory")
}

pub(super) fn blob_from_wire<T: serde::de::DeserializeOwned>(
    field: &'static str,
    bytes: &[u8],
) -> Result<T, WireError> {
    let (value, rest) = postcard::take_from_bytes(bytes)
        .map_err(|error| WireError::new(field, error.to_string()))?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(WireError::new(
            field,
            format!("{} bytes too many", rest.len()),
        ))
    }
}

pub(super) fn address_from_wire(field: &'static str, text: &str) -> Result<SocketAddr, WireError> {
    text.parse()
        .map_err(|_| WireError::new(field, format!("`{text}` is no HOST:PORT")))
}

pub(super) fn attempt_to_wire(attempt: ExecutionAttemptId) -> pb::Attempt {
    pb::Attempt {
        epoch: attempt.epoch.0,
        vertex: id_to_wire(attempt.vertex.0),
        subtask: attempt.subtask.0,
        attempt: attempt.attempt.0,
    }
}

pub(super) fn attempt_from_wire(
    attempt: Option<pb::Attempt>,
) -> Result<ExecutionAttemptId, WireError> {
    let attempt = required("attempt", attempt)?;
    Ok(ExecutionAttemptId {
        epoch: Epoch(attempt.epoch),
        vertex: VertexId(id_from_wire("attempt.vertex", &attempt.vertex)?),
        subtask: SubtaskIndex(attempt.subtask),
        attempt: AttemptNumber(attempt.attempt),
    })
}

pub(super) fn fault_to_wire(fault: &Fault) -> pb::Fault {
    use pb::fault::Scope;
    let class = match fault.class {
        FaultClass::NonRecoverable => pb::FaultClass::NonRecoverable,
        FaultClass::PartitionDataMissing => pb::FaultClass::PartitionDataMissing,
        FaultClass::StateDamaged => pb::FaultClass::StateDamaged,
        FaultClass::Environment => pb::FaultClass::Environment,
        FaultClass::Recoverable => pb::FaultClass::Recoverable,
    };
    let scope = match fault.scope {
        FaultScope::Task(attempt) => Scope::Task(attempt_to_wire(attempt)),
        FaultScope::TaskManager(id) => Scope::Taskmanager(id_to_wire(id.0)),
        FaultScope::Job => Scope::Job(pb::JobScope {}),
    };
    pb::Fault {
        class: class.into(),
        cause: fault.cause.clone(),
        scope: Some(scope),
    }
}

pub(super) fn fault_from_wire(fault: pb::Fault) -> Result<Fault, WireError> {
    use pb::fault::Scope;
    let class = match pb::FaultClass::try_from(fault.class) {
        Ok(pb::FaultClass::NonRecoverable) => FaultClass::NonRecoverable,
        Ok(pb::FaultClass::PartitionDataMissing) => FaultClass::PartitionDataMissing,
        Ok(pb::FaultClass::StateDamaged) => FaultClass::StateDamaged,
        Ok(pb::FaultClass::Environment) => FaultClass::Environment,
        Ok(pb::FaultClass::Recoverable) => FaultClass::Recoverable,
        Ok(pb::FaultClass::Unspecified) | Err(_) => {
            return Err(WireError::new(
                "fault.class",
                format!("no class {}", fault.class),
            ));
        }
    };
    let scope = match required("fault.scope", fault.scope)? {
        Scope::Task(attempt) => FaultScope::Task(attempt_from_wire(Some(attempt))?),
        Scope::Taskmanager(id) => {
            FaultScope::TaskManager(TaskManagerId(id_from_wire("fault.scope", &id)?))
        }
        Scope::Job(pb::JobScope {}) => FaultScope::Job,
    };
    Ok(Fault {
        class,
        scope,
        cause: fault.cause,
    })
}

pub(crate) fn result_to_wire(result: &JobResult) -> pb::JobEnded {
    let (result, fault) = match result {
        JobResult::Finished => (pb::JobResult::Finished, None),
        JobResult::Canceled => (pb::JobResult::Canceled, None),
        JobResult::Failed(fault) => (pb::JobResult::Failed, Some(fault_to_wire(fault))),
    };
    pb::JobEnded {
        result: result.into(),
        fault,
    }
}

pub(crate) fn result_from_wire(ended: pb::JobEnded) -> Result<JobResult, WireError> {
    match pb::JobResult::try_from(ended.result) {
        Ok(pb::JobResult::Finished) => Ok(JobResult::Finished),
        Ok(pb::JobResult::Canceled) => Ok(JobResult::Canceled),
        Ok(pb::JobResult::Failed) => Ok(JobResult::Failed(fault_from_wire(required(
            "fault",
            ended.fault,
        )?)?)),
        Ok(pb::JobResult::Unspecified) | Err(_) => Err(WireError::new(
            "result",
            format!("no result {}", ended.result),
        )),
    }
}

pub(super) fn state_to_wire(state: ExecutionState) -> pb::ExecutionState {
    match state {
        ExecutionState::Created => pb::ExecutionState::Created,
        ExecutionState::Scheduled => pb::ExecutionState::Scheduled,
        ExecutionState::Deploying => pb::ExecutionState::Deploying,
        ExecutionState::Initializing => pb::ExecutionState::Initializing,
        ExecutionState::Running => pb::ExecutionState::Running,
        ExecutionState::Finished => pb::ExecutionState::Finished,
        ExecutionState::Canceling => pb::ExecutionState::Canceling,
        ExecutionState::Canceled => pb::ExecutionState::Canceled,
        ExecutionState::Failed => pb::ExecutionState::Failed,
    }
}

pub(super) fn state_from_wire(state: i32) -> Result<ExecutionState, WireError> {
    Ok(match pb::ExecutionState::try_from(state) {
        Ok(pb::ExecutionState::Created) => ExecutionState::Created,
        Ok(pb::ExecutionState::Scheduled) => ExecutionState::Scheduled,
        Ok(pb::ExecutionState::Deploying) => ExecutionState::Deploying,
        Ok(pb::ExecutionState::Initializing) => ExecutionState::Initializing,
        Ok(pb::ExecutionState::Running) => ExecutionState::Running,
        Ok(pb::ExecutionState::Finished) => ExecutionState::Finished,
        Ok(pb::ExecutionState::Canceling) => ExecutionState::Canceling,
        Ok(pb::ExecutionState::Canceled) => ExecutionState::Canceled,
        Ok(pb::ExecutionState::Failed) => ExecutionState::Failed,
        Ok(pb::ExecutionState::Unspecified) | Err(_) => {
            return Err(WireError::new("state", format!("no state {state}")));
        }
    })
}

/// Nothing, for an operator that commits nothing.
fn commit_counts(commits: &Durations) -> Vec<u64> {
    if commits.count() == 0 {
        return Vec::new();
    }
    commits.buckets().map(|(_, count)| count).collect()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn metrics_to_wire(report: &TaskMetricsReport) -> pb::TaskMetrics {
    pb::TaskMetrics {
        attempt: Some(attempt_to_wire(report.attempt)),
        records_in: report.records_in,
        records_out: report.records_out,
        bytes_in: report.bytes_in,
        bytes_out: report.bytes_out,
        busy_ns: report.busy_ns,
        idle_ns: report.idle_ns,
        backpressured_ns: report.backpressured_ns,
        restored_local_bytes: report.restored_local_bytes,
        restored_store_bytes: report.restored_store_bytes,
        queue_bytes: report.queue_bytes,
        event_time_lag_ms: report.event_time_lag_ms,
        watermark: report.watermark.map(|watermark| watermark.0),
        operators: report
            .operators
            .iter()
            .map(|operator| pb::OperatorMetrics {
                node: operator.node.0,
                records_in: operator.records_in,
                records_out: operator.records_out,
                late_records: operator.late_records,
                skipped_records: operator.skipped_records,
                state_bytes: operator.state_bytes,
                commit_counts: commit_counts(&operator.commits),
                commit_sum_us: micros(operator.commits.sum()),
            })
            .collect(),
        state: report
            .state
            .iter()
            .map(|figure| pb::StateFigure {
                node: figure.node.0,
                name: figure.name.clone(),
                value: figure.value,
            })
            .collect(),
    }
}

pub(super) fn metrics_from_wire(report: pb::TaskMetrics) -> Result<TaskMetricsReport, WireError> {
    Ok(TaskMetricsReport {
        attempt: attempt_from_wire(report.attempt)?,
        records_in: report.records_in,
        records_out: report.records_out,
        bytes_in: report.bytes_in,
        bytes_out: report.bytes_out,
        busy_ns: report.busy_ns,
        idle_ns: report.idle_ns,
        backpressured_ns: report.backpressured_ns,
        restored_local_bytes: report.restored_local_bytes,
        restored_store_bytes: report.restored_store_bytes,
        queue_bytes: report.queue_bytes,
        event_time_lag_ms: report.event_time_lag_ms,
        watermark: report.watermark.map(EventTime),
        operators: report
            .operators
            .into_iter()
            .map(|operator| OperatorMetricsReport {
                node: NodeId(operator.node),
                records_in: operator.records_in,
                records_out: operator.records_out,
                late_records: operator.late_records,
                skipped_records: operator.skipped_records,
                state_bytes: operator.state_bytes,
                commits: Durations::counted(
                    &operator.commit_counts,
                    Duration::from_micros(operator.commit_sum_us),
                ),
            })
            .collect(),
        state: report
            .state
            .into_iter()
            .map(|figure| StateFigure {
                node: NodeId(figure.node),
                name: figure.name,
                value: figure.value,
            })
            .collect(),
    })
}
