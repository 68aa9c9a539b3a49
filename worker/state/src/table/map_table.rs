//! The table of map state: (key, namespace, user key) → value, with each map's entries linked.
//!
//! Every entry of a map is an entry of its own in a snapshot, so that a large map costs what
//! changed in it. An entry refers to its map by the slot of the map's head, not by a copy of the
//! key; the entries of one map form a doubly linked list in the order in which they were added.
//! Heads and links are not in snapshots: they follow from the entries.
//!
//! Over a tier a map may be in memory in part: its head says what is known of the rest. Single
//! entries are read when they are asked for; what lends all of a map reads all of it.

use weir_types::KeyGroup;

use crate::codec::{CodecError, StateValue, decode_front, encode};
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::below::AnyShards;
use crate::table::record::read_record;
use crate::table::shard::{EntryCodec, Shard};
use crate::table::shards::{Block, KeyGroups, Shards};
use crate::table::state_table::{ReadValue, StateTable, ValueFormat, check_read, checked_hash};
use crate::table::{Place, entry_hash};

mod links;
mod load;

pub(crate) use links::Walk;
use links::{Below, Head, Linked, Owner, linked_hash};

#[derive(Debug)]
pub(crate) struct MapTable<K, N, U, V> {
    heads: Vec<Shard<K, N, Head>>,
    entries: Shards<Owner, U, Linked<V>>,
    read_value: ReadValue<V>,
    sweep_at: (usize, u32),
}

/// Where an entry comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Entry {
    /// The tier has none under its key.
    New,
    /// The tier may have another one under its key.
    Over,
    FromBelow,
}

/// An entry, and the map that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    map: Place,
    pub(crate) entry: Place,
}

/// What a map is found by.
#[derive(Debug)]
struct MapKey<'k, K, N> {
    entry_hash: u64,
    shard: usize,
    key: &'k K,
    namespace: &'k N,
}

impl<K, N> Clone for MapKey<'_, K, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K, N> Copy for MapKey<'_, K, N> {}

