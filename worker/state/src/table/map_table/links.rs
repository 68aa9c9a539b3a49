//! Heads and links: which entries make a map.
//!
//! A map has a head as long as an entry of it is in memory. Its entries are linked in the order in
//! which they came there.

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::{StateKey, hash_within};
use crate::table::map_table::{Entry, Found, MapCodec, MapKey, MapTable};
use crate::table::shard::{PlainCodec, Shard};
use crate::table::{Place, rehash};

const NONE: u32 = u32::MAX;

/// The slot of a map's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Owner(pub(super) u32);

/// A map: its first and last entry.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub(super) struct Head {
    first: u32,
    last: u32,
    pub(super) below: Below,
}

/// What the tier has of a map that is not in memory, if its key group is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) enum Below {
    /// Nobody has looked yet.
    Unknown,
    /// More than was read: each entry is to be asked for.
    More,
    Nothing,
}

#[derive(Debug)]
pub(super) struct Linked<V> {
    pub(super) value: V,
    previous: u32,
    next: u32,
}

/// The hash of an entry among those of its shard.
#[inline]
pub(super) fn linked_hash<U: StateKey>(owner: Owner, user_key: &U) -> Result<u64, StateError> {
    hash_within(u64::from(owner.0), user_key).map_err(StateError::hash::<U>)
}

pub(super) fn rehash_linked<U: StateKey>(owner: &Owner, user_key: &U) -> u64 {
    linked_hash(*owner, user_key).expect("a key in the table was hashed before")
}

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> MapTable<K, N, U, V> {
    /// Adds an entry that is not in memory to the end of its map, which is made if need be.
    pub(super) fn append(
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

    /// Takes out the entries of a map in memory that the function says no to.
    pub(super) fn retain_in(&mut self, map: Place, mut keep: impl FnMut(&U, &V) -> bool) {
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

    pub(super) fn head(&self, map: Place) -> Option<Head> {
        self.heads[map.shard]
            .entry(map.slot)
            .map(|(_, _, head)| *head)
    }

    pub(super) fn head_mut(&mut self, map: Place) -> &mut Head {
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

    pub(super) fn remove_at(&mut self, map: Place, place: Place) -> V {
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

    pub(super) fn head_bytes(&self) -> usize {
        let heads = self.heads.iter();
        let heads = heads.map(|head| size_of::<Shard<K, N, Head>>() + head.bytes());
        heads.sum::<usize>()
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
