//! What several modules' tests need.

use weir_types::{CheckpointId, Epoch, JobId, OperatorId, SubtaskIndex};

use crate::handle::{KeyedHandle, OperatorSubtaskState, Stored};
use crate::metadata::{CheckpointMetadata, OperatorMetadata};
use crate::pointer::SnapshotKind;

/// A snapshot of one operator with one subtask.
pub(crate) fn metadata(
    id: u64,
    kind: SnapshotKind,
    max_parallelism: u32,
    keyed: Vec<KeyedHandle>,
    raw: Stored,
) -> CheckpointMetadata {
    let state = OperatorSubtaskState {
        operator: OperatorId(1),
        keyed,
        operator_state: None,
        raw: Some(raw),
        uncommitted: false,
    };
    CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(id),
        epoch: Epoch(1),
        kind,
        operation: None,
        triggered_ms: 0,
        completed_ms: 0,
        weir_version: String::new(),
        operators: vec![OperatorMetadata {
            operator: OperatorId(1),
            name: "count".to_owned(),
            uid: None,
            parallelism: 1,
            max_parallelism,
            enumerator: None,
            subtasks: vec![(SubtaskIndex(0), state)],
            ended: Vec::new(),
        }],
    }
}
