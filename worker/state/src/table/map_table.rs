//! The table of map state: (key, namespace, user key) → value, with each map's entries linked.
//!
//! Every entry of a map is an entry of its own in a snapshot, so that a large map costs what
//! changed in it. An entry refers to its map by the slot of the map's head, not by a copy of the
//! key; the entries of one map form a doubly linked list in the order in which they were added.
//! Heads and links are not in snapshots: they follow from the entries.
//!
//! Over a tier a map may be in memory in part: its head says what is known of the rest. Single
//! entries are read when they are asked for; what looks at all of a map reads all of it.

use weir_types::KeyGroup;

use crate::codec::{CodecError, StateValue, decode_front, encode};
use crate::error::StateError;
use crate::key::{StateKey, hash_within};
use crate::table::below::AnyShards;
use crate::table::record::read_record;
use crate::table::shard::{EntryCodec, PlainCodec, Shard};
use crate::table::shards::{Block, KeyGroups, Shards};
use crate::table::state_table::{ReadValue, StateTable, ValueFormat, check_read, checked_hash};
use crate::table::{Place, entry_hash, rehash};

mod load;

const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct MapTable<K, N, U, V> {
    heads: Vec<Shard<K, N, Head>>,
    entries: Shards<Owner, U, Linked<V>>,
    read_value: ReadValue<V>,
    sweep_at: (usize, u32),
}

/// The slot of a map's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
struct Owner(u32);

/// A map: its first and last entry.
#[derive(Clone, Copy, Debug, serde::Serialize)]
struct Head {
    first: u32,
    last: u32,
    below: Below,
}

/// What the tier has of a map that is not in memory, if its key group is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
enum Below {
    /// Nobody has looked yet.
    Unknown,
    /// More than was read: each entry is to be asked for.
    More,
    Nothing,
}

