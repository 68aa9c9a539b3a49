//! What a table knows of the tier below it, and the shards' part in writing to it and in making
//! room: the key groups of a table are written and dropped whole, one after the other in a circle,
//! which costs a table nothing while it is used and gives the memory back at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_types::{CheckpointId, KeyGroup};

use crate::codec::CodecError;
use crate::cold::{ColdStateId, ColdTier, group_prefix};
use crate::error::StateError;
use crate::table::changes::Extent;
use crate::table::shard::{EntryCodec, Shard};
use crate::table::shards::{Block, Shards, TableSnapshot};
use crate::table::state_table::ValueFormat;

/// The place of one state in the tier below.
#[derive(Clone, Debug)]
pub(crate) struct Below {
    pub(crate) tier: Arc<dyn ColdTier>,
    pub(crate) state: ColdStateId,
    pub(crate) name: Arc<str>,
    /// How the values there are written.
    pub(crate) format: ValueFormat,
    pub(crate) room: Room,
}

/// How much is read ahead at a time: some milliseconds' worth. What a chunk needs beyond that is
/// read entry by entry, so that the first records after a restore do not wait for all of the state.
const AHEAD_BYTES: usize = 4 << 20;

/// How much memory may be filled with entries that nobody asked for yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Room(Arc<Bytes>);

#[derive(Debug, Default)]
struct Bytes {
    /// What all tables together may take.
    limit: AtomicUsize,
    all: AtomicUsize,
    /// Until memory is looked at again.
    now: AtomicUsize,
}

impl Room {
    /// `limit` is what all tables together may take, read or not.
    pub(crate) fn set(&self, limit: usize, bytes: usize) {
        self.0.limit.store(limit, Ordering::Relaxed);
        self.0.all.store(bytes, Ordering::Relaxed);
        self.0.now.store(bytes.min(AHEAD_BYTES), Ordering::Relaxed);
    }

    pub(crate) fn limit(&self) -> usize {
        self.0.limit.load(Ordering::Relaxed)
    }

    /// What one more key group may take.
    pub(crate) fn get(&self) -> usize {
        match self.0.now.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.0.all.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn take(&self, bytes: usize) {
        for left in [&self.0.all, &self.0.now] {
            let before = left.load(Ordering::Relaxed);
            left.store(before.saturating_sub(bytes), Ordering::Relaxed);
        }
    }
}

/// Length of the key group at the front of a key.
const PREFIX: usize = 2;

impl Below {
    /// A key of the tier. What is behind its key group is the key as snapshots have it.
    pub(crate) fn key(
        &self,
        group: KeyGroup,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), CodecError>,
    ) -> Result<Vec<u8>, StateError> {
        let mut key = group_prefix(group).to_vec();
        write(&mut key).map_err(|source| StateError::encode(&self.name, source))?;
        Ok(key)
    }

    /// The part of a key that snapshots have.
    pub(crate) fn text(key: &[u8]) -> &[u8] {
        key.get(PREFIX..).unwrap_or_default()
    }

    pub(crate) fn get(
        &self,
        keys: &[&[u8]],
        mut found: impl FnMut(usize, &[u8]) -> Result<(), CodecError>,
    ) -> Result<(), StateError> {
        let read = self.tier.get(self.state, keys, &mut found);
        read.map_err(|source| StateError::cold(&self.name, source))
    }

    /// Visits the entries whose keys begin so, with their keys as snapshots have them.
    pub(crate) fn scan(
        &self,
        prefix: &[u8],
        visit: impl FnMut(&[u8], &[u8]) -> Result<bool, CodecError>,
    ) -> Result<(), StateError> {
        self.scan_from(prefix, prefix, visit)
    }

    /// The same, but for those before `from`.
    pub(crate) fn scan_from(
        &self,
        prefix: &[u8],
        from: &[u8],
        mut visit: impl FnMut(&[u8], &[u8]) -> Result<bool, CodecError>,
    ) -> Result<(), StateError> {
        let mut visit = |key: &[u8], value: &[u8]| visit(Self::text(key), value);
        let read = self.tier.scan(self.state, prefix, from, &mut visit);
        read.map_err(|source| StateError::cold(&self.name, source))
    }
}

/// What the backend asks of the entries of any table, whatever their types: to take part in
/// snapshots, and to lie over a tier.
pub(crate) trait AnyShards {
    /// See [`Shards::begin`].
    fn begin(&mut self, checkpoint: CheckpointId, extent: Extent);
    /// See [`Shards::finish`].
    fn finish(&mut self) -> Option<TableSnapshot>;
    /// See [`Shards::confirm`].
    fn confirm(&mut self, checkpoint: CheckpointId);
    /// See [`Shards::abort`].
    fn abort(&mut self, checkpoint: CheckpointId);
    /// A confirmed snapshot holds the table as it is.
    fn go_on(&mut self);
    /// Puts the tier under the table. `complete`: the table has all the tier has.
    fn lay_over(&mut self, below: Below, complete: bool);
    /// What was frozen and copied, in order, and has not been taken yet.
    fn take_finished(&mut self) -> Vec<Block>;
    /// What was frozen has arrived in the tier.
    fn written(&mut self);
    /// The tier has entries under all keys that are here.
    fn nothing_is_fresh(&mut self);
}

