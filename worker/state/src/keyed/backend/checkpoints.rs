//! The backend's part in checkpoints: snapshots that begin in an instant and are copied between
//! records.

use weir_types::CheckpointId;

use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::KeyedBackend;
use crate::keyed::restore::Restored;
use crate::snapshot::{GroupBlock, KeyedSnapshot, SnapshotKind, StateSnapshot};
use crate::table::shards::KeyGroups;

/// The snapshot that has begun and is not copied yet.
pub(super) struct Copying {
    checkpoint: CheckpointId,
    pub(super) kind: SnapshotKind,
    /// Restored states that the program asked for since it began: their tables take no part in
    /// it.
    pub(super) claimed: Vec<StateSnapshot>,
}

impl<K: StateKey> KeyedBackend<K> {
    /// Freezes all states as they are now for a snapshot. Takes microseconds. Snapshots are copied
    /// one at a time, and their numbers only grow.
    pub fn snapshot_begin(
        &mut self,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
    ) -> Result<(), StateError> {
        if let Some(running) = self.snapshot_running() {
            return Err(StateError::SnapshotRunning {
                running,
                requested: checkpoint,
            });
        }
        let kind = if self.confirmed.is_none() {
            SnapshotKind::Full
        } else {
            kind
        };
        for state in &mut self.states {
            state.table.begin(checkpoint, kind == SnapshotKind::Full);
        }
        self.copying = Some(Copying {
            checkpoint,
            kind,
            claimed: Vec::new(),
        });
        Ok(())
    }

    /// Copies about `budget` bytes of the snapshot that has begun: its result, if that was the
    /// rest. After an error the snapshot can only be aborted.
    pub fn snapshot_step(
        &mut self,
        mut budget: usize,
    ) -> Result<Option<KeyedSnapshot>, StateError> {
        if self.copying.is_none() {
            return Err(StateError::NoSnapshot);
        }
        for state in &mut self.states {
            let done = state.table.copy_some(&mut budget);
            if !done.map_err(|source| StateError::encode(&state.meta.name, source))? {
                return Ok(None);
            }
        }
        Ok(self.copying.take().map(|copied| self.assemble(copied)))
    }

    fn assemble(&mut self, copied: Copying) -> KeyedSnapshot {
        let Copying {
            checkpoint,
            kind,
            claimed: mut states,
        } = copied;
        for state in &mut self.states {
            let Some(copied) = state.table.finish() else {
                continue;
            };
            let blocks = copied.blocks.into_iter();
            states.push(StateSnapshot {
                meta: state.meta.clone(),
                complete: copied.complete,
                blocks: blocks
                    .map(|(group, bytes)| GroupBlock { group, bytes })
                    .collect(),
            });
        }
        if kind == SnapshotKind::Full {
            states.extend(self.unclaimed.values().map(Restored::to_snapshot));
        }
        states.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        let base = match kind {
            SnapshotKind::Full => None,
            SnapshotKind::Incremental => self.confirmed,
        };
        let KeyGroups {
            max_parallelism,
            range,
        } = self.groups;
        KeyedSnapshot {
            checkpoint,
            base,
            max_parallelism,
            range,
            states,
        }
    }

    /// Copies all that is left of the snapshot that has begun.
    pub fn snapshot_finish(&mut self) -> Result<KeyedSnapshot, StateError> {
        self.snapshot_step(usize::MAX)?
            .ok_or(StateError::NoSnapshot)
    }

    /// The snapshot that is being copied.
    pub fn snapshot_running(&self) -> Option<CheckpointId> {
        self.copying.as_ref().map(|copying| copying.checkpoint)
    }

    /// The checkpoint is complete and stored: later incremental snapshots continue it.
    pub fn confirm(&mut self, checkpoint: CheckpointId) {
        for state in &mut self.states {
            state.table.confirm(checkpoint);
        }
        self.confirmed = self.confirmed.max(Some(checkpoint));
    }

    /// The checkpoint will never be complete. What its snapshot holds is in the next one too.
    pub fn abort(&mut self, checkpoint: CheckpointId) {
        if self.snapshot_running() == Some(checkpoint) {
            self.copying = None;
        }
        for state in &mut self.states {
            state.table.abort(checkpoint);
        }
    }
}
