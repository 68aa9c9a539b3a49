//! What changed in a shard since when, and the copy of a snapshot under way.
//!
//! A snapshot stands for the moment it began, while records go on changing the shard. Instead of
//! keeping two versions of anything, a write that would spoil an entry which the snapshot still
//! needs first writes that entry out: copy on write, straight into the snapshot's bytes. So there
//! is at most one extra copy of an entry, beginning costs a few bits per entry, and an entry needs
//! no version field.
//!
//! The sets are of slot numbers. A slot that was freed and given to another key does no harm: the
//! new entry is changed in any case, and a set may name free slots.

use weir_types::CheckpointId;

use crate::codec::CodecError;
use crate::table::bit_set::BitSet;
use crate::table::record::{self, Write};

/// What a snapshot is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything.
    All,
    /// What no confirmed snapshot holds.
    Unconfirmed,
    /// What has changed since the snapshot before it began: both are parts of one checkpoint.
    Since,
}

/// No more is asked for before it is known to be needed.
const EXPECTED_MAX: usize = 16 << 20;

#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Changed since the latest snapshot began.
    dirty: BitSet,
    /// Created since the latest snapshot began: no snapshot knows them.
    fresh: BitSet,
    /// Records of the entries that were removed since the latest snapshot began, unless fresh.
    removed: Vec<u8>,
    /// What snapshots that began but are not confirmed hold, oldest first. Until then a later
    /// delta must repeat it.
    unconfirmed: Vec<Unconfirmed>,
    /// Of the snapshot being copied: what is still to be copied.
    frozen: BitSet,
    /// The words of `frozen` before it are empty.
    cursor: usize,
    /// Of the snapshot being copied: records of what was copied.
    copied: Vec<u8>,
    /// Of the snapshot being copied: the one before it is a part of the same checkpoint.
    continues: bool,
    /// How many entries it began with.
    begun: usize,
    /// How long an entry's record was in the snapshot that was last copied to its end.
    each: usize,
    /// Something could not be written while records were processed. Told when the snapshot is
    /// copied: the record that came in between has nothing to do with it. Only a complete snapshot
    /// makes up for it.
    broken: Option<CodecError>,
}

#[derive(Debug)]
struct Unconfirmed {
    checkpoint: CheckpointId,
    dirty: BitSet,
    removed: Vec<u8>,
}

impl Changes {
    /// Notes that the entry in this slot is about to change. True if its old state must be written
    /// with [`Self::copy`] before.
    #[inline]
    pub(crate) fn change(&mut self, id: u32) -> bool {
        self.dirty.insert(id) && self.frozen.remove(id)
    }

    /// Takes the slots around this one that are still to be copied.
    #[inline]
    pub(crate) fn frozen_around(&mut self, id: u32) -> (u32, u64) {
        self.frozen.take_around(id)
    }

    /// Puts those back that were not copied after all.
    #[inline]
    pub(crate) fn put_back(&mut self, slots: (u32, u64)) {
        self.frozen.put_back(slots);
    }

    /// Notes a new entry.
    pub(crate) fn create(&mut self, id: u32) {
        self.dirty.insert(id);
        self.fresh.insert(id);
        self.frozen.remove(id);
    }

    /// A snapshot, or the tier below, may know the key of this new entry.
    pub(crate) fn is_known(&mut self, id: u32) {
        self.fresh.remove(id);
    }

    /// Notes that the entry in this slot is about to go. True if its old state must be copied
    /// before.
    pub(crate) fn remove(&mut self, id: u32, key: impl Write) -> bool {
        if !self.fresh.remove(id) {
            self.remove_unseen(key);
        }
        self.dirty.remove(id);
        self.frozen.remove(id)
    }

    /// Notes that an entry goes that is in no slot: the tier below has it.
    pub(crate) fn remove_unseen(&mut self, key: impl Write) {
        if let Err(error) = record::write_removed(&mut self.removed, key) {
            self.broken = Some(error);
        }
    }

    /// Whether no snapshot, and no tier below, knows the entry in this slot.
    pub(crate) fn is_fresh(&self, id: u32) -> bool {
        self.fresh.contains(id)
    }

