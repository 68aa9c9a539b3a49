//! What several modules' tests need: a fingerprint, and checkpoints of one operator with one
//! subtask.

use weir_checkpoint::handle::{KeyedHandle, ObjectRef, OperatorSubtaskState, Stored};
use weir_checkpoint::metadata::{CheckpointMetadata, OperatorMetadata};
use weir_checkpoint::pointer::SnapshotKind;
use weir_graph::{Fingerprint, PartHash};
use weir_types::{CheckpointId, Epoch, JobId, KeyGroupRange, OperatorId, SubtaskIndex, hash128};

/// What all processes of a job have built.
pub(crate) fn fingerprint() -> Fingerprint {
    let part = PartHash(1);
    Fingerprint {
        graph: part,
        args: part,
        config: part,
        executable: part,
    }
}

/// Keyed state in an object that holds the checkpoint's number.
pub(crate) fn keyed(path: String, id: u64) -> KeyedHandle {
    KeyedHandle {
        stored: Stored::Object(ObjectRef {
            path,
            size: 8,
            checksum: hash128(&id.to_le_bytes()),
        }),
        checkpoint: CheckpointId(id),
        base: None,
        range: KeyGroupRange { start: 0, end: 0 },
        max_parallelism: 1,
        states: Vec::new(),
    }
}

/// A checkpoint that refers to these objects.
pub(crate) fn checkpoint(epoch: Epoch, id: u64, keyed: Vec<KeyedHandle>) -> CheckpointMetadata {
    let state = OperatorSubtaskState {
        operator: OperatorId(1),
        keyed,
        operator_state: None,
        raw: None,
        uncommitted: false,
    };
    CheckpointMetadata {
        state_id: JobId(1),
        id: CheckpointId(id),
        epoch,
        kind: SnapshotKind::Checkpoint,
        operation: None,
        triggered_ms: 0,
        completed_ms: 0,
        weir_version: String::new(),
        operators: vec![OperatorMetadata {
            operator: OperatorId(1),
            name: String::new(),
            uid: None,
            parallelism: 1,
            max_parallelism: 1,
            enumerator: None,
            subtasks: vec![(SubtaskIndex(0), state)],
            ended: Vec::new(),
        }],
    }
}