/// Writes an entry's key as key, namespace and user key.
struct MapCodec<'a, K, N>(&'a Shard<K, N, Head>);

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> EntryCodec<Owner, U, Linked<V>>
    for MapCodec<'_, K, N>
{
    fn key(&self, owner: &Owner, user_key: &U, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let (key, namespace, _) = self
            .0
            .entry(owner.0)
            .expect("a map's head outlives its entries");
        encode(key, out)?;
        encode(namespace, out)?;
        encode(user_key, out)
    }

    fn value(&self, linked: &Linked<V>, out: &mut Vec<u8>) -> Result<(), CodecError> {
        encode(&linked.value, out)
    }
}

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> MapTable<K, N, U, V> {
    pub(crate) fn new(groups: KeyGroups, read_value: ReadValue<V>) -> Self {
        let heads = groups.range.iter().map(|_| Shard::default()).collect();
        Self {
            heads,
            entries: Shards::new(groups),
            read_value,
            sweep_at: (0, 0),
        }
    }

    /// A map of which all entries are in memory after this; none if it is empty.
    #[inline]
    pub(crate) fn find_map(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<Place>, StateError> {
        let of = self.map_key(hash, key, namespace)?;
        match self.known_map(of) {
            Some((map, true)) => Ok(Some(map)),
            None if self.entries.shard(of.shard).is_complete() => Ok(None),
            _ => self.load_map(of),
        }
    }

    /// An entry of a map.
    #[inline]
    pub(crate) fn find(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        user_key: &U,
    ) -> Result<Option<Found>, StateError> {
        let of = self.map_key(hash, key, namespace)?;
        match self.known_map(of) {
            Some((map, whole)) => match self.find_in(map, user_key)? {
                None if !whole => self.load_entry(of, user_key),
                found => Ok(found),
            },
            None if self.entries.shard(of.shard).is_complete() => Ok(None),
            None => self.load_entry(of, user_key),
        }
    }

    /// Whether a map has no entry.
    pub(crate) fn is_empty(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<bool, StateError> {
        let of = self.map_key(hash, key, namespace)?;
        if self.known_map(of).is_none() && !self.entries.shard(of.shard).is_complete() {
            self.load_front(of)?;
        }
        Ok(self.known_map(of).is_none())
    }

    fn map_key<'k>(
        &self,
        hash: u64,
        key: &'k K,
        namespace: &'k N,
    ) -> Result<MapKey<'k, K, N>, StateError> {
        Ok(MapKey {
            entry_hash: entry_hash(hash, namespace)?,
            shard: self.entries.groups().shard_of(hash)?,
            key,
            namespace,
        })
    }

    /// A map of which something is in memory, and whether all of it is.
    #[inline]
    fn known_map(&self, of: MapKey<'_, K, N>) -> Option<(Place, bool)> {
        let heads = &self.heads[of.shard];
        let slot = heads.find(of.entry_hash, of.key, of.namespace)?;
        let whole = self.entries.shard(of.shard).is_complete()
            || matches!(heads.entry(slot), Some((_, _, head)) if head.below == Below::Nothing);
        let map = Place {
            shard: of.shard,
            slot,
        };
        Some((map, whole))
    }

    /// An entry that is in memory.
    #[inline]
    fn find_in(&self, map: Place, user_key: &U) -> Result<Option<Found>, StateError> {
        let owner = Owner(map.slot);
        let hash = linked_hash(owner, user_key)?;
        let slot = self.entries.shard(map.shard).find(hash, &owner, user_key);
        Ok(slot.map(|slot| Found {
            map,
            entry: Place { slot, ..map },
        }))
    }

    /// The entry at a place that [`Self::find`] or [`Self::walk`] gave.
    #[inline]
    pub(crate) fn at(&self, place: Place) -> (&U, &V) {
        let (_, user_key, linked) = self
            .entries
            .shard(place.shard)
            .entry(place.slot)
            .expect("a place is used before its entry is removed");
        (user_key, &linked.value)
    }

    /// Its value, for changing it.
    #[inline]
    pub(crate) fn at_mut(&mut self, place: Place) -> &mut V {
        let codec = MapCodec(&self.heads[place.shard]);
        let linked = self
            .entries
            .shard_mut(place.shard)
            .value_mut(place.slot, &codec);
        &mut linked
            .expect("a place is used before its entry is removed")
            .value
    }

    /// Sets the value of a user key.
    pub(crate) fn put(
        &mut self,
        hash: u64,
        key: &K,
        namespace: &N,
        user_key: U,
        value: V,
    ) -> Result<(), StateError> {
        let of = self.map_key(hash, key, namespace)?;
        let known = self.known_map(of);
        if let Some((map, _)) = known
            && let Some(found) = self.find_in(map, &user_key)?
        {
            *self.at_mut(found.entry) = value;
            return Ok(());
        }
        let whole = known.is_some_and(|(_, whole)| whole);
        let entry = if whole || self.entries.shard(of.shard).is_complete() {
            Entry::New
        } else {
            // What the tier has under the key need not be known.
            Entry::Over
        };
        self.append(of, (user_key, value), entry).map(drop)
    }

    /// Takes out an entry that [`Self::find`] gave.
    pub(crate) fn remove(&mut self, found: Found) -> V {
        self.remove_at(found.map, found.entry)
    }

    /// Looks at the next `count` slots and removes the entries that are `dead`.
    pub(crate) fn sweep(&mut self, count: u32, dead: impl Fn(&V) -> bool) {
        let (mut shard, mut slot) = self.sweep_at;
        for _ in 0..count {
            if let Some((owner, _, linked)) = self.entries.shard(shard).entry(slot)
                && dead(&linked.value)
            {
                let map = Place {
                    shard,
                    slot: owner.0,
                };
                self.remove_at(map, Place { shard, slot });
            }
            slot += 1;
            if slot as usize >= self.entries.shard(shard).slots() {
                slot = 0;
                shard = (shard + 1) % self.heads.len();
            }
        }
        self.sweep_at = (shard, slot);
    }
}

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> StateTable for MapTable<K, N, U, V> {
    fn shards(&mut self) -> &mut dyn AnyShards {
        &mut self.entries
    }

    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        let heads = &self.heads;
        self.entries
            .copy_some(budget, |shard| MapCodec(&heads[shard]))
    }

    fn restore(
        &mut self,
        group: KeyGroup,
        block: &[u8],
        format: ValueFormat,
    ) -> Result<(), CodecError> {
        let mut rest = block;
        while let Some(record) = read_record(&mut rest)? {
            let mut text = record.key;
            let key: K = decode_front(&mut text)?;
            let namespace: N = decode_front(&mut text)?;
            let user_key: U = decode_front(&mut text)?;
            check_read(text)?;
            let hash = checked_hash(&key, self.entries.groups(), group)?;
            let done = match record.value {
                Some(value) => {
                    let value = (self.read_value)(value, format)?;
                    self.put(hash, &key, &namespace, user_key, value)
                }
                None => self
                    .find(hash, &key, &namespace, &user_key)
                    .map(|found| drop(found.map(|found| self.remove(found)))),
            };
            done.map_err(|e| CodecError::decode::<(K, N, U)>(e.to_string()))?;
        }
        Ok(())
    }

    fn memory(&mut self) -> usize {
        let heads = &self.heads;
        let entries = self.entries.memory(|shard| MapCodec(&heads[shard]));
        entries + self.head_bytes()
    }

    fn spill(&mut self, at_least: usize) -> Result<Vec<Block>, CodecError> {
        let heads = &self.heads;
        self.entries
            .spill(at_least, |shard| MapCodec(&heads[shard]))
    }

    fn evict(&mut self) {
        let heads = &mut self.heads;
        self.entries.evict(|shard| heads[shard] = Shard::default());
    }

    fn bytes(&self) -> usize {
        self.entries.bytes() + self.head_bytes()
    }
}
