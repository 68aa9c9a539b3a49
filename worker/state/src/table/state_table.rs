//! What the backend does with a state whose types it does not know, and how blocks are read.

use std::sync::Arc;

use weir_types::KeyGroup;

use crate::codec::{CodecError, StateValue, decode_front};
use crate::key::{StateKey, key_hash};
use crate::table::below::{AnyShards, Below};
use crate::table::record::{Record, read_record};
use crate::table::shard::PlainCodec;
use crate::table::shards::{Block, KeyGroups};
use crate::table::unread::Part;
use crate::table::{Table, entry_hash};

/// Reads a value from a snapshot, whether it was written with a time to live or not.
pub(crate) type ReadValue<V> = fn(&[u8], ValueFormat) -> Result<V, CodecError>;

/// What a snapshot says about how a state is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueFormat {
    /// The encoding's version.
    pub(crate) version: u16,
    /// Each value has its time beside it.
    pub(crate) timed: bool,
    /// The time that values without one get.
    pub(crate) now_ms: i64,
}

/// A key that is about to be asked for, with a namespace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upcoming {
    pub(crate) shard: usize,
    pub(crate) entry_hash: u64,
}

/// What the backend does with a state whose types it does not know.
pub(crate) trait StateTable: std::any::Any + Send {
    /// The table's entries, for what needs no types.
    fn shards(&mut self) -> &mut dyn AnyShards;
    /// Puts the tier under the table. `complete`: the table has all the tier has.
    fn lay_over(&mut self, below: Below, complete: bool) {
        self.shards().lay_over(below, complete);
    }
    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError>;
    fn restore(
        &mut self,
        group: KeyGroup,
        block: &[u8],
        format: ValueFormat,
    ) -> Result<(), CodecError>;
    /// Takes over a key group of a table that has nothing of it, to be read when it is asked for or
    /// with [`Self::read_on`]. What is wrong with keys or types is told now.
    fn restore_later(
        &mut self,
        group: KeyGroup,
        parts: &[Part],
        (_state, format): (&Arc<str>, ValueFormat),
    ) -> Result<(), CodecError> {
        let mut parts = parts.iter();
        parts.try_for_each(|part| self.restore(group, part, format))
    }
    /// Reads about so many bytes of what was not read yet. True if nothing is left.
    fn read_on(&mut self, _budget: &mut usize) -> Result<bool, CodecError> {
        Ok(true)
    }
    fn bytes(&self) -> usize;
    /// About how much memory the table takes, with what keys and values own.
    fn memory(&mut self) -> usize;
    /// Writes out what some key groups changed, so that [`Self::evict`] can give back about so much
    /// memory. What it returns must be in the tier before.
    fn spill(&mut self, at_least: usize) -> Result<Vec<Block>, CodecError>;
    /// Drops what was spilled.
    fn evict(&mut self);
    /// Brings what is in memory of these into the processor's cache, if it is worth it.
    fn bring_in(&self, _upcoming: &[Upcoming]) {}
}

impl<K: StateKey, N: StateKey, V: StateValue> StateTable for Table<K, N, V> {
    fn shards(&mut self) -> &mut dyn AnyShards {
        &mut self.shards
    }

    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        // What changed is not among what was not read yet.
        if self.shards.copies_all() && !self.read_some(budget)? {
            return Ok(false);
        }
        self.shards.copy_some(budget, |_| PlainCodec)
    }

    fn restore_later(
        &mut self,
        group: KeyGroup,
        parts: &[Part],
        of: (&Arc<str>, ValueFormat),
    ) -> Result<(), CodecError> {
        self.take_over(group, parts, of)
    }

    fn read_on(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        self.read_some(budget)
    }

    fn restore(
        &mut self,
        group: KeyGroup,
        block: &[u8],
        format: ValueFormat,
    ) -> Result<(), CodecError> {
        let mut rest = block;
        while let Some(record) = read_record(&mut rest)? {
            let (key, namespace) = read_key::<K, N>(record.key)?;
            let hash = checked_hash(&key, self.shards.groups(), group)?;
            let done = match record.value {
                Some(value) => {
                    let value = (self.read_value)(value, format)?;
                    self.insert(hash, &key, &namespace, value)
                }
                None => self.remove(hash, &key, &namespace).map(drop),
            };
            done.map_err(|e| CodecError::decode::<(K, N)>(e.to_string()))?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    fn memory(&mut self) -> usize {
        self.shards.memory(|_| PlainCodec)
    }

    fn spill(&mut self, at_least: usize) -> Result<Vec<Block>, CodecError> {
        self.shards.spill(at_least, |_| PlainCodec)
    }

    fn evict(&mut self) {
        self.shards.evict(|_| {});
    }

    /// The entries of keys that come one after the other, when their timers fire, are far from
    /// each other in memory: the processor waits for all of them at once here.
    fn bring_in(&self, upcoming: &[Upcoming]) {
        let mut touched = 0;
        for next in upcoming {
            touched ^= self.shards.shard(next.shard).touch_index(next.entry_hash);
        }
        for next in upcoming {
            let shard = self.shards.shard(next.shard);
            touched ^= shard.touch_slot(shard.guess(next.entry_hash));
        }
        std::hint::black_box(touched);
    }
}

/// The hash of a key that was read, which must lie in the key group that it was read from.
pub(crate) fn checked_hash<K: StateKey>(
    key: &K,
    groups: KeyGroups,
    group: KeyGroup,
) -> Result<u64, CodecError> {
    let hash = key_hash(key).map_err(|e| CodecError::decode::<K>(e.to_string()))?;
    let own = groups.locate(hash).0;
    if own == group {
        Ok(hash)
    } else {
        let cause = format!("a key of key group {own} lies among those of key group {group}");
        Err(CodecError::decode::<K>(cause))
    }
}

/// The hash under which an entry lies that was read, see [`checked_hash`].
pub(crate) fn checked_entry_hash<K: StateKey, N: StateKey>(
    key: &K,
    namespace: &N,
    groups: KeyGroups,
    group: KeyGroup,
) -> Result<u64, CodecError> {
    let hash = checked_hash(key, groups, group)?;
    entry_hash(hash, namespace).map_err(|e| CodecError::decode::<(K, N)>(e.to_string()))
}

/// Key and namespace from the text of an entry's key.
pub(crate) fn read_key<K: StateKey, N: StateKey>(mut text: &[u8]) -> Result<(K, N), CodecError> {
    let key = decode_front(&mut text)?;
    let namespace = decode_front(&mut text)?;
    check_read(text)?;
    Ok((key, namespace))
}

/// A key's text must be read to its end.
pub(crate) fn check_read(rest: &[u8]) -> Result<(), CodecError> {
    if rest.is_empty() {
        Ok(())
    } else {
        Err(CodecError::decode::<Record>(format!(
            "a key has {} bytes too many",
            rest.len()
        )))
    }
}
