//! A coordinator's checkpoints as people see them.

use weir_checkpoint::coordinator::{CheckpointStatus, CheckpointView, Coordinator};
use weir_rpc::{CheckpointDetails, CheckpointState, JobCheckpoints, SubtaskCheckpoint};
use weir_types::Timestamp;

/// All but what only the JobMaster knows.
pub(crate) fn of(coordinator: &Coordinator, now: Timestamp) -> JobCheckpoints {
    let history = coordinator.history();
    JobCheckpoints {
        completed: history.completed_count(),
        failed: history.failed_count(),
        retained: coordinator.pointer().retained.clone(),
        history: history
            .checkpoints()
            .rev()
            .map(|view| details(view, now))
            .collect(),
        ..JobCheckpoints::default()
    }
}

fn details(view: &CheckpointView, now: Timestamp) -> CheckpointDetails {
    let state = match &view.status {
        CheckpointStatus::Pending => CheckpointState::InProgress,
        CheckpointStatus::Completed(_) => CheckpointState::Completed,
        CheckpointStatus::Failed { why } => CheckpointState::Failed(why.clone()),
    };
    let subtasks = view.subtasks.iter().map(|subtask| SubtaskCheckpoint {
        vertex: subtask.attempt.vertex,
        subtask: subtask.attempt.subtask,
        metrics: subtask.metrics,
    });
    CheckpointDetails {
        id: view.id,
        kind: view.kind,
        state,
        operation: view.operation.clone(),
        triggered_ms: view.triggered_ms,
        duration: view.duration(now),
        acknowledged: u32::try_from(view.subtasks.len()).unwrap_or(u32::MAX),
        participants: u32::try_from(view.subtasks_total).unwrap_or(u32::MAX),
        subtasks: subtasks.collect(),
    }
}
