//! The backend's part in keeping state on a tier below the tables: what lies there from a restore,
//! and making room when the tables take more than their share of memory.
//!
//! Room is made between two uses of the state, never during one. The subtask then waits for its
//! local disk: what changed in some key groups is written, and they are dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_types::KeyGroupRange;

use crate::cold::{
    BackendRequest, ColdBatch, ColdError, ColdSetup, ColdStateId, ColdStats, ColdTier,
    StateBackendFactory, append_entry, group_prefix,
};
use crate::error::StateError;
use crate::key::StateKey;
use crate::keyed::backend::{KeyedBackend, State};
use crate::keyed::restore;
use crate::schema::{Change, ValueType};
use crate::snapshot::{GroupBlock, KeyedSnapshot, StateMeta};
use crate::table::below::{Below, Room};
use crate::table::record::append_removal;
use crate::table::shards::Block;
use crate::table::state_table::ValueFormat;

/// The tier, as its backend sees it.
pub(super) struct Cold {
    pub(super) setup: ColdSetup,
    room: Room,
    /// Restored states that the program has not asked for yet.
    pub(super) unclaimed: BTreeMap<String, (StateMeta, ColdStateId)>,
    /// Uses of the state since memory was looked at.
    uses: u32,
    /// What was left when room was made last.
    left: usize,
}

/// A use of the state that touches many entries.
pub(super) const CHUNK_USES: u32 = 256;

impl Cold {
    fn new(setup: ColdSetup) -> Self {
        let restored = setup.tier.restored().into_iter();
        let unclaimed = restored.map(|(meta, id)| (meta.name.clone(), (meta, id)));
        let room = Room::default();
        let limit = setup.memory.bytes();
        room.set(limit, limit / 2);
        Self {
            unclaimed: unclaimed.collect(),
            setup,
            room,
            uses: 0,
            left: 0,
        }
    }

    pub(super) fn write(
        &self,
        name: &str,
        state: ColdStateId,
        blocks: Vec<Block>,
    ) -> Result<(), StateError> {
        if blocks.is_empty() {
            return Ok(());
        }
        let blocks = blocks.into_iter();
        let blocks = blocks.map(|(group, bytes)| GroupBlock { group, bytes });
        self.write_blocks(name, state, blocks.collect())
    }

    fn write_blocks(
        &self,
        name: &str,
        state: ColdStateId,
        blocks: Vec<GroupBlock>,
    ) -> Result<(), StateError> {
        let written = self.setup.tier.write(ColdBatch { state, blocks });
        written.map_err(|source| StateError::cold(name, source))
    }

    pub(super) fn flush(&self) -> Result<(), StateError> {
        let flushed = self.setup.tier.flush();
        flushed.map_err(|source| StateError::cold("*", source))
    }
}

impl<K: StateKey> KeyedBackend<K> {
    /// A backend over what a [`crate::StateBackendFactory`] gave, with the state that snapshots
    /// hold, as [`Self::restored`] takes them.
    pub fn open(
        max_parallelism: u32,
        range: KeyGroupRange,
        snapshots: Vec<KeyedSnapshot>,
        setup: Option<ColdSetup>,
    ) -> Result<Self, StateError> {
        let mut backend = if snapshots.is_empty() {
            Self::new(max_parallelism, range)
        } else {
            Self::restored(max_parallelism, range, snapshots)?
        };
        if let Some(setup) = setup {
            backend.lay_over(setup)?;
        }
        Ok(backend)
    }

    /// A backend over what the factory gives for the request, with the state that the request's
    /// files and the snapshots hold. They may be of different subtasks, but of no key group twice.
    pub fn open_on(
        factory: &dyn StateBackendFactory,
        request: &BackendRequest,
        snapshots: Vec<KeyedSnapshot>,
    ) -> Result<Self, StateError> {
        let cold = |source| StateError::cold("*", source);
        let files = &request.files;
        let mut backend = Self::new(request.max_parallelism, request.key_groups);
        let setup = factory.open(request).map_err(cold)?;
        let read = match &setup {
            None if !files.is_empty() => {
                let read = factory.read_files(request).map_err(cold)?;
                read.ok_or_else(|| cold(ColdError::NoTier))?
            }
            _ => Vec::new(),
        };
        if !snapshots.is_empty() || !files.is_empty() {
            let ranges = files.iter().map(|files| (files.range, files.checkpoint));
            let elsewhere = restore::Elsewhere {
                ranges: ranges.collect(),
                read,
            };
            backend.take_over(snapshots, elsewhere)?;
        }
        if let Some(setup) = setup {
            backend.lay_over(setup)?;
        }
        Ok(backend)
    }

