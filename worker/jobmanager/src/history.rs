//! A coordinator's checkpoints as people see them.

use weir_checkpoint::coordinator::{CheckpointStatus, CheckpointView, Coordinator};
use weir_rpc::{CheckpointDetails, CheckpointState, JobCheckpoints, SubtaskCheckpoint};

/// All but what only the JobMaster knows.
pub(crate) fn of(coordinator: &Coordinator, now_ms: i64) -> JobCheckpoints {
    let history = coordinator.history();
    JobCheckpoints {
        completed: history.completed_count(),
        failed: history.failed_count(),
        retained: coordinator.pointer().retained.clone(),
        history: history
            .checkpoints()
            .rev()
            .map(|view| details(view, now_ms))
            .collect(),
        ..JobCheckpoints::default()
    }
}

fn details(view: &CheckpointView, now_ms: i64) -> CheckpointDetails {
    let (state, until_ms) = match &view.status {
        CheckpointStatus::Pending => (CheckpointState::InProgress, now_ms),
        CheckpointStatus::Completed(snapshot) => {
            (CheckpointState::Completed, snapshot.completed_ms)
        }
        CheckpointStatus::Failed { why, at_ms } => (CheckpointState::Failed(why.clone()), *at_ms),
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
        duration_ms: u64::try_from(until_ms.saturating_sub(view.triggered_ms)).unwrap_or(0),
        acknowledged: u32::try_from(view.subtasks.len()).unwrap_or(u32::MAX),
        participants: u32::try_from(view.subtasks_total).unwrap_or(u32::MAX),
        subtasks: subtasks.collect(),
    }
}