    /// The tier below has entries for all keys that are here, too: a removal must be told to it.
    pub(crate) fn nothing_is_fresh(&mut self) {
        self.fresh.reset();
    }

    /// What was frozen so far is written for good: nothing later need repeat it.
    pub(crate) fn settle(&mut self) {
        self.unconfirmed.clear();
    }

    /// Writes an entry into the snapshot.
    #[inline]
    pub(crate) fn copy(&mut self, write: impl Write) {
        self.make_room();
        if let Err(error) = write(&mut self.copied) {
            self.broken = Some(error);
        }
    }

    /// Adds entries to the snapshot that were written elsewhere, or says why they could not be.
    pub(crate) fn add(&mut self, records: &[u8], failed: Option<CodecError>) {
        self.make_room();
        self.copied.extend_from_slice(records);
        if failed.is_some() {
            self.broken = failed;
        }
    }

    /// Otherwise the records would be copied each time their vector grows, into memory that the
    /// system has to find first.
    #[inline]
    fn make_room(&mut self) {
        if self.copied.capacity() == 0 {
            let expected = (self.begun * self.each).min(EXPECTED_MAX);
            // A sixteenth more, so that entries that have grown a little fit.
            self.copied.reserve_exact(expected + expected / 16);
        }
    }

    /// Whether what was to be written so far is.
    pub(crate) fn check(&self) -> Result<(), CodecError> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Freezes the shard, which has this many slots, for a snapshot.
    pub(crate) fn begin(&mut self, checkpoint: CheckpointId, extent: Extent, slots: usize) {
        let dirty = std::mem::take(&mut self.dirty);
        let removed = std::mem::take(&mut self.removed);
        self.fresh.reset();
        self.unconfirmed.push(Unconfirmed {
            checkpoint,
            dirty,
            removed,
        });
        self.cursor = 0;
        self.continues = extent == Extent::Since;
        if extent == Extent::All {
            self.broken = None;
            self.frozen = BitSet::below(slots);
        } else {
            self.frozen.reset();
            let own = self.unconfirmed.len() - 1;
            let from = if self.continues { own } else { 0 };
            for unconfirmed in &self.unconfirmed[from..] {
                self.frozen.union_with(&unconfirmed.dirty);
            }
        }
        self.begun = self.frozen.len();
    }

    /// Adds an entry that belongs to the snapshot being copied: it has just come into its slot.
    pub(crate) fn freeze(&mut self, id: u32) {
        self.frozen.insert(id);
        self.cursor = 0;
    }

    /// Takes a slot that is still to be copied.
    pub(crate) fn next_frozen(&mut self) -> Option<u32> {
        let id = self.frozen.first_from(&mut self.cursor)?;
        self.frozen.remove(id);
        Some(id)
    }

    /// The snapshot's block, when all is copied: relative to the latest confirmed snapshot, also
    /// to one that was confirmed after this one began. In a complete one nothing needs removing.
    pub(crate) fn finish(&mut self, complete: bool) -> Vec<u8> {
        let copied = std::mem::take(&mut self.copied);
        if self.begun > 0 {
            self.each = copied.len().div_ceil(self.begun);
        }
        self.frozen.reset();
        // Its own are the last: none begins before it is copied.
        let from = match self.continues {
            true => self.unconfirmed.len().saturating_sub(1),
            false => 0,
        };
        let told = &self.unconfirmed[from..];
        if complete || told.iter().all(|begun| begun.removed.is_empty()) {
            return copied;
        }
        let mut block = Vec::new();
        for unconfirmed in told {
            block.extend_from_slice(&unconfirmed.removed);
        }
        block.extend_from_slice(&copied);
        block
    }

    /// A later delta need not repeat what this snapshot and earlier ones hold.
    pub(crate) fn confirm(&mut self, checkpoint: CheckpointId) {
        self.unconfirmed
            .retain(|begun| begun.checkpoint > checkpoint);
    }