#[derive(Debug)]
struct Linked<V> {
    value: V,
    previous: u32,
    next: u32,
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

/// The hash of an entry among those of its shard.
#[inline]
fn linked_hash<U: StateKey>(owner: Owner, user_key: &U) -> Result<u64, StateError> {
    hash_within(u64::from(owner.0), user_key).map_err(StateError::hash::<U>)
}

fn rehash_linked<U: StateKey>(owner: &Owner, user_key: &U) -> u64 {
    linked_hash(*owner, user_key).expect("a key in the table was hashed before")
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

    /// Adds an entry that is not in memory to the end of its map, which is made if need be.
    fn append(
        &mut self,
        of: MapKey<'_, K, N>,
        (user_key, value): (U, V),
        entry: Entry,
    ) -> Result<Found, StateError> {
        // Hash the user key before there is a head without an entry.
        linked_hash(Owner(NONE), &user_key)?;
        let map = self.find_or_make_map(of);
        let owner = Owner(map.slot);
        let previous = self.head_mut(map).last;
        let entries = self.entries.shard_mut(map.shard);
        let entry_hash = linked_hash(owner, &user_key)?;
        let linked = Linked {
            value,
            previous,
            next: NONE,
        };
        let new = (owner, user_key, linked);
        let slot = match entry {
            Entry::New => entries.insert(entry_hash, new.0, new.1, new.2, rehash_linked),
            Entry::Over => entries.insert_over(entry_hash, new, rehash_linked),
            Entry::FromBelow => entries.insert_clean(entry_hash, new, rehash_linked),
        };
        self.set_next(map, previous, slot);
        self.set_previous(map, NONE, slot);
        Ok(Found {
            map,
            entry: Place { slot, ..map },
        })
    }

    /// Takes out an entry that [`Self::find`] gave.
    pub(crate) fn remove(&mut self, found: Found) -> V {
        self.remove_at(found.map, found.entry)
    }

    /// Takes out the entries of a map that the function says no to.
    pub(crate) fn retain(&mut self, map: Place, mut keep: impl FnMut(&U, &V) -> bool) {
        let mut next = self.head(map).map_or(NONE, |head| head.first);
        while let Some((_, user_key, linked)) = self.entries.shard(map.shard).entry(next) {
            let place = Place { slot: next, ..map };
            next = linked.next;
            if !keep(user_key, &linked.value) {
                self.remove_at(map, place);
            }
        }
    }

    /// The places of a map's entries, in the order in which they were added.
    pub(crate) fn walk(&self, map: Option<Place>) -> Walk<'_, K, N, U, V> {
        let head = map.and_then(|map| self.head(map));
        let next = head.map_or(NONE, |head| head.first);
        Walk {
            table: self,
            shard: map.map_or(0, |map| map.shard),
            next,
        }
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

    fn head(&self, map: Place) -> Option<Head> {
        self.heads[map.shard]
            .entry(map.slot)
            .map(|(_, _, head)| *head)
    }

    fn head_mut(&mut self, map: Place) -> &mut Head {
        let head = self.heads[map.shard].untracked_mut(map.slot);
        head.expect("a map is used before it is empty")
    }

    fn find_or_make_map(&mut self, of: MapKey<'_, K, N>) -> Place {
        let (shard, heads) = (of.shard, &mut self.heads[of.shard]);
        if let Some(slot) = heads.find(of.entry_hash, of.key, of.namespace) {
            return Place { shard, slot };
        }
        let head = Head {
            first: NONE,
            last: NONE,
            below: Below::Unknown,
        };
        let (key, namespace) = (of.key.clone(), of.namespace.clone());
        let slot = heads.insert(of.entry_hash, key, namespace, head, rehash);
        Place { shard, slot }
    }

    fn remove_at(&mut self, map: Place, place: Place) -> V {
        let shard = self.entries.shard_mut(place.shard);
        let (owner, user_key, _) = shard.entry(place.slot).expect("the place holds an entry");
        let hash = rehash_linked(owner, user_key);
        let codec = MapCodec(&self.heads[place.shard]);
        let (_, _, linked) = shard
            .remove(hash, place.slot, &codec)
            .expect("the place holds an entry");
        let Linked {
            value,
            previous,
            next,
        } = linked;
        self.set_next(map, previous, next);
        self.set_previous(map, next, previous);
        if previous == NONE && next == NONE {
            let heads = &mut self.heads[map.shard];
            let (key, namespace, _) = heads.entry(map.slot).expect("a map's head outlives it");
            let hash = rehash(key, namespace);
            heads.remove(hash, map.slot, &PlainCodec);
        }
        value
    }

    /// Lets an entry, or the head if there is none, be followed by `next`.
    fn set_next(&mut self, map: Place, slot: u32, next: u32) {
        match self.entries.shard_mut(map.shard).untracked_mut(slot) {
            Some(linked) => linked.next = next,
            None => self.head_mut(map).first = next,
        }
    }

    /// Lets an entry, or the map's end if there is none, be preceded by `previous`.
    fn set_previous(&mut self, map: Place, slot: u32, previous: u32) {
        match self.entries.shard_mut(map.shard).untracked_mut(slot) {
            Some(linked) => linked.previous = previous,
            None => self.head_mut(map).last = previous,
        }
    }
}

/// The places of a map's entries.
#[derive(Debug)]
pub(crate) struct Walk<'a, K, N, U, V> {
    table: &'a MapTable<K, N, U, V>,
    shard: usize,
    next: u32,
}

impl<'a, K: StateKey, N: StateKey, U: StateKey, V: StateValue> Iterator for Walk<'a, K, N, U, V> {
    type Item = (Place, &'a U, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        let place = Place {
            shard: self.shard,
            slot: self.next,
        };
        let (_, user_key, linked) = self.table.entries.shard(self.shard).entry(self.next)?;
        self.next = linked.next;
        Some((place, user_key, &linked.value))
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

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> MapTable<K, N, U, V> {
    fn head_bytes(&self) -> usize {
        let heads = self.heads.iter();
        let heads = heads.map(|head| size_of::<Shard<K, N, Head>>() + head.bytes());
        heads.sum::<usize>()
    }
}