    /// Puts the tier under the backend, and into the tier what was restored from snapshots.
    fn lay_over(&mut self, setup: ColdSetup) -> Result<(), StateError> {
        let mut cold = Cold::new(setup);
        // A tier's snapshots stand for themselves.
        (self.confirmed, self.continues) = (None, false);
        for (name, restored) in std::mem::take(&mut self.unclaimed) {
            // State in two encodings stays in memory until the program says what it is.
            let in_tier = cold.unclaimed.get(&name).map(|(meta, _)| meta);
            if !restored.is_all(in_tier) {
                self.unclaimed.insert(name, restored);
                continue;
            }
            match restored.into_only() {
                Ok((meta, blocks)) => {
                    let id = cold.setup.tier.open_state(&meta);
                    let id = id.map_err(|source| StateError::cold(&name, source))?;
                    cold.write_blocks(&name, id, blocks)?;
                    cold.unclaimed.insert(name, (meta, id));
                }
                Err(restored) => {
                    self.unclaimed.insert(name, restored);
                }
            }
        }
        cold.flush()?;
        self.cold = Some(Box::new(cold));
        Ok(())
    }

    /// Whether a snapshot of files can be had, see [`crate::SnapshotKind::Files`].
    pub fn has_tier(&self) -> bool {
        self.cold.is_some()
    }

    /// The tier below, if there is one.
    pub fn tier(&self) -> Option<&Arc<dyn ColdTier>> {
        self.cold.as_ref().map(|cold| &cold.setup.tier)
    }

    /// Figures of the tier below, if there is one.
    pub fn cold_stats(&self) -> Option<ColdStats> {
        self.cold.as_ref().map(|cold| cold.setup.tier.stats())
    }

    /// About how much memory the tables take, with what keys and values own.
    pub fn memory_bytes(&mut self) -> usize {
        let states = self.states.iter_mut();
        states.map(|state| state.table.memory()).sum()
    }

    /// To be called before the state is used, so often.
    #[inline]
    pub(super) fn make_room(&mut self, uses: u32) -> Result<(), StateError> {
        match &mut self.cold {
            None if self.unread => self.read_some(uses),
            None => Ok(()),
            Some(cold) => {
                cold.uses += uses;
                let limit = cold.setup.memory.bytes();
                if (cold.uses as usize) < (limit / 4096).clamp(1, CHUNK_USES as usize) {
                    return Ok(());
                }
                cold.uses = 0;
                self.relieve(limit)
            }
        }
    }

    fn relieve(&mut self, limit: usize) -> Result<(), StateError> {
        let tables = self.memory_bytes();
        let Some(cold) = &mut self.cold else {
            return Ok(());
        };
        let used = tables + cold.setup.tier.memory_bytes();
        cold.room.set(limit, (limit / 2).saturating_sub(used));
        if used <= limit {
            cold.left = 0;
            return Ok(());
        }
        // What cannot be dropped may take more than the limit: then the rest may grow by a quarter
        // before it is dropped again, or each few uses would wait for the disk.
        let most = if cold.left > limit {
            cold.left.saturating_add(limit / 4)
        } else {
            limit
        };
        if used <= most {
            return Ok(());
        }
        // What a snapshot has frozen must be written before anything newer.
        self.copy_to_tier(usize::MAX)?;
        let taken = self.flush_tier()?;
        let target = (limit - limit / 8).saturating_sub(taken).max(limit / 4);
        let mut tried = vec![false; self.states.len()];
        loop {
            let mut total = 0;
            let mut largest: Option<(usize, usize)> = None;
            for (nth, state) in self.states.iter_mut().enumerate() {
                let bytes = state.table.memory();
                total += bytes;
                if !tried[nth] && largest.is_none_or(|(_, most)| bytes > most) {
                    largest = Some((nth, bytes));
                }
            }
            let (Some((nth, bytes)), Some(cold)) = (largest, &self.cold) else {
                break;
            };
            // What cannot be dropped may take more than the limit: then the rest keeps a little, so
            // that it is not read back for each record.
            if total <= target || bytes <= limit / 16 {
                break;
            }
            tried[nth] = true;
            let State {
                meta, table, below, ..
            } = &mut self.states[nth];
            let Some(id) = *below else { continue };
            let blocks = table.spill(total - target);
            let blocks = blocks.map_err(|source| StateError::encode(&meta.name, source))?;
            cold.write(&meta.name, id, blocks)?;
            cold.flush()?;
            table.evict();
        }
        let tables = self.memory_bytes();
        if let Some(cold) = &mut self.cold {
            cold.left = tables + cold.setup.tier.memory_bytes();
        }
        Ok(())
    }

