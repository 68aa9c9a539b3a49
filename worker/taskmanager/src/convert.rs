//! Between the words of the control plane and those of a subtask.

use weir_rpc::{
    CommitRequest, OperatorMetricsReport, SplitResponse, TaskDeploymentDescriptor,
    TaskMetricsReport,
};
use weir_stream::Commit;
use weir_stream::source::SplitAnswer;
use weir_task::{InputDeployment, ProducerLocation, TaskDeployment, TaskMetrics};
use weir_types::{EventTime, ExecutionAttemptId, Timestamp};

pub(crate) fn deployment(task: TaskDeploymentDescriptor) -> TaskDeployment {
    let inputs = task.inputs.into_iter().map(|gate| InputDeployment {
        edge: gate.edge,
        producers: gate
            .producers
            .into_iter()
            .map(|producer| ProducerLocation {
                attempt: producer.attempt,
                remote: producer.remote.map(|remote| (remote.taskmanager, remote.address)),
            })
            .collect(),
    });
    TaskDeployment { attempt: task.attempt, inputs: inputs.collect() }
}

pub(crate) fn commit(request: CommitRequest) -> Commit {
    match request {
        CommitRequest::Checkpoint(id) => Commit::Checkpoint(id),
        CommitRequest::Final => Commit::Final,
    }
}

pub(crate) fn split(response: SplitResponse) -> SplitAnswer {
    match response {
        SplitResponse::Split(bytes) => SplitAnswer::Split(bytes),
        SplitResponse::NotYet(rest) => SplitAnswer::NotYet(rest),
        SplitResponse::NoMore => SplitAnswer::NoMore,
    }
}

pub(crate) fn metrics(
    attempt: ExecutionAttemptId,
    metrics: &TaskMetrics,
    now: Timestamp,
) -> TaskMetricsReport {
    let times = metrics.times.spent(now);
    let operators = metrics.operators.iter().map(|operator| OperatorMetricsReport {
        node: operator.node,
        records_in: operator.records_in.get(),
        records_out: operator.records_out.get(),
        late_records: operator.own.late_records(),
        skipped_records: operator.own.skipped_records(),
    });
    TaskMetricsReport {
        attempt,
        records_in: metrics.records_in.get(),
        records_out: metrics.records_out.get(),
        bytes_in: metrics.bytes_in.get(),
        bytes_out: metrics.bytes_out.get(),
        busy_ns: times.busy_ns,
        idle_ns: times.idle_ns,
        backpressured_ns: times.backpressured_ns,
        watermark: Some(metrics.watermark()).filter(|time| *time != EventTime::MIN),
        operators: operators.collect(),
    }
}
