//! The entries of one key group: slots in a vector, found through a hash index.
//!
//! An entry keeps its slot for life, so that sets of slot numbers can say what changed, and so
//! that timers and map entries can be referred to by 4 bytes. Freed slots are used again.

mod copying;
mod rest;

use self::copying::copy_entry;
use self::rest::Rest;
use crate::codec::{CodecError, encode};
use crate::table::changes::Changes;
use crate::table::hash_index::{HashIndex, Position};
use crate::table::segments::Segments;
use crate::table::unread::Unread;

const NO_SLOT: u32 = u32::MAX;

#[derive(Debug)]
enum Slot<K, N, V> {
    /// The next free slot, or `NO_SLOT`.
    Free(u32),
    Used {
        key: K,
        namespace: N,
        value: V,
    },
}

#[derive(Debug)]
pub(crate) struct Shard<K, N, V> {
    index: HashIndex,
    slots: Segments<Slot<K, N, V>>,
    /// The head of the list of free slots, or `NO_SLOT`.
    free: u32,
    live: usize,
    /// Nothing is noted before the first snapshot, unless it continues another: it is complete
    /// anyway.
    changes: Option<Box<Changes>>,
    /// None: all entries of the key group are here.
    rest: Option<Box<Rest>>,
}

/// How a table's entries are written.
pub(crate) trait EntryCodec<K, N, V> {
    fn key(&self, key: &K, namespace: &N, out: &mut Vec<u8>) -> Result<(), CodecError>;
    fn value(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError>;
}

/// Key, namespace and value one after the other.
#[derive(Clone, Copy)]
pub(crate) struct PlainCodec;

impl<K: serde::Serialize, N: serde::Serialize, V: serde::Serialize> EntryCodec<K, N, V>
    for PlainCodec
{
    fn key(&self, key: &K, namespace: &N, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(key, out)?;
        encode(namespace, out)
    }

    fn value(&self, value: &V, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(value, out)
    }
}

impl<K, N, V> Default for Shard<K, N, V> {
    fn default() -> Self {
        let (index, slots) = (HashIndex::default(), Segments::default());
        Self {
            index,
            slots,
            free: NO_SLOT,
            live: 0,
            changes: None,
            rest: None,
        }
    }
}

/// The index looks at the lower half of a hash; the key group comes from the upper one.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn low(hash: u64) -> u32 {
    hash as u32
}

impl<K: Eq, N: Eq, V> Shard<K, N, V> {
    pub(crate) fn len(&self) -> usize {
        self.live + self.unread().map_or(0, Unread::len)
    }

    /// How many slots there are, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The slot of an entry. `hash` is that of key and namespace together.
    #[inline]
    pub(crate) fn find(&self, hash: u64, key: &K, namespace: &N) -> Option<u32> {
        self.position(hash, key, namespace).map(|(_, id)| id)
    }

    #[inline]
    fn position(&self, hash: u64, key: &K, namespace: &N) -> Option<(Position, u32)> {
        self.index
            .find(low(hash), |id| self.holds(id, key, namespace))
    }

    /// The entry in a slot, if it is in use.
    #[inline]
    pub(crate) fn entry(&self, id: u32) -> Option<(&K, &N, &V)> {
        match self.slots.get(id as usize) {
            Some(Slot::Used {
                key,
                namespace,
                value,
            }) => Some((key, namespace, value)),
            _ => None,
        }
    }

    /// The value in a slot, for changing what no snapshot sees.
    #[inline]
    pub(crate) fn untracked_mut(&mut self, id: u32) -> Option<&mut V> {
        match self.slots.get_mut(id as usize) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// The value in a slot, for changing it.
    #[inline]
    pub(crate) fn value_mut(
        &mut self,
        id: u32,
        codec: &impl EntryCodec<K, N, V>,
    ) -> Option<&mut V> {
        if let Some(changes) = &mut self.changes
            && changes.change(id)
        {
            self.copy_around(id, codec);
        }
        self.untracked_mut(id)
    }

    /// Adds an entry that is not in it. `rehash` gives the hash of an entry that is.
    #[inline]
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        key: K,
        namespace: N,
        value: V,
        rehash: impl Fn(&K, &N) -> u64,
    ) -> u32 {
        let id = if self.free == NO_SLOT {
            u32::try_from(self.slots.len()).expect("a key group holds at most 2^30 entries")
        } else {
            self.free
        };
        if !self.index.has_room(id) {
            self.rebuild_index(rehash);
        }
        self.index.insert(low(hash), id);
        let used = Slot::Used {
            key,
            namespace,
            value,
        };
        if self.free == NO_SLOT {
            self.slots.push(used);
        } else {
            let slot = self
                .slots
                .get_mut(id as usize)
                .expect("a free slot is a slot");
            let Slot::Free(next) = std::mem::replace(slot, used) else {
                unreachable!("slot {id} is on the free list")
            };
            self.free = next;
        }
        if let Some(changes) = &mut self.changes {
            changes.create(id);
        }
        self.live += 1;
        id
    }

    /// Adds an entry as the tier below has it.
    pub(crate) fn insert_clean(
        &mut self,
        hash: u64,
        (key, namespace, value): (K, N, V),
        rehash: impl Fn(&K, &N) -> u64,
    ) -> u32 {
        let changes = self.changes.take();
        let id = self.insert(hash, key, namespace, value, rehash);
        self.changes = changes;
        id
    }

