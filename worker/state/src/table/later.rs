//! Reads what was restored when it is asked for, and the rest bit by bit.

use std::sync::Arc;

use weir_types::KeyGroup;

use crate::codec::{CodecError, StateValue};
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::record::Record;
use crate::table::state_table::{StateTable, ValueFormat, checked_entry_hash, read_key};
use crate::table::unread::{MOST_BYTES, Part, Unread};
use crate::table::{Table, rehash};

/// What an entry costs beside its bytes.
const ENTRY_COST: usize = 16;

impl<K: StateKey, N: StateKey, V: StateValue> Table<K, N, V> {
    /// Takes over a key group of which nothing is here. Keys are looked at now, and one value: a
    /// type that does not fit is told before there is a record.
    pub(super) fn take_over(
        &mut self,
        group: KeyGroup,
        parts: &[Part],
        (state, format): (&Arc<str>, ValueFormat),
    ) -> Result<(), CodecError> {
        let groups = self.shards.groups();
        let shard = usize::from(group.0.wrapping_sub(groups.range.start));
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let here = groups.range.contains(group) && self.shards.shard(shard).slots() == 0;
        if !here || bytes > MOST_BYTES || !self.shards.shard(shard).is_complete() {
            return parts
                .iter()
                .try_for_each(|part| self.restore(group, part, format));
        }
        let hash = |text: &[u8]| {
            let (key, namespace) = read_key::<K, N>(text)?;
            checked_entry_hash(&key, &namespace, groups, group)
        };
        // Equal keys may be written differently.
        let same = |a: &[u8], b: &[u8]| {
            a == b || matches!((read_key::<K, N>(a), read_key(b)), (Ok(a), Ok(b)) if a == b)
        };
        let mut unread = Unread::new(parts, (state, format), hash, same)?;
        let Some(first) = unread.first() else {
            return Ok(());
        };
        self.read_record(unread.record(first), format)?;
        let shard = self.shards.shard_mut(shard);
        shard.make_room(unread.len());
        shard.read_later(unread);
        self.unread += 1;
        self.shards.partial = true;
        Ok(())
    }

    /// Reads an entry that was not asked for yet: its slot, if there is one.
    pub(super) fn read_unread(
        &mut self,
        shard_at: usize,
        entry_hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<u32>, StateError> {
        let Some(unread) = self.shards.shard(shard_at).unread() else {
            return Ok(None);
        };
        let is_it =
            |text: &[u8]| read_key::<K, N>(text).is_ok_and(|(k, n)| k == *key && n == *namespace);
        let Some(id) = unread.find(entry_hash, is_it) else {
            return Ok(None);
        };
        let entry = self.read_record(unread.record(id), unread.format());
        let entry = entry.map_err(|source| StateError::decode(unread.state(), source))?;
        Ok(Some(self.put_read(shard_at, id, entry_hash, entry)))
    }

    /// Reads about so many bytes of what nobody has asked for yet. True if nothing is left.
    pub(super) fn read_some(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        while self.unread > 0 {
            if self.shards.shard(self.reading).unread().is_none() {
                self.reading = (self.reading + 1) % self.shards.groups().range.len();
                continue;
            }
            if *budget == 0 {
                return Ok(false);
            }
            let first = self.shards.shard_mut(self.reading).first_unread();
            let (Some(id), Some(unread)) = (first, self.shards.shard(self.reading).unread()) else {
                self.end_of_group(self.reading);
                continue;
            };
            let record = unread.record(id);
            let bytes = record.as_ref().map_or(0, |record| {
                record.key.len() + record.value.map_or(0, <[u8]>::len)
            });
            let entry = self.read_record(record, unread.format())?;
            let hash = rehash(&entry.0, &entry.1);
            self.put_read(self.reading, id, hash, entry);
            *budget = budget.saturating_sub(bytes + ENTRY_COST);
        }
        Ok(true)
    }

    fn read_record(
        &self,
        record: Option<Record<'_>>,
        format: ValueFormat,
    ) -> Result<(K, N, V), CodecError> {
        let value = record.as_ref().and_then(|record| record.value);
        let (Some(record), Some(value)) = (record, value) else {
            return Err(CodecError::decode::<V>("its record is gone"));
        };
        let (key, namespace) = read_key(record.key)?;
        Ok((key, namespace, (self.read_value)(value, format)?))
    }

    /// Puts what was read where it belongs. A snapshot of everything that is under way sees it
    /// as it is now, whatever changes it.
    fn put_read(&mut self, shard_at: usize, id: usize, hash: u64, entry: (K, N, V)) -> u32 {
        let frozen = self.shards.copies_all();
        let shard = self.shards.shard_mut(shard_at);
        let slot = shard.insert_clean(hash, entry, rehash);
        if frozen && let Some(changes) = shard.changes_mut() {
            changes.freeze(slot);
        }
        if shard.forget_unread(id) == 0 {
            self.end_of_group(shard_at);
        }
        slot
    }

    fn end_of_group(&mut self, shard: usize) {
        self.shards.shard_mut(shard).complete();
        self.unread -= 1;
        self.shards.partial = self.unread > 0;
    }
}
