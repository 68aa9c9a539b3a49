//! One shard per key group of a subtask's range, and the copy of their snapshot, which goes
//! through them one after the other.

use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use crate::codec::CodecError;
use crate::error::StateError;
use crate::table::below::{Below, Owned};
use crate::table::changes::{Changes, Extent};
use crate::table::shard::{EntryCodec, Shard};

/// How keys are spread over key groups, and which of these are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyGroups {
    pub(crate) max_parallelism: u32,
    pub(crate) range: KeyGroupRange,
}

impl KeyGroups {
    /// The key group of a key's hash, and which shard that is. The shard may not exist.
    #[inline]
    pub(crate) fn locate(self, hash: u64) -> (KeyGroup, usize) {
        let group = KeyGroup::of_hash(hash, self.max_parallelism);
        (group, usize::from(group.0.wrapping_sub(self.range.start)))
    }

    /// The shard of a key's hash.
    #[inline]
    pub(crate) fn shard_of(self, hash: u64) -> Result<usize, StateError> {
        let (group, shard) = self.locate(hash);
        if shard < self.range.len() {
            Ok(shard)
        } else {
            Err(self.foreign(group))
        }
    }

    /// The key group of a shard.
    pub(crate) fn group_of_shard(self, shard: usize) -> KeyGroup {
        let offset = u16::try_from(shard).expect("a shard per key group");
        KeyGroup(self.range.start + offset)
    }