    /// Tells the tier which values have expired, so that those go that nobody asks for.
    pub(super) fn expire_below(&self) {
        let Some(cold) = &self.cold else {
            return;
        };
        for state in &self.states {
            if let (Some(ttl), Some(id)) = (state.ttl, state.below) {
                let until_ms = ttl.expired_at(self.now_ms);
                cold.setup.tier.expire(id, &state.meta, until_ms);
            }
        }
    }

    /// Waits until the tier has written everything; what memory it takes then.
    fn flush_tier(&self) -> Result<usize, StateError> {
        match &self.cold {
            Some(cold) => cold.flush().map(|()| cold.setup.tier.memory_bytes()),
            None => Ok(0),
        }
    }

    /// Puts the tier under a state that was just registered, with what the tier has of it.
    pub(super) fn lay_over_tier(
        &mut self,
        nth: usize,
        values: ValueType,
    ) -> Result<(), StateError> {
        let Some(cold) = &mut self.cold else {
            return Ok(());
        };
        let State {
            meta, table, below, ..
        } = &mut self.states[nth];
        let was = cold.unclaimed.get(&meta.name).map(|(was, _)| was.clone());
        let change = match &was {
            Some(was) => restore::change(was, meta, values)?,
            None => Change::None,
        };
        let id = cold.setup.tier.open_state(meta);
        let id = id.map_err(|source| StateError::cold(&meta.name, source))?;
        *below = Some(id);
        let as_it_is = was.as_ref().is_some_and(|was| {
            change == Change::None
                && was.timed == meta.timed
                && was.format_version == meta.format_version
        });
        let below = Below {
            tier: Arc::clone(&cold.setup.tier),
            state: id,
            name: Arc::from(meta.name.as_str()),
            format: ValueFormat {
                version: meta.format_version,
                timed: meta.timed,
                now_ms: self.now_ms,
            },
            room: cold.room.clone(),
        };
        cold.unclaimed.remove(&meta.name);
        table.lay_over(below.clone(), !as_it_is);
        match was {
            Some(was) if !as_it_is => self.read_all(nth, &below, (&was, change), values),
            _ => Ok(()),
        }
    }

    /// Reads all that the tier has of a state, because it has to be rewritten.
    fn read_all(
        &mut self,
        nth: usize,
        below: &Below,
        (was, change): (&StateMeta, Change),
        values: ValueType,
    ) -> Result<(), StateError> {
        // A snapshot that has begun shows it as it was.
        self.copy_to_tier(usize::MAX)?;
        let format = ValueFormat {
            version: was.format_version,
            timed: was.timed,
            now_ms: self.now_ms,
        };
        // Otherwise what is written overwrites what was.
        let other_keys = was.format_version != self.states[nth].meta.format_version;
        for group in self.groups.range.iter() {
            let (mut block, mut removals) = (Vec::new(), Vec::new());
            below.scan(&group_prefix(group), |key, value| {
                append_entry(key, value, &mut block);
                if other_keys {
                    append_removal(&mut removals, key);
                }
                Ok(true)
            })?;
            if other_keys && let Some(cold) = &self.cold {
                cold.write(&below.name, below.state, vec![(group, removals)])?;
            }
            let State { meta, table, .. } = &mut self.states[nth];
            let decode = |source| StateError::decode(&meta.name, source);
            if change == Change::Rewrite {
                block = restore::rewrite(&block, was, values).map_err(decode)?;
            }
            table.restore(group, &block, format).map_err(decode)?;
            table.shards().nothing_is_fresh();
            self.make_room(CHUNK_USES)?;
        }
        Ok(())
    }
}
