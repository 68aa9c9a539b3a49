//! Checkpoints to show in tests.

use weir_rest::dto;

/// Of a job whose first checkpoint failed, with a savepoint under way.
pub(crate) fn checkpoints() -> dto::Checkpoints {
    let completed = dto::Checkpoint {
        id: 12,
        kind: dto::SnapshotKind::Checkpoint,
        status: dto::SnapshotStatus::Completed,
        failure_message: None,
        failure_kind: None,
        operation: None,
        trigger_timestamp: 10_000,
        end_to_end_duration: 520,
        state_size: 3 << 20,
        checkpointed_size: 1536,
        alignment_duration: 12.5,
        alignment_buffered: 4096,
        sync_duration: 0.75,
        num_subtasks: 4,
        num_acknowledged_subtasks: 4,
    };
    let failed = dto::Checkpoint {
        id: 11,
        status: dto::SnapshotStatus::Failed,
        failure_message: Some("write `shared/7`: no space left on device".to_owned()),
        num_acknowledged_subtasks: 3,
        trigger_timestamp: 9_000,
        ..completed.clone()
    };
    let running = dto::Checkpoint {
        id: 13,
        kind: dto::SnapshotKind::Savepoint,
        status: dto::SnapshotStatus::InProgress,
        operation: Some("before-upgrade".to_owned()),
        trigger_timestamp: 11_000,
        num_acknowledged_subtasks: 1,
        ..completed.clone()
    };
    dto::Checkpoints {
        folder: "/state/wordcount".to_owned(),
        counts: dto::CheckpointCounts {
            in_progress: 1,
            completed: 1,
            failed: 1,
        },
        restored: Some(10),
        summary: dto::CheckpointSummaries::default(),
        retained: vec![dto::RetainedCheckpoint {
            id: 12,
            epoch: 3,
            kind: dto::SnapshotKind::Checkpoint,
            location: "/state/wordcount/chk-3-12".to_owned(),
            completed_timestamp: 10_520,
            operation: None,
        }],
        history: vec![running, completed, failed],
    }
}