/// Memory that keys and values own beside their slots, estimated from a few of them.
#[derive(Debug, Default)]
pub(crate) struct Owned {
    per_entry: usize,
    /// Where the next one to look at is.
    at: usize,
}

impl Owned {
    pub(crate) fn per_entry(&self) -> usize {
        self.per_entry
    }
}

impl<K: Eq, N: Eq, V> AnyShards for Shards<K, N, V> {
    fn begin(&mut self, checkpoint: CheckpointId, extent: Extent) {
        Shards::begin(self, checkpoint, extent);
    }

    fn finish(&mut self) -> Option<TableSnapshot> {
        Shards::finish(self)
    }

    fn confirm(&mut self, checkpoint: CheckpointId) {
        Shards::confirm(self, checkpoint);
    }

    fn abort(&mut self, checkpoint: CheckpointId) {
        Shards::abort(self, checkpoint);
    }

    fn go_on(&mut self) {
        Shards::go_on(self);
    }

    fn lay_over(&mut self, below: Below, complete: bool) {
        for shard in self.all_mut() {
            shard.lay_over(complete);
        }
        self.below = Some(below);
        self.partial = !complete;
    }

    fn take_finished(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.finished)
    }

    fn written(&mut self) {
        for shard in self.all_mut() {
            if let Some(partial) = shard.partial_mut() {
                partial.written();
            }
        }
    }

    fn nothing_is_fresh(&mut self) {
        for shard in self.all_mut() {
            if let Some(changes) = shard.changes_mut() {
                changes.nothing_is_fresh();
            }
        }
    }
}

impl<K: Eq, N: Eq, V> Shards<K, N, V> {
    /// About what all of it takes.
    pub(crate) fn memory<C: EntryCodec<K, N, V>>(
        &mut self,
        codec_of: impl Fn(usize) -> C,
    ) -> usize {
        if std::mem::needs_drop::<(K, N, V)>() {
            self.estimate(codec_of);
        }
        let finished = self.finished.iter().map(|(_, block)| block.len());
        self.bytes() + self.len() * self.owned.per_entry + finished.sum::<usize>()
    }

    /// Looks at a few entries. What they own is taken to be what they take when they are written.
    fn estimate<C: EntryCodec<K, N, V>>(&mut self, codec_of: impl Fn(usize) -> C) {
        /// What an allocator keeps beside each piece.
        const PIECE_COST: usize = 16;
        /// How many are looked at. The steps are prime, so that all come up.
        const LOOKS: usize = 4;
        let mut text = Vec::new();
        for _ in 0..LOOKS {
            self.owned.at = self.owned.at.wrapping_add(7919);
            let at = self.owned.at % self.groups().range.len().max(1);
            let shard = self.shard(at);
            let slot = (self.owned.at / 31) % shard.slots().max(1);
            let Some((key, namespace, value)) =
                u32::try_from(slot).ok().and_then(|s| shard.entry(s))
            else {
                continue;
            };
            let codec = codec_of(at);
            text.clear();
            let written = codec.key(key, namespace, &mut text);
            if written
                .and_then(|()| codec.value(value, &mut text))
                .is_err()
            {
                continue; // Told when it is to be written.
            }
            let new = text.len() + PIECE_COST;
            let old = self.owned.per_entry;
            self.owned.per_entry = if old == 0 {
                new
            } else {
                (7 * old + new).div_ceil(8)
            };
        }
    }

    /// Writes out what the next key groups in the circle changed, until about so much memory can be
    /// given back with [`Self::evict`]. Returns everything that is to be written before.
    pub(crate) fn spill<C: EntryCodec<K, N, V>>(
        &mut self,
        at_least: usize,
        codec_of: impl Fn(usize) -> C,
    ) -> Result<Vec<Block>, CodecError> {
        let mut freed = 0;
        for _ in 0..self.groups().range.len() {
            if freed >= at_least {
                break;
            }
            let at = self.next_victim;
            self.next_victim = (at + 1) % self.groups().range.len();
            let group = self.groups().group_of_shard(at);
            let owned = self.owned.per_entry;
            let shard = self.shard_mut(at);
            if shard.slots() == 0 && shard.partial_mut().is_none_or(|partial| partial.is_empty()) {
                continue;
            }
            freed += shard.bytes() + shard.len() * owned;
            let block = write_out(shard, &codec_of(at))?;
            if !block.is_empty() {
                self.finished.push((group, block));
            }
            self.victims.push(at);
        }
        Ok(self.take_finished())
    }

    /// Drops the key groups that were spilled; the tier must have them. `also` is told of each.
    pub(crate) fn evict(&mut self, mut also: impl FnMut(usize)) {
        for at in std::mem::take(&mut self.victims) {
            self.partial = true;
            self.shard_mut(at).evict();
            also(at);
        }
    }
}

/// All that changed since it was written last.
fn write_out<K: Eq, N: Eq, V>(
    shard: &mut Shard<K, N, V>,
    codec: &impl EntryCodec<K, N, V>,
) -> Result<Vec<u8>, CodecError> {
    // No snapshot's number: it is settled before anything is confirmed.
    shard.begin(CheckpointId(0), Extent::Unconfirmed);
    shard.copy_some(&mut { usize::MAX }, codec)?;
    let changes = shard.changes_mut().expect("it has just been frozen");
    changes.check()?;
    let block = changes.finish(false);
    changes.settle();
    Ok(block)
}
