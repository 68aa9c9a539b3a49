//! The heap backend's table: (key, namespace) → value, sharded by key group.
//!
//! Built-in operators use it directly, with the hash that their input was routed by, so that a
//! record costs one probe. Everything else goes through the state handles. A table belongs to one
//! subtask's thread. It knows nothing of time to live: such values carry their time with them.

mod chunk;
pub(crate) mod shards;
pub(crate) mod state_table;

pub(crate) mod below;
mod bit_set;
pub(crate) mod changes;
mod due_times;
mod hash_index;
mod later;
mod load;
mod partial;
pub(crate) mod record;
mod segments;
pub(crate) mod shard;
pub(crate) mod unread;

pub(crate) mod map_table;
pub(crate) mod timer_queue;

use self::shard::{PlainCodec, Shard};
use self::shards::{KeyGroups, Shards};
use self::state_table::ReadValue;
use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::{StateKey, hash_within, key_hash};

/// Keyed state of one name.
#[derive(Debug)]
pub struct Table<K, N, V> {
    shards: Shards<K, N, V>,
    read_value: ReadValue<V>,
    /// Where the next sweep for expired values goes on: shard and slot.
    sweep_at: (usize, u32),
    /// How many key groups have entries that were restored and not read yet.
    unread: usize,
    /// The shard at which reading them goes on.
    reading: usize,
}

/// An entry's place. It holds until the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
}

/// The hash under which an entry lies: of key and namespace.
#[inline]
pub(crate) fn entry_hash<N: StateKey>(hash: u64, namespace: &N) -> Result<u64, StateError> {
    hash_within(hash, namespace).map_err(StateError::hash::<N>)
}

/// The same from an entry that is in the table, so that it was hashed before.
fn rehash<K: StateKey, N: StateKey>(key: &K, namespace: &N) -> u64 {
    key_hash(key)
        .and_then(|hash| hash_within(hash, namespace))
        .expect("a key in the table was hashed before")
}

impl<K: StateKey, N: StateKey, V: StateValue> Table<K, N, V> {
    pub(crate) fn new(groups: KeyGroups, read_value: ReadValue<V>) -> Self {
        Self {
            shards: Shards::new(groups),
            read_value,
            sweep_at: (0, 0),
            unread: 0,
            reading: 0,
        }
    }

    /// How many entries there are in memory.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there are none in memory.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how much memory the table takes, without what keys and values own elsewhere.
    pub fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    /// All entries in memory, in no particular order.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = (&K, &N, &V)>, StateError> {
        let read = self.read_some(&mut { usize::MAX });
        read.map_err(|source| StateError::decode("*", source))?;
        let entries = self.shards.iter().flat_map(Shard::iter);
        Ok(entries.map(|(_, key, namespace, value)| (key, namespace, value)))
    }

    /// The value of a key with this hash ([`key_hash`]).
    pub fn get(&mut self, hash: u64, key: &K, namespace: &N) -> Result<Option<&V>, StateError> {
        Ok(self.find(hash, key, namespace)?.map(|place| self.at(place)))
    }

    /// Changes the value of a key with this hash, or adds it: one probe. The key is cloned only
    /// for a new entry. `arg` goes to whichever of the two functions is called.
    #[inline]
    #[expect(
        clippy::too_many_arguments,
        reason = "all of them are the place or the change"
    )]
    pub fn upsert_with<A>(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        arg: A,
        insert: impl FnOnce(A) -> V,
        update: impl FnOnce(&mut V, A),
    ) -> Result<&mut V, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard = self.shards.groups().shard_of(hash)?;
        let found = self.bring(shard, entry_hash, key, namespace)?;
        let shard = self.shards.shard_mut(shard);
        let id = if let Some(id) = found {
            let value = shard
                .value_mut(id, &PlainCodec)
                .expect("the slot was just found");
            update(value, arg);
            id
        } else {
            let value = insert(arg);
            shard.insert(entry_hash, key.clone(), namespace.clone(), value, rehash)
        };
        Ok(shard.untracked_mut(id).expect("the slot is in use"))
    }

    /// Sets the value of a key with this hash.
    pub fn insert(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        value: V,
    ) -> Result<(), StateError> {
        self.upsert_with(
            hash,
            key,
            namespace,
            value,
            |new| new,
            |old, new| *old = new,
        )
        .map(drop)
    }

    /// Takes out the value of a key with this hash.
    pub fn remove(&mut self, hash: u64, key: &K, namespace: &N) -> Result<Option<V>, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard = self.shards.groups().shard_of(hash)?;
        if self.shards.partial {
            self.bring(shard, entry_hash, key, namespace)?;
        }
        let shard = self.shards.shard_mut(shard);
        Ok(shard
            .remove_entry(entry_hash, key, namespace, &PlainCodec)
            .map(|(_, _, value)| value))
    }

    #[inline]
    pub(crate) fn find(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<Place>, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard = self.shards.groups().shard_of(hash)?;
        let slot = self.bring(shard, entry_hash, key, namespace)?;
        Ok(slot.map(|slot| Place { shard, slot }))
    }

    /// The slot of an entry, after it was read from where it was restored to, or from the tier
    /// below, if it is not among the slots.
    #[inline]
    fn bring(
        &mut self,
        shard: usize,
        entry_hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<u32>, StateError> {
        let of_group = self.shards.shard(shard);
        let found = of_group.find(entry_hash, key, namespace);
        if found.is_some() || of_group.is_complete() {
            return Ok(found);
        }
        if self.unread > 0 {
            self.read_unread(shard, entry_hash, key, namespace)
        } else {
            self.load(shard, entry_hash, key, namespace)
        }
    }

    /// The value at a place that [`Self::find`] gave.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> &V {
        let entry = self.shards.shard(place.shard).entry(place.slot);
        entry
            .expect("a place is used before its entry is removed")
            .2
    }

    /// The same, for changing it.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> &mut V {
        let value = self
            .shards
            .shard_mut(place.shard)
            .value_mut(place.slot, &PlainCodec);
        value.expect("a place is used before its entry is removed")
    }

    /// Looks at the next `count` slots and removes the entries that are `dead`.
    pub(crate) fn sweep(&mut self, count: u32, dead: impl Fn(&V) -> bool) {
        let (mut shard_at, mut slot_at) = self.sweep_at;
        for _ in 0..count {
            let shard = self.shards.shard_mut(shard_at);
            if let Some((key, namespace, value)) = shard.entry(slot_at)
                && dead(value)
            {
                shard.remove(rehash(key, namespace), slot_at, &PlainCodec);
            }
            slot_at += 1;
            if slot_at as usize >= shard.slots() {
                slot_at = 0;
                shard_at = (shard_at + 1) % self.shards.groups().range.len();
            }
        }
        self.sweep_at = (shard_at, slot_at);
    }
}
