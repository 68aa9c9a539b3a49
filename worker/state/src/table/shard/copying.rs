//! A shard's part in snapshots: what has changed in it, and the copies of its entries.

use weir_types::CheckpointId;

use super::{EntryCodec, Shard, Slot};
use crate::codec::CodecError;
use crate::table::changes::{Changes, Extent};
use crate::table::record;

impl<K: Eq, N: Eq, V> Shard<K, N, V> {
    /// From now on changes are noted.
    pub(crate) fn note_changes(&mut self) {
        self.changes.get_or_insert_default();
    }

    /// Freezes the shard for a snapshot.
    pub(crate) fn begin(&mut self, checkpoint: CheckpointId, extent: Extent) {
        self.changes
            .get_or_insert_default()
            .begin(checkpoint, extent, self.slots.len());
        if let Some(partial) = self.partial_mut() {
            partial.freeze();
        }
    }

    /// Copies frozen entries until about so many bytes were written. True if none is left.
    pub(crate) fn copy_some(
        &mut self,
        budget: &mut usize,
        codec: &impl EntryCodec<K, N, V>,
    ) -> Result<bool, CodecError> {
        /// What an entry costs beside its bytes.
        const ENTRY_COST: usize = 16;
        let Some(changes) = &mut self.changes else {
            return Ok(true);
        };
        while *budget > 0 {
            changes.check()?;
            let Some(id) = changes.next_frozen() else {
                return Ok(true);
            };
            let before = changes.copied_bytes();
            if let Some(Slot::Used {
                key,
                namespace,
                value,
            }) = self.slots.get(id as usize)
            {
                copy_entry(changes, codec, key, namespace, value);
            }
            let cost = changes.copied_bytes() - before + ENTRY_COST;
            *budget = budget.saturating_sub(cost);
        }
        Ok(false)
    }

    pub(crate) fn changes(&self) -> Option<&Changes> {
        self.changes.as_deref()
    }

    pub(crate) fn changes_mut(&mut self) -> Option<&mut Changes> {
        self.changes.as_deref_mut()
    }

    /// Copies the entry in a slot that was frozen, and those around it.
    ///
    /// Entries lie one behind the other in memory, and their records, too: many cost little more
    /// than one. And where all of them are going to be touched soon, the processor hardly ever
    /// takes a wrong guess at whether the next one has to be copied.
    #[cold]
    #[inline(never)]
    pub(super) fn copy_around(&mut self, id: u32, codec: &impl EntryCodec<K, N, V>) {
        /// About so many bytes at once: about a microsecond.
        const AROUND_BYTES: usize = 1024;
        let Some(changes) = &mut self.changes else {
            return;
        };
        let (first, mut around) = changes.frozen_around(id);
        let entry = |nth: u32| self.slots.get((first + nth) as usize);
        // The processor waits for all of them at once.
        let touched = bits(around).filter(|nth| matches!(entry(*nth), Some(Slot::Used { .. })));
        std::hint::black_box(touched.count());
        // Records are short. In memory that is at hand they cost it no waiting; from there they are
        // moved in one go.
        let mut records = Vec::with_capacity(2 * AROUND_BYTES);
        let mut failed = None;
        for nth in std::iter::once(id - first).chain(bits(around)) {
            if records.len() >= AROUND_BYTES {
                break;
            }
            around &= !(1 << nth);
            if let Some(Slot::Used {
                key,
                namespace,
                value,
            }) = entry(nth)
                && let Err(error) = write_entry(&mut records, codec, key, namespace, value)
            {
                failed = Some(error);
            }
        }
        changes.put_back((first, around));
        changes.add(&records, failed);
    }
}

/// The numbers of the bits that are set.
fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
}

#[inline]
pub(super) fn copy_entry<K, N, V>(
    changes: &mut Changes,
    codec: &impl EntryCodec<K, N, V>,
    key: &K,
    namespace: &N,
    value: &V,
) {
    changes.copy(|out| write_entry(out, codec, key, namespace, value));
}

#[inline]
fn write_entry<K, N, V>(
    out: &mut Vec<u8>,
    codec: &impl EntryCodec<K, N, V>,
    key: &K,
    namespace: &N,
    value: &V,
) -> Result<(), CodecError> {
    record::write_put(
        out,
        |out| codec.key(key, namespace, out),
        |out| codec.value(value, out),
    )
}
