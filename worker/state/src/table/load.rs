//! Reads entries that are not in memory from the tier below.
//!
//! While there is plenty of room, a key group is read whole when anything in it is missing: reading
//! in order costs a tenth of reading single entries, and a complete key group never asks the tier
//! again. But not too many at a time: a chunk of records touches all of them.

use crate::codec::{StateValue, encode};
use crate::cold::group_prefix;
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::below::Below;
use crate::table::state_table::{checked_entry_hash, read_key};
use crate::table::{Table, entry_hash, rehash};

impl<K: StateKey, N: StateKey, V: StateValue> Table<K, N, V> {
    /// Reads an entry that is not in memory, whose key group is not complete.
    #[cold]
    pub(super) fn load(
        &mut self,
        shard_at: usize,
        entry_hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<u32>, StateError> {
        self.load_group_if_room(shard_at)?;
        let group = self.shards.groups().group_of_shard(shard_at);
        let (shard, below) = self.shards.over(shard_at);
        // It may have come with its key group.
        let found = shard.find(entry_hash, key, namespace);
        if found.is_some() || shard.is_complete() {
            return Ok(found);
        }
        let text = below.key(group, |out| {
            encode(key, out)?;
            encode(namespace, out)
        })?;
        let removed =
            |partial: &mut super::partial::Partial| partial.is_removed(Below::text(&text));
        if shard.partial_mut().is_some_and(removed) {
            return Ok(None);
        }
        let mut value = None;
        below.get(&[&text], |_, bytes| {
            value = Some((self.read_value)(bytes, below.format)?);
            Ok(())
        })?;
        Ok(value.map(|value| {
            let entry = (key.clone(), namespace.clone(), value);
            shard.insert_clean(entry_hash, entry, rehash)
        }))
    }

    /// Reads those entries of a chunk's rows that are not in memory, all at once.
    pub(super) fn load_missing<'r>(
        &mut self,
        hashes: &[u64],
        namespace: &N,
        keys: impl Iterator<Item = &'r K>,
    ) -> Result<(), StateError> {
        /// A row whose entry is missing: its key in the tier lies in the buffer.
        struct Missing<'r, K> {
            start: usize,
            end: usize,
            shard: usize,
            entry_hash: u64,
            key: &'r K,
        }
        let (mut texts, mut missing) = (Vec::new(), Vec::new());
        for (hash, key) in hashes.iter().zip(keys) {
            let shard_at = self.shards.groups().shard_of(*hash)?;
            let entry_hash = entry_hash(*hash, namespace)?;
            let shard = self.shards.shard(shard_at);
            if shard.is_complete() || shard.find(entry_hash, key, namespace).is_some() {
                continue;
            }
            if self.unread > 0 {
                self.read_unread(shard_at, entry_hash, key, namespace)?;
                continue;
            }
            self.load_group_if_room(shard_at)?;
            let group = self.shards.groups().group_of_shard(shard_at);
            let (shard, below) = self.shards.over(shard_at);
            if shard.find(entry_hash, key, namespace).is_some() {
                continue;
            }
            let Some(partial) = shard.partial_mut() else {
                continue;
            };
            let start = texts.len();
            texts.extend_from_slice(&group_prefix(group));
            let written = encode(key, &mut texts).and_then(|()| encode(namespace, &mut texts));
            written.map_err(|source| StateError::encode(&below.name, source))?;
            if partial.is_removed(Below::text(&texts[start..])) {
                texts.truncate(start);
                continue;
            }
            let end = texts.len();
            missing.push(Missing {
                start,
                end,
                shard: shard_at,
                entry_hash,
                key,
            });
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable_by(|a, b| texts[a.start..a.end].cmp(&texts[b.start..b.end]));
        missing.dedup_by(|a, b| texts[a.start..a.end] == texts[b.start..b.end]);
        let keys: Vec<&[u8]> = missing.iter().map(|m| &texts[m.start..m.end]).collect();
        let mut values = Vec::with_capacity(missing.len());
        let (_, below) = self.shards.over(missing[0].shard);
        below.get(&keys, |nth, bytes| {
            values.push((nth, (self.read_value)(bytes, below.format)?));
            Ok(())
        })?;
        for (nth, value) in values {
            let row = &missing[nth];
            let entry = (row.key.clone(), namespace.clone(), value);
            let shard = self.shards.shard_mut(row.shard);
            shard.insert_clean(row.entry_hash, entry, rehash);
        }
        Ok(())
    }

    /// Reads a whole key group, unless memory is short or enough was read just now.
    fn load_group_if_room(&mut self, shard_at: usize) -> Result<(), StateError> {
        let groups = self.shards.groups();
        let group = groups.group_of_shard(shard_at);
        let (shard, below) = self.shards.over(shard_at);
        if below.room.get() == 0 || shard.is_complete() {
            return Ok(());
        }
        let before = shard.bytes();
        let (read_value, format) = (self.read_value, below.format);
        let (mut owned, mut whole) = (0, true);
        below.scan(&group_prefix(group), |text, bytes| {
            let (key, namespace) = read_key::<K, N>(text)?;
            let hash = checked_entry_hash(&key, &namespace, groups, group)?;
            let removed = shard.partial_mut().is_some_and(|p| p.is_removed(text));
            if !removed && shard.find(hash, &key, &namespace).is_none() {
                let entry = (key, namespace, read_value(bytes, format)?);
                shard.insert_clean(hash, entry, rehash);
                owned += if std::mem::needs_drop::<(K, N, V)>() {
                    text.len() + bytes.len()
                } else {
                    0
                };
            }
            whole = shard.bytes().saturating_sub(before) + owned <= below.room.get();
            Ok(whole)
        })?;
        below
            .room
            .take(shard.bytes().saturating_sub(before) + owned);
        if whole {
            shard.complete();
        }
        Ok(())
    }
}
