//! The backend's part in checkpoints: snapshots that begin in an instant and are copied between
//! records.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use weir_types::CheckpointId;

use crate::cold::{ColdSnapshot, ColdSnapshotKind, ColdStateId, FileSnapshot};
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::KeyedBackend;
use crate::keyed::restore::Restored;
use crate::snapshot::{
    GroupBlock, KeyedSnapshot, SnapshotKind, StateMeta, StateSnapshot, TakenSnapshot,
};
use crate::spilled::{SpillFile, Spilled, SpilledBlock, SpilledState};
use crate::table::changes::Extent;
use crate::table::shards::{Block, KeyGroups};

/// The snapshot that has begun and is not copied yet.
pub(super) struct Copying {
    checkpoint: CheckpointId,
    pub(super) kind: SnapshotKind,
    /// It continues what was written ahead for its checkpoint.
    continues: bool,
    /// It is written ahead: the snapshot of the same checkpoint is to continue it, or has most of
    /// it in its files.
    ahead: bool,
    /// Restored states that the program asked for since it began: their tables take no part in
    /// it.
    pub(super) claimed: Vec<StateSnapshot>,
    /// With a tier below: what the tier is to be asked for.
    below: Option<CopyingBelow>,
}

struct CopyingBelow {
    /// The states when it began.
    metas: Vec<(StateMeta, ColdStateId)>,
    /// The tier has all of it and was asked.
    asked: bool,
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
        let mut extent = Extent::Unconfirmed;
        if let Some(ahead) = self.ahead.take() {
            if ahead == checkpoint && kind == SnapshotKind::Incremental {
                extent = Extent::Since;
            } else {
                self.abort(ahead);
            }
        }
        let kind = match (kind, &self.cold, self.confirmed) {
            // What lies in memory only is in no file.
            (SnapshotKind::Files, Some(_), _) if self.unclaimed.is_empty() => SnapshotKind::Files,
            (SnapshotKind::Full, ..) | (_, Some(_), _) | (.., None) => SnapshotKind::Full,
            (SnapshotKind::Incremental | SnapshotKind::Files, None, Some(_)) => {
                SnapshotKind::Incremental
            }
        };
        if kind == SnapshotKind::Full {
            extent = Extent::All;
        }
        self.expire_below();
        for state in &mut self.states {
            state.table.shards().begin(checkpoint, extent);
        }
        let below = self.cold.as_ref().map(|cold| {
            let states = self.states.iter();
            let states = states.filter_map(|state| Some((state.meta.clone(), state.below?)));
            let metas = states.chain(cold.unclaimed.values().cloned());
            CopyingBelow {
                metas: metas.collect(),
                asked: false,
            }
        });
        self.copying = Some(Copying {
            checkpoint,
            kind,
            continues: extent == Extent::Since,
            ahead: false,
            claimed: Vec::new(),
            below,
        });
        Ok(())
    }

    /// Freezes what has changed, some time before a checkpoint that is expected: a delta that is
    /// not the checkpoint's, but what the checkpoint's own delta continues, which so is small. It
    /// is copied like a snapshot, and there may be several, one behind the other. If another
    /// checkpoint comes instead, or one that is not to be a delta, all of it counts as changed and
    /// not written.
    ///
    /// Of a tier below it is a snapshot of its files, of which the checkpoint's own has most.
    ///
    /// False, and nothing is frozen: it would have nothing to continue, or it would be everything.
    pub fn snapshot_ahead(
        &mut self,
        checkpoint: CheckpointId,
        kind: SnapshotKind,
    ) -> Result<bool, StateError> {
        let can = match kind {
            SnapshotKind::Full => false,
            SnapshotKind::Incremental => self.cold.is_none() && self.confirmed.is_some(),
            SnapshotKind::Files => self.cold.is_some() && self.unclaimed.is_empty(),
        };
        if !can {
            return Ok(false);
        }
        self.snapshot_begin(checkpoint, kind)?;
        if let Some(copying) = &mut self.copying {
            copying.ahead = true;
        }
        Ok(true)
    }

    /// So many bytes the next one of these stores beside what changes until then.
    pub fn ahead_extra_bytes(&self) -> usize {
        let tier = self.cold.as_ref().map(|cold| &cold.setup.tier);
        tier.map_or(0, |tier| tier.ahead_extra_bytes())
    }

    /// Copies about `budget` bytes of the snapshot that has begun: its result, if that was the
    /// rest. With `usize::MAX` it always is. After an error the snapshot can only be aborted.
    pub fn snapshot_poll(
        &mut self,
        mut budget: usize,
    ) -> Result<Option<TakenSnapshot>, StateError> {
        let Some(copying) = &self.copying else {
            return Err(StateError::NoSnapshot);
        };
        if copying.below.is_some() {
            return self.poll_tier(budget);
        }
        for state in &mut self.states {
            let done = state.table.copy_some(&mut budget);
            if !done.map_err(|source| StateError::encode(&state.meta.name, source))? {
                return Ok(None);
            }
        }
        let copied = self.copying.take();
        Ok(copied.map(|copied| TakenSnapshot::Entries(self.assemble(copied))))
    }

    /// [`Self::snapshot_poll`] of a snapshot that was not begun as one of files. All of it is in
    /// memory then, whatever a tier would have spared.
    pub fn snapshot_step(&mut self, budget: usize) -> Result<Option<KeyedSnapshot>, StateError> {
        match self.snapshot_poll(budget)? {
            None => Ok(None),
            Some(TakenSnapshot::Entries(snapshot)) => Ok(Some(snapshot)),
            Some(TakenSnapshot::Files(files)) => {
                let read = files.read_spilled();
                let read = read.map_err(|source| StateError::cold("*", source))?;
                read.map(Some).ok_or(StateError::NoSnapshot)
            }
        }
    }

    fn assemble(&mut self, copied: Copying) -> KeyedSnapshot {
        let Copying {
            checkpoint,
            kind,
            continues,
            ahead,
            claimed: mut states,
            ..
        } = copied;
        self.ahead = ahead.then_some(checkpoint);
        for state in &mut self.states {
            let Some(copied) = state.table.shards().finish() else {
                continue;
            };
            states.push(entries_of(
                state.meta.clone(),
                copied.complete,
                copied.blocks,
            ));
        }
        if kind == SnapshotKind::Full {
            states.extend(self.unclaimed.values().flat_map(Restored::to_snapshot));
        }
        let base = match kind {
            SnapshotKind::Full | SnapshotKind::Files => None,
            SnapshotKind::Incremental if continues => Some(checkpoint),
            SnapshotKind::Incremental => self.confirmed,
        };
        self.snapshot_of(checkpoint, base, states)
    }

    fn snapshot_of(
        &self,
        checkpoint: CheckpointId,
        base: Option<CheckpointId>,
        mut states: Vec<StateSnapshot>,
    ) -> KeyedSnapshot {
        states.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
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

    /// Hands to the tier what the snapshot has frozen, and asks for a snapshot behind it. False if
    /// the budget did not last or the tier is behind.
    pub(super) fn copy_to_tier(&mut self, mut budget: usize) -> Result<bool, StateError> {
        let (Some(copying), Some(cold)) = (&mut self.copying, &self.cold) else {
            return Ok(true);
        };
        let Some(below) = copying.below.as_mut().filter(|below| !below.asked) else {
            return Ok(true);
        };
        let tier = &cold.setup.tier;
        let all = budget == usize::MAX;
        let most_pending = cold.setup.memory.bytes() / 8;
        for state in &mut self.states {
            let Some(id) = state.below else { continue };
            let name = &state.meta.name;
            if !all && tier.pending_bytes() > most_pending {
                // The tier may wait for more: the share of the memory was larger once.
                let soon = tier.write_soon();
                soon.map_err(|source| StateError::cold(name, source))?;
                return Ok(false);
            }
            let done = state.table.copy_some(&mut budget);
            let done = done.map_err(|source| StateError::encode(name, source))?;
            cold.write(name, id, state.table.shards().take_finished())?;
            if !done {
                return Ok(false);
            }
        }
        for state in &mut self.states {
            state.table.shards().finish();
        }
        let kind = match copying.kind {
            SnapshotKind::Files => ColdSnapshotKind::Files {
                ahead: copying.ahead,
            },
            SnapshotKind::Full | SnapshotKind::Incremental => ColdSnapshotKind::Blocks,
        };
        below.asked = true;
        let asked = tier.snapshot_begin(copying.checkpoint, kind);
        asked.map_err(|source| StateError::cold("*", source))?;
        Ok(true)
    }

    fn poll_tier(&mut self, budget: usize) -> Result<Option<TakenSnapshot>, StateError> {
        if !self.copy_to_tier(budget)? {
            return Ok(None);
        }
        let Some(cold) = &self.cold else {
            return Err(StateError::NoSnapshot);
        };
        let taken = cold.setup.tier.snapshot_take(budget == usize::MAX);
        let Some(taken) = taken.map_err(|source| StateError::cold("*", source))? else {
            return Ok(None);
        };
        // Otherwise what was removed is still to be remembered.
        if taken.is_readable() {
            for state in &mut self.states {
                state.table.shards().written();
            }
        }
        let Some(Copying {
            checkpoint,
            claimed,
            below: Some(below),
            ..
        }) = self.copying.take()
        else {
            return Err(StateError::NoSnapshot);
        };
        let metas = below.metas;
        Ok(Some(match taken {
            ColdSnapshot::Files { folder, files, .. } => TakenSnapshot::Files(FileSnapshot {
                checkpoint,
                max_parallelism: self.groups.max_parallelism,
                range: self.groups.range,
                states: metas.into_iter().map(|(meta, _)| meta).collect(),
                folder,
                files,
                spilled: None,
            }),
            ColdSnapshot::Blocks(blocks) => {
                let mut blocks: BTreeMap<_, _> = blocks.into_iter().collect();
                let states = metas.into_iter().map(|(meta, id)| StateSnapshot {
                    meta,
                    complete: true,
                    blocks: blocks.remove(&id).unwrap_or_default(),
                });
                let states = states.chain(self.in_no_tier(claimed));
                TakenSnapshot::Entries(self.snapshot_of(checkpoint, None, states.collect()))
            }
            ColdSnapshot::Spilled { file, states } => {
                let states = spilled_states(metas, states);
                let others = self.in_no_tier(claimed).map(SpilledState::from);
                let states = states.chain(others).collect();
                TakenSnapshot::Files(self.spilled_snapshot_of(checkpoint, file, states))
            }
        }))
    }

    /// Restored states that are in memory, and so in the snapshot beside what the tier gives.
    fn in_no_tier(&self, claimed: Vec<StateSnapshot>) -> impl Iterator<Item = StateSnapshot> {
        let unclaimed = self.unclaimed.values().flat_map(Restored::to_snapshot);
        claimed.into_iter().chain(unclaimed)
    }

    fn spilled_snapshot_of(
        &self,
        checkpoint: CheckpointId,
        file: Arc<dyn SpillFile>,
        mut states: Vec<SpilledState>,
    ) -> FileSnapshot {
        states.sort_by(|a, b| a.meta.name.cmp(&b.meta.name));
        FileSnapshot {
            checkpoint,
            max_parallelism: self.groups.max_parallelism,
            range: self.groups.range,
            states: states.iter().map(|state| state.meta.clone()).collect(),
            folder: PathBuf::new(),
            files: Vec::new(),
            spilled: Some(Arc::new(Spilled { file, states })),
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

    /// Whether all that is left of it is the tier's work.
    pub fn snapshot_waits(&self) -> bool {
        let below = self.copying.as_ref().and_then(|it| it.below.as_ref());
        below.is_some_and(|below| below.asked)
    }

    /// The checkpoint is complete and stored: later incremental snapshots continue it.
    pub fn confirm(&mut self, checkpoint: CheckpointId) {
        self.ahead.take_if(|ahead| *ahead <= checkpoint);
        for state in &mut self.states {
            state.table.shards().confirm(checkpoint);
        }
        match &self.cold {
            Some(cold) => cold.setup.tier.confirm(checkpoint),
            None => self.confirmed = self.confirmed.max(Some(checkpoint)),
        }
    }

    /// The checkpoint will never be complete. What its snapshot holds is in the next one too.
    pub fn abort(&mut self, checkpoint: CheckpointId) {
        self.ahead.take_if(|ahead| *ahead == checkpoint);
        if self.snapshot_running() == Some(checkpoint) {
            self.copying = None;
        }
        for state in &mut self.states {
            state.table.shards().abort(checkpoint);
        }
        if let Some(cold) = &self.cold {
            cold.setup.tier.abort(checkpoint);
        }
    }
}

/// All states of a tier with what it has of them.
fn spilled_states(
    metas: Vec<(StateMeta, ColdStateId)>,
    blocks: Vec<(ColdStateId, Vec<SpilledBlock>)>,
) -> impl Iterator<Item = SpilledState> {
    let mut blocks: BTreeMap<_, _> = blocks.into_iter().collect();
    metas.into_iter().map(move |(meta, id)| SpilledState {
        meta,
        complete: true,
        blocks: blocks.remove(&id).unwrap_or_default(),
    })
}

fn entries_of(meta: StateMeta, complete: bool, blocks: Vec<Block>) -> StateSnapshot {
    let blocks = blocks.into_iter();
    StateSnapshot {
        meta,
        complete,
        blocks: blocks
            .map(|(group, bytes)| GroupBlock { group, bytes })
            .collect(),
    }
}