    /// Adds an entry, while the tier below may have another one under its key: its removal is to be
    /// told to it.
    pub(crate) fn insert_over(
        &mut self,
        hash: u64,
        (key, namespace, value): (K, N, V),
        rehash: impl Fn(&K, &N) -> u64,
    ) -> u32 {
        let id = self.insert(hash, key, namespace, value, rehash);
        if let Some(changes) = &mut self.changes {
            changes.is_known(id);
        }
        id
    }

    /// Takes out the entry in a slot, if it is in use. `hash` is the entry's.
    pub(crate) fn remove(
        &mut self,
        hash: u64,
        id: u32,
        codec: &impl EntryCodec<K, N, V>,
    ) -> Option<(K, N, V)> {
        self.entry(id)?;
        let found = self.position_of(hash, id);
        let position = found.expect("every used slot is in the index under its hash");
        self.remove_at(position, id, codec)
    }

    /// Takes out an entry: one search, where [`Self::find`] and [`Self::remove`] are two.
    pub(crate) fn remove_entry(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        codec: &impl EntryCodec<K, N, V>,
    ) -> Option<(K, N, V)> {
        let (position, id) = self.position(hash, key, namespace)?;
        self.remove_at(position, id, codec)
    }

    /// Where the index names this slot under this hash, if it does.
    #[inline]
    pub(crate) fn position_of(&self, hash: u64, id: u32) -> Option<Position> {
        let found = self.index.find(low(hash), |other| other == id);
        found.map(|(position, _)| position)
    }

    /// Takes out the entry in a slot that the index names at this position.
    pub(crate) fn remove_at(
        &mut self,
        position: Position,
        id: u32,
        codec: &impl EntryCodec<K, N, V>,
    ) -> Option<(K, N, V)> {
        let Some(Slot::Used {
            key,
            namespace,
            value,
        }) = self.slots.get(id as usize)
        else {
            return None;
        };
        if let Some(changes) = &mut self.changes {
            let write_key = |out: &mut Vec<u8>| codec.key(key, namespace, out);
            if let Some(Rest::Below(partial)) = self.rest.as_deref_mut()
                && !changes.is_fresh(id)
            {
                partial.remove(write_key);
            }
            if changes.remove(id, write_key) {
                copy_entry(changes, codec, key, namespace, value);
            }
        }
        self.index.remove(position);
        self.live -= 1;
        let slot = self.slots.get_mut(id as usize)?;
        let used = std::mem::replace(slot, Slot::Free(self.free));
        self.free = id;
        match used {
            Slot::Used {
                key,
                namespace,
                value,
            } => Some((key, namespace, value)),
            Slot::Free(_) => unreachable!("slot {id} was looked at above"),
        }
    }

    /// All entries with their slots, in the slots' order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &K, &N, &V)> {
        (0u32..)
            .zip(self.slots.iter())
            .filter_map(|(id, slot)| match slot {
                Slot::Used {
                    key,
                    namespace,
                    value,
                } => Some((id, key, namespace, value)),
                Slot::Free(_) => None,
            })
    }

    /// Brings what [`Self::guess`] reads into the cache.
    #[inline]
    pub(crate) fn touch_index(&self, hash: u64) -> u32 {
        self.index.touch(low(hash))
    }

    /// The slot that a search for the hash most likely ends at, without looking at it.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        self.index.peek(low(hash))
    }

    /// Brings a slot into the cache.
    #[inline]
    pub(crate) fn touch_slot(&self, id: u32) -> u32 {
        u32::from(matches!(
            self.slots.get(id as usize),
            Some(Slot::Used { .. })
        ))
    }

    /// Whether the slot holds this entry.
    #[inline]
    pub(crate) fn holds(&self, id: u32, key: &K, namespace: &N) -> bool {
        self.entry(id)
            .is_some_and(|(k, n, _)| k == key && n == namespace)
    }

    /// The index of an empty shard need not grow until there are so many entries.
    pub(crate) fn make_room(&mut self, entries: usize) {
        if self.slots.len() == 0 {
            self.index = HashIndex::with_room(entries);
        }
    }

    /// Memory that the entries take, without what snapshots need.
    pub(crate) fn entry_bytes(&self) -> usize {
        let unread = self.unread().map_or(0, Unread::bytes);
        self.index.bytes() + self.slots.bytes() + unread
    }

    /// Memory that the shard itself takes; what keys and values own elsewhere is not counted.
    pub(crate) fn bytes(&self) -> usize {
        let changes = self.changes.as_ref().map_or(0, |changes| changes.bytes());
        let partial = match self.rest.as_deref() {
            Some(Rest::Below(partial)) => partial.bytes(),
            _ => 0,
        };
        self.entry_bytes() + changes + partial
    }

    #[cold]
    fn rebuild_index(&mut self, rehash: impl Fn(&K, &N) -> u64) {
        self.index = HashIndex::default();
        let mut index = HashIndex::with_room(self.slots.len() + 1);
        for (id, key, namespace, _) in self.iter() {
            index.insert(low(rehash(key, namespace)), id);
        }
        self.index = index;
    }
}
