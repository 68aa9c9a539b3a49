//! Views of the Dispatcher become bodies of the API.

mod snapshot;
mod standby;

use weir_rpc::{
    ClusterOverview, ExceptionEntry, IoMetrics, JobDetails, JobExceptions, JobOverview,
    OperatorDetails, SubtaskDetails, TaskManagerDetails, VertexDetails,
};

use crate::dto;

pub(crate) use snapshot::{checkpoint, checkpoint_details, checkpoints, operation};
pub(crate) use standby::standby;

/// Flink writes -1 where there is no time.
fn time(ms: Option<i64>) -> i64 {
    ms.unwrap_or(-1)
}

pub(crate) fn overview(view: ClusterOverview) -> dto::Overview {
    dto::Overview {
        weir_version: view.version,
        epoch: view.epoch.0,
        taskmanagers: view.taskmanagers,
        slots_total: view.slots_total,
        slots_available: view.slots_free,
        jobs_running: view.jobs_running,
        jobs_finished: view.jobs_finished,
        jobs_cancelled: view.jobs_canceled,
        jobs_failed: view.jobs_failed,
    }
}

pub(crate) fn summary(view: JobOverview) -> dto::JobSummary {
    dto::JobSummary {
        id: view.id.to_string(),
        name: view.name,
        state: view.status.to_string(),
        waiting_for: view.waiting_for,
        start_time: view.started_at_ms,
        end_time: time(view.ended_at_ms),
        duration: view.duration_ms,
        tasks: dto::TaskCounts {
            total: view.tasks_total,
            running: view.tasks_running,
            finished: view.tasks_finished,
        },
    }
}

pub(crate) fn job(view: JobDetails) -> dto::Job {
    dto::Job {
        summary: summary(view.overview),
        epoch: view.epoch.0,
        vertices: view.vertices.into_iter().map(vertex).collect(),
        root_exception: view.root_cause.map(exception),
        restarts: view.restarts.iter().map(|(_, times)| times).sum(),
    }
}

fn vertex(view: VertexDetails) -> dto::Vertex {
    let metrics = io_metrics(&view.metrics);
    dto::Vertex {
        id: view.id.to_string(),
        name: view.name,
        parallelism: view.parallelism,
        max_parallelism: view.max_parallelism,
        status: view.state.to_string(),
        start_time: time(view.started_at_ms),
        end_time: time(view.ended_at_ms),
        inputs: view
            .inputs
            .into_iter()
            .map(|input| dto::VertexInput {
                id: input.vertex.to_string(),
                partitioner: input.partitioner,
            })
            .collect(),
        operators: view.operators.into_iter().map(operator).collect(),
        backpressure_level: dto::BackpressureLevel::of_ratio(metrics.backpressured_ratio),
        metrics,
        subtasks: view.subtasks.into_iter().map(subtask).collect(),
    }
}

fn operator(view: OperatorDetails) -> dto::Operator {
    dto::Operator {
        id: view.id.to_string(),
        name: view.name,
        read_records: view.records_in,
        write_records: view.records_out,
        late_records: view.late_records,
        skipped_records: view.skipped_records,
        state_bytes: view.state_bytes,
        commits: view.commits.count(),
        accumulated_commit_time: u64::try_from(view.commits.sum().as_millis()).unwrap_or(u64::MAX),
    }
}

fn subtask(view: SubtaskDetails) -> dto::Subtask {
    let metrics = io_metrics(&view.metrics);
    dto::Subtask {
        subtask: view.index.0,
        attempt: view.attempt.0,
        status: view.state.to_string(),
        taskmanager_id: view.taskmanager.map(|id| id.to_string()),
        slot: view.slot.map(|slot| slot.0),
        start_time: time(view.started_at_ms),
        end_time: time(view.ended_at_ms),
        backpressure_level: dto::BackpressureLevel::of_ratio(metrics.backpressured_ratio),
        metrics,
    }
}

fn io_metrics(view: &IoMetrics) -> dto::IoMetrics {
    dto::IoMetrics {
        read_records: view.records_in,
        write_records: view.records_out,
        read_bytes: view.bytes_in,
        write_bytes: view.bytes_out,
        accumulated_busy_time: view.busy_ms,
        accumulated_idle_time: view.idle_ms,
        accumulated_backpressured_time: view.backpressured_ms,
        restored_local_bytes: view.restored_local_bytes,
        restored_store_bytes: view.restored_store_bytes,
        queued_bytes: view.queue_bytes,
        event_time_lag: view.event_time_lag_ms,
        busy_ratio: view.shares.busy,
        idle_ratio: view.shares.idle,
        backpressured_ratio: view.shares.backpressured,
        current_input_watermark: view.watermark.map(|time| time.0),
    }
}

pub(crate) fn exceptions(view: JobExceptions) -> dto::Exceptions {
    dto::Exceptions {
        entries: view.entries.into_iter().map(exception).collect(),
        truncated: view.dropped,
    }
}

fn exception(view: ExceptionEntry) -> dto::Exception {
    dto::Exception {
        timestamp: view.at_ms,
        exception: view.fault.cause,
        class: format!("{:?}", view.fault.class),
        task_name: view.task,
        taskmanager_id: view.taskmanager.map(|id| id.to_string()),
        root_cause: view.root_cause,
    }
}

pub(crate) fn taskmanager(view: TaskManagerDetails) -> dto::TaskManager {
    dto::TaskManager {
        id: view.id.to_string(),
        name: view.name,
        data_address: view.data_address.map(|address| address.to_string()),
        slots_number: view.slots_total,
        free_slots: view.slots_free,
        time_since_last_heartbeat: view.since_heartbeat_ms,
        registered_at: view.registered_at_ms,
    }
}