    /// The snapshot, in all its parts, will never be confirmed. What it holds counts as changed
    /// after it: it goes to the snapshot that began next, or else to the next one that will.
    pub(crate) fn abort(&mut self, checkpoint: CheckpointId) {
        let of = |begun: &Unconfirmed| begun.checkpoint == checkpoint;
        while let Some(place) = self.unconfirmed.iter().position(of) {
            let aborted = self.unconfirmed.remove(place);
            let (dirty, removed) = match self.unconfirmed.get_mut(place) {
                Some(next) => (&mut next.dirty, &mut next.removed),
                None => (&mut self.dirty, &mut self.removed),
            };
            dirty.union_with(&aborted.dirty);
            removed.extend_from_slice(&aborted.removed);
        }
    }

    /// Drops the copy under way.
    pub(crate) fn stop(&mut self) {
        self.frozen.reset();
        self.copied = Vec::new();
    }

    /// Forgets what no snapshot was confirmed to hold: the next one must be complete.
    pub(crate) fn forget(&mut self) {
        self.unconfirmed.clear();
        self.removed = Vec::new();
    }

    /// What the records of removed entries take.
    pub(crate) fn removed_bytes(&self) -> usize {
        let unconfirmed = self.unconfirmed.iter();
        let unconfirmed = unconfirmed.map(|begun| begun.removed.capacity());
        self.removed.capacity() + unconfirmed.sum::<usize>()
    }

    pub(crate) fn bytes(&self) -> usize {
        let sets = [&self.dirty, &self.fresh, &self.frozen].into_iter();
        let sets = sets.chain(self.unconfirmed.iter().map(|begun| &begun.dirty));
        let sets = sets.map(BitSet::bytes).sum::<usize>();
        size_of::<Self>() + sets + self.removed_bytes() + self.copied.capacity()
    }

    pub(crate) fn copied_bytes(&self) -> usize {
        self.copied.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies a complete snapshot of so many entries of ten bytes; the room that was asked for.
    fn copied(changes: &mut Changes, id: u64, entries: usize) -> usize {
        changes.begin(CheckpointId(id), Extent::All, entries);
        let mut room = None;
        while changes.next_frozen().is_some() {
            changes.add(&[0; 10], None);
            room.get_or_insert_with(|| changes.copied.capacity());
        }
        changes.finish(true);
        room.unwrap()
    }

    #[test]
    fn the_room_for_a_snapshot_is_what_the_last_one_that_was_copied_tells() {
        let mut changes = Changes::default();
        copied(&mut changes, 1, 1000);
        assert_eq!(copied(&mut changes, 2, 1000), 10_625);
        // One that was begun with a single entry and given up says nothing of how long they are.
        changes.begin(CheckpointId(3), Extent::All, 1);
        changes.abort(CheckpointId(3));
        changes.stop();
        assert_eq!(copied(&mut changes, 4, 2000), 21_250);
    }

    /// Copies a delta; the slots that it holds.
    fn delta(changes: &mut Changes, id: u64, extent: Extent) -> Vec<u32> {
        changes.begin(CheckpointId(id), extent, 100);
        let slots = std::iter::from_fn(|| changes.next_frozen()).collect();
        changes.finish(false);
        slots
    }

    #[test]
    fn a_part_holds_what_changed_since_the_part_before_and_all_parts_are_given_up_together() {
        let mut changes = Changes::default();
        copied(&mut changes, 1, 10);
        changes.confirm(CheckpointId(1));
        changes.change(3);
        changes.change(4);
        assert_eq!(delta(&mut changes, 2, Extent::Unconfirmed), [3, 4]);
        changes.change(4);
        changes.change(5);
        assert_eq!(delta(&mut changes, 2, Extent::Since), [4, 5]);
        assert_eq!(delta(&mut changes, 2, Extent::Since), []);
        changes.change(6);
        changes.abort(CheckpointId(2));
        assert!(changes.unconfirmed.is_empty());
        assert_eq!(delta(&mut changes, 3, Extent::Unconfirmed), [3, 4, 5, 6]);
        changes.confirm(CheckpointId(3));
        assert_eq!(delta(&mut changes, 4, Extent::Unconfirmed), []);
    }
}