    #[cold]
    fn foreign(self, group: KeyGroup) -> StateError {
        StateError::ForeignKeyGroup {
            group,
            range: self.range,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shards<K, N, V> {
    shards: Vec<Shard<K, N, V>>,
    groups: KeyGroups,
    /// A confirmed snapshot holds the state, so that a delta makes sense.
    has_base: bool,
    /// Snapshots that began and are neither confirmed nor aborted.
    begun: Vec<CheckpointId>,
    copying: Option<Copying>,
    /// The tier that takes what memory has no room for.
    pub(crate) below: Option<Below>,
    /// Some shards are not complete: the tier may have more, or it was restored and not read yet.
    pub(crate) partial: bool,
    /// Of a table with a tier below: copied blocks that it was not given yet.
    pub(crate) finished: Vec<Block>,
    /// Shards that were spilled and are about to be dropped.
    pub(crate) victims: Vec<usize>,
    pub(crate) next_victim: usize,
    pub(crate) owned: Owned,
}

/// Where the copy of a snapshot stands.
#[derive(Debug)]
struct Copying {
    checkpoint: CheckpointId,
    complete: bool,
    next_shard: usize,
    blocks: Vec<Block>,
}

/// The records of one key group.
pub(crate) type Block = (KeyGroup, Vec<u8>);

/// What a table gives to a snapshot.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TableSnapshot {
    /// Whether it stands for itself; otherwise it is what changed since the confirmed snapshot.
    pub(crate) complete: bool,
    /// Not empty, in order of their key groups.
    pub(crate) blocks: Vec<Block>,
}

impl<K: Eq, N: Eq, V> Shards<K, N, V> {
    pub(crate) fn new(groups: KeyGroups) -> Self {
        let shards = groups.range.iter().map(|_| Shard::default()).collect();
        Self {
            shards,
            groups,
            has_base: false,
            begun: Vec::new(),
            copying: None,
            below: None,
            partial: false,
            finished: Vec::new(),
            victims: Vec::new(),
            next_victim: 0,
            owned: Owned::default(),
        }
    }

    /// A shard that is not complete, and what is below it.
    pub(crate) fn over(&mut self, shard: usize) -> (&mut Shard<K, N, V>, &Below) {
        let below = self.below.as_ref();
        let below = below.expect("only shards over a tier are ever incomplete");
        (&mut self.shards[shard], below)
    }

    pub(crate) fn all_mut(&mut self) -> std::slice::IterMut<'_, Shard<K, N, V>> {
        self.shards.iter_mut()
    }

    pub(crate) fn groups(&self) -> KeyGroups {
        self.groups
    }

    #[inline]
    pub(crate) fn shard(&self, shard: usize) -> &Shard<K, N, V> {
        &self.shards[shard]
    }

    #[inline]
    pub(crate) fn shard_mut(&mut self, shard: usize) -> &mut Shard<K, N, V> {
        &mut self.shards[shard]
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Shard<K, N, V>> {
        self.shards.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// Freezes the table. Of one that is newer than the part before, [`Extent::Since`] is all.
    pub(crate) fn begin(&mut self, checkpoint: CheckpointId, extent: Extent) {
        // A tier below has every change from the moment it was copied.
        let always = self.below.is_some();
        if !always && self.removed_bytes() > self.shards.iter().map(Shard::entry_bytes).sum() {
            // Snapshots keep being aborted. To write everything is cheaper than to remember more
            // removals than there are entries. A confirmation of an earlier one comes too late.
            self.has_base = false;
            self.begun.clear();
            self.changes().for_each(Changes::forget);
        }
        let complete = !always && (extent == Extent::All || !self.has_base);
        let extent = match (complete, always) {
            (true, _) => Extent::All,
            (false, true) => Extent::Unconfirmed,
            (false, false) => extent,
        };
        for shard in &mut self.shards {
            shard.begin(checkpoint, extent);
        }
        if !always {
            self.begun.push(checkpoint);
        }
        self.copying = Some(Copying {
            checkpoint,
            complete,
            next_shard: 0,
            blocks: Vec::new(),
        });
    }

    /// Copies more of the snapshot, until the budget is used up. True if nothing is left.
    /// `codec_of` gives the codec of a shard.
    pub(crate) fn copy_some<C: EntryCodec<K, N, V>>(
        &mut self,
        budget: &mut usize,
        codec_of: impl Fn(usize) -> C,
    ) -> Result<bool, CodecError> {
        let Some(copying) = &mut self.copying else {
            return Ok(true);
        };
        while let Some(shard) = self.shards.get_mut(copying.next_shard) {
            let done = shard.copy_some(budget, &codec_of(copying.next_shard));
            // What could not be written is missing from every delta: the next one is complete.
            let done = done.inspect_err(|_| self.has_base = false);
            if !done? {
                return Ok(false);
            }
            let changes = shard.changes_mut().expect("the snapshot has begun");
            let block = changes.finish(copying.complete);
            let blocks = if self.below.is_some() {
                changes.settle();
                &mut self.finished
            } else {
                &mut copying.blocks
            };
            if !block.is_empty() {
                blocks.push((self.groups.group_of_shard(copying.next_shard), block));
            }
            copying.next_shard += 1;
        }
        Ok(true)
    }

    /// Whether a snapshot of everything is being copied.
    pub(crate) fn copies_all(&self) -> bool {
        self.copying
            .as_ref()
            .is_some_and(|copying| copying.complete)
    }

    /// What was copied, once nothing is left. None if the table took no part in the snapshot.
    pub(crate) fn finish(&mut self) -> Option<TableSnapshot> {
        let Copying {
            complete, blocks, ..
        } = self.copying.take()?;
        Some(TableSnapshot { complete, blocks })
    }

    /// A confirmed snapshot holds the table as it is: what changes from now on is a delta to it.
    pub(crate) fn go_on(&mut self) {
        self.has_base = true;
        for shard in &mut self.shards {
            shard.note_changes();
        }
    }

    pub(crate) fn confirm(&mut self, checkpoint: CheckpointId) {
        if !self.begun.contains(&checkpoint) {
            return;
        }
        self.has_base = true;
        self.begun.retain(|begun| *begun > checkpoint);
        self.changes()
            .for_each(|changes| changes.confirm(checkpoint));
    }

    pub(crate) fn abort(&mut self, checkpoint: CheckpointId) {
        if self
            .copying
            .as_ref()
            .is_some_and(|copying| copying.checkpoint == checkpoint)
        {
            self.copying = None;
            self.changes().for_each(Changes::stop);
        }
        self.begun.retain(|begun| *begun != checkpoint);
        self.changes().for_each(|changes| changes.abort(checkpoint));
    }

    fn removed_bytes(&self) -> usize {
        let changes = self.shards.iter().filter_map(Shard::changes);
        changes.map(Changes::removed_bytes).sum()
    }

    fn changes(&mut self) -> impl Iterator<Item = &mut Changes> {
        self.shards.iter_mut().filter_map(Shard::changes_mut)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| size_of::<Shard<K, N, V>>() + shard.bytes())
            .sum()
    }
}
