//! The views of checkpoints and savepoints.

use std::collections::BTreeMap;

use weir_checkpoint::coordinator::FailureKind;
use weir_checkpoint::pointer::{OperationId, SnapshotKind, SnapshotRef};
use weir_rpc::{
    CheckpointDetails, CheckpointState, JobCheckpoints, JobDetails, OperationStatus,
    SubtaskCheckpoint,
};
use weir_types::VertexId;

use crate::dto;

/// `all`: the job's snapshots, where they can be had.
pub(crate) fn operation(
    id: OperationId,
    view: OperationStatus,
    all: Option<JobCheckpoints>,
) -> dto::Operation {
    let mut answer = dto::Operation {
        operation: id.0,
        status: dto::SnapshotStatus::InProgress,
        id: None,
        location: None,
        completed_timestamp: None,
        end_to_end_duration: None,
        state_size: None,
        cause: None,
    };
    match view {
        OperationStatus::InProgress => {}
        OperationStatus::Completed { snapshot, location } => {
            answer.status = dto::SnapshotStatus::Completed;
            answer.id = Some(snapshot.id.0);
            answer.location = Some(location);
            answer.completed_timestamp = Some(snapshot.completed_ms);
            let all = all.iter().flat_map(|all| &all.history);
            let taken = all
                .filter(|taken| taken.state == CheckpointState::Completed)
                .find(|taken| taken.id == snapshot.id);
            if let Some(taken) = taken.map(checkpoint) {
                answer.end_to_end_duration = Some(taken.end_to_end_duration);
                answer.state_size = Some(taken.state_size);
            }
        }
        OperationStatus::Failed(cause) => {
            answer.status = dto::SnapshotStatus::Failed;
            answer.cause = Some(cause);
        }
    }
    answer
}

pub(crate) fn checkpoints(view: JobCheckpoints) -> dto::Checkpoints {
    let history: Vec<dto::Checkpoint> = view.history.iter().map(checkpoint).collect();
    let folder = view.folder;
    let of_status = |status| history.iter().filter(move |each| each.status == status);
    let completed = || of_status(dto::SnapshotStatus::Completed);
    dto::Checkpoints {
        counts: dto::CheckpointCounts {
            in_progress: of_status(dto::SnapshotStatus::InProgress).count() as u64,
            completed: view.completed,
            failed: view.failed,
        },
        restored: view.restored.map(|id| id.0),
        summary: dto::CheckpointSummaries {
            end_to_end_duration: range(completed().map(|each| each.end_to_end_duration)),
            state_size: range(completed().map(|each| each.state_size)),
            checkpointed_size: range(completed().map(|each| each.checkpointed_size)),
            alignment_buffered: range(completed().map(|each| each.alignment_buffered)),
        },
        retained: view
            .retained
            .into_iter()
            .map(|kept| retained(&folder, kept))
            .collect(),
        folder,
        history,
    }
}

fn range(numbers: impl Iterator<Item = u64>) -> dto::MinMaxAverage {
    let numbers: Vec<u64> = numbers.collect();
    let sum: u128 = numbers.iter().copied().map(u128::from).sum();
    let average = sum / numbers.len().max(1) as u128;
    dto::MinMaxAverage {
        min: numbers.iter().copied().min().unwrap_or(0),
        max: numbers.iter().copied().max().unwrap_or(0),
        avg: u64::try_from(average).unwrap_or(u64::MAX),
    }
}

fn retained(folder: &str, view: SnapshotRef) -> dto::RetainedCheckpoint {
    dto::RetainedCheckpoint {
        id: view.id.0,
        epoch: view.epoch.0,
        kind: kind(view.kind),
        location: format!("{}/{}", folder.trim_end_matches('/'), view.path),
        completed_timestamp: view.completed_ms,
        operation: view.operation.map(|operation| operation.0),
    }
}

fn kind(kind: SnapshotKind) -> dto::SnapshotKind {
    match kind {
        SnapshotKind::Checkpoint => dto::SnapshotKind::Checkpoint,
        SnapshotKind::Savepoint => dto::SnapshotKind::Savepoint,
    }
}

/// One checkpoint without its subtasks.
pub(crate) fn checkpoint(view: &CheckpointDetails) -> dto::Checkpoint {
    let (status, why) = match &view.state {
        CheckpointState::InProgress => (dto::SnapshotStatus::InProgress, None),
        CheckpointState::Completed => (dto::SnapshotStatus::Completed, None),
        CheckpointState::Failed(why) => (dto::SnapshotStatus::Failed, Some(why)),
    };
    let parts = || view.subtasks.iter().map(|subtask| &subtask.metrics);
    dto::Checkpoint {
        id: view.id.0,
        kind: kind(view.kind),
        status,
        failure_message: why.map(|why| why.reason.clone()),
        failure_kind: why.map(|why| match why.kind {
            FailureKind::Storage => dto::FailureKind::Storage,
            FailureKind::Other => dto::FailureKind::Other,
        }),
        operation: view.operation.as_ref().map(|operation| operation.0.clone()),
        trigger_timestamp: view.triggered_ms,
        end_to_end_duration: u64::try_from(view.duration.as_millis()).unwrap_or(u64::MAX),
        state_size: parts().map(|part| part.full_bytes).sum(),
        checkpointed_size: parts().map(|part| part.written_bytes).sum(),
        alignment_duration: millis(parts().map(|part| part.alignment_us).max().unwrap_or(0)),
        alignment_buffered: parts().map(|part| part.alignment_bytes).sum(),
        sync_duration: millis(parts().map(|part| part.sync_us).max().unwrap_or(0)),
        num_subtasks: view.participants,
        num_acknowledged_subtasks: view.acknowledged,
    }
}

/// One checkpoint with its subtasks, whose vertices' names the job knows.
pub(crate) fn checkpoint_details(
    view: &CheckpointDetails,
    job: &JobDetails,
) -> dto::CheckpointDetails {
    let names = job
        .vertices
        .iter()
        .map(|vertex| (vertex.id, vertex.name.as_str()));
    let names: BTreeMap<VertexId, &str> = names.collect();
    let subtasks = view.subtasks.iter();
    dto::CheckpointDetails {
        checkpoint: checkpoint(view),
        subtasks: subtasks
            .map(|part| subtask(part, names.get(&part.vertex).copied()))
            .collect(),
    }
}

fn subtask(view: &SubtaskCheckpoint, name: Option<&str>) -> dto::SubtaskCheckpoint {
    let part = view.metrics;
    let end_to_end_us = [
        part.start_delay_us,
        part.alignment_us,
        part.sync_us,
        part.async_us,
    ];
    dto::SubtaskCheckpoint {
        vertex_id: view.vertex.to_string(),
        vertex_name: name.map(str::to_owned),
        subtask: view.subtask.0,
        end_to_end_duration: millis(end_to_end_us.into_iter().fold(0, u64::saturating_add)),
        start_delay: millis(part.start_delay_us),
        alignment_duration: millis(part.alignment_us),
        sync_duration: millis(part.sync_us),
        async_duration: millis(part.async_us),
        alignment_buffered: part.alignment_bytes,
        state_size: part.full_bytes,
        checkpointed_size: part.written_bytes,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "2^53 microseconds are 285 years"
)]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}
