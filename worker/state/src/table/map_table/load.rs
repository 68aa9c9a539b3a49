//! Reads what is not in memory from the tier below.
//!
//! While there is plenty of room a key group is read whole, as of other tables. Otherwise the first
//! entries of a map are read when something of it is asked for: of most maps that is all. A larger
//! one is then read entry by entry, so that it may be larger than memory.

use crate::codec::{CodecError, StateValue, decode_front, encode};
use crate::cold::group_prefix;
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::map_table::{Below, Entry, Found, MapKey, MapTable};
use crate::table::partial::Partial;
use crate::table::state_table::{check_read, checked_hash};
use crate::table::{Place, below, entry_hash};

/// What a scan says when a key cannot be taken in.
fn refuse<K, N, U>(error: StateError) -> CodecError {
    CodecError::decode::<(K, N, U)>(error.to_string())
}

/// The user key at the end of an entry's key, which snapshots have without the prefix's key group.
fn user_key_of<U: StateKey>(text: &[u8], prefix: &[u8]) -> Result<U, CodecError> {
    let before = below::Below::text(prefix).len();
    let mut rest = text.get(before..).unwrap_or_default();
    let user_key = decode_front(&mut rest)?;
    check_read(rest)?;
    Ok(user_key)
}

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> MapTable<K, N, U, V> {
    /// Reads a map whose key group is not complete: where it is, if it is not empty.
    #[cold]
    pub(super) fn load_map(&mut self, of: MapKey<'_, K, N>) -> Result<Option<Place>, StateError> {
        self.load_group_if_room(of.shard)?;
        match self.known_map(of) {
            Some((map, true)) => return Ok(Some(map)),
            None if self.entries.shard(of.shard).is_complete() => return Ok(None),
            _ => self.load_entries(of, usize::MAX)?,
        }
        Ok(self.known_map(of).map(|(map, _)| map))
    }

    /// Reads an entry that is not in memory, whose key group is not complete.
    #[cold]
    pub(super) fn load_entry(
        &mut self,
        of: MapKey<'_, K, N>,
        user_key: &U,
    ) -> Result<Option<Found>, StateError> {
        let head = self.known_map(of).and_then(|(map, _)| self.head(map));
        if head.is_none_or(|head| head.below == Below::Unknown) {
            self.load_front(of)?;
            let Some((map, whole)) = self.known_map(of) else {
                return Ok(None);
            };
            // It may have come with the others.
            let found = self.find_in(map, user_key)?;
            if found.is_some() || whole {
                return Ok(found);
            }
        }
        let group = self.entries.groups().group_of_shard(of.shard);
        let (read_value, (shard, below)) = (self.read_value, self.entries.over(of.shard));
        let text = below.key(group, |out| {
            encode(of.key, out)?;
            encode(of.namespace, out)?;
            encode(user_key, out)
        })?;
        let removed = |partial: &mut Partial| partial.is_removed(below::Below::text(&text));
        if shard.partial_mut().is_some_and(removed) {
            return Ok(None);
        }
        let mut value = None;
        below.get(&[&text], |_, bytes| {
            value = Some(read_value(bytes, below.format)?);
            Ok(())
        })?;
        let Some(value) = value else {
            return Ok(None);
        };
        let entry = (user_key.clone(), value);
        self.append(of, entry, Entry::FromBelow).map(Some)
    }

    /// Reads the key group, if there is room, or else as much of a map as makes no difference: at
    /// least an entry that is not in memory, if there is one.
    pub(super) fn load_front(&mut self, of: MapKey<'_, K, N>) -> Result<(), StateError> {
        /// More than the maps of most programs have.
        const MOST_BYTES: usize = 64 << 10;
        /// The part of the memory that a single map is worth.
        const SHARE: usize = 64;
        self.load_group_if_room(of.shard)?;
        let (shard, below) = self.entries.over(of.shard);
        if shard.is_complete() {
            return Ok(());
        }
        let most = (below.room.limit() / SHARE).min(MOST_BYTES);
        self.load_entries(of, most)
    }

    /// Shows all entries of a map, and leaves those in the tier there.
    pub(crate) fn visit(
        &mut self,
        (hash, key, namespace): (u64, &K, &N),
        mut visit: impl FnMut(&U, &V),
    ) -> Result<(), StateError> {
        let of = self.map_key(hash, key, namespace)?;
        let known = self.known_map(of);
        for (_, user_key, value) in self.walk(known.map(|(map, _)| map)) {
            visit(user_key, value);
        }
        let complete = self.entries.shard(of.shard).is_complete();
        if known.map_or(complete, |(_, whole)| whole) {
            return Ok(());
        }
        let (below, prefix) = self.below_map(of)?;
        below.scan(&prefix, |text, bytes| {
            let user_key = user_key_of(text, &prefix)?;
            if self.is_up_to_date(of, text, &user_key)? {
                visit(&user_key, &(self.read_value)(bytes, below.format)?);
            }
            Ok(true)
        })
    }

    /// Removes the entries of a map that the function says no to. Those that are in the tier alone
    /// are looked at there: memory is taken for the keys of the removed ones only, until the tier
    /// is told.
    pub(crate) fn retain(
        &mut self,
        (hash, key, namespace): (u64, &K, &N),
        mut keep: impl FnMut(&U, &V) -> bool,
    ) -> Result<(), StateError> {
        let of = self.map_key(hash, key, namespace)?;
        let is_whole = |table: &Self| match table.known_map(of) {
            Some((_, whole)) => whole,
            None => table.entries.shard(of.shard).is_complete(),
        };
        if !is_whole(self) {
            self.load_group_if_room(of.shard)?;
        }
        let whole = is_whole(self);
        if let Some((map, _)) = self.known_map(of) {
            self.retain_in(map, &mut keep);
        }
        if whole {
            return Ok(());
        }
        let (below, prefix) = self.below_map(of)?;
        below.scan(&prefix, |text, bytes| {
            let user_key = user_key_of(text, &prefix)?;
            if self.is_up_to_date(of, text, &user_key)?
                && !keep(&user_key, &(self.read_value)(bytes, below.format)?)
            {
                self.entries.over(of.shard).0.remove_below(text);
            }
            Ok(true)
        })
    }

    /// The tier, and what the keys of a map's entries begin with there.
    fn below_map(&mut self, of: MapKey<'_, K, N>) -> Result<(below::Below, Vec<u8>), StateError> {
        let group = self.entries.groups().group_of_shard(of.shard);
        let (_, below) = self.entries.over(of.shard);
        let prefix = below.key(group, |out| {
            encode(of.key, out)?;
            encode(of.namespace, out)
        })?;
        Ok((below.clone(), prefix))
    }

    /// Whether what the tier has of an entry counts: it is not in memory, and was not removed.
    fn is_up_to_date(
        &mut self,
        of: MapKey<'_, K, N>,
        text: &[u8],
        user_key: &U,
    ) -> Result<bool, CodecError> {
        let (shard, _) = self.entries.over(of.shard);
        if shard.partial_mut().is_some_and(|p| p.is_removed(text)) {
            return Ok(false);
        }
        let Some((map, _)) = self.known_map(of) else {
            return Ok(true);
        };
        let found = self.find_in(map, user_key).map_err(refuse::<K, N, U>)?;
        Ok(found.is_none())
    }

    /// Reads entries of a map until there are so many bytes of them.
    fn load_entries(&mut self, of: MapKey<'_, K, N>, most: usize) -> Result<(), StateError> {
        let (below, prefix) = self.below_map(of)?;
        let (read_value, format, mut bytes_read) = (self.read_value, below.format, 0);
        let mut left = Below::Nothing;
        below.scan(&prefix, |text, bytes| {
            if bytes_read > most {
                left = Below::More;
                return Ok(false);
            }
            let user_key = user_key_of(text, &prefix)?;
            let read = self.append_read(of, text, user_key, || read_value(bytes, format));
            bytes_read += if read? { text.len() + bytes.len() } else { 0 };
            Ok(true)
        })?;
        self.note_below(of, left);
        Ok(())
    }

    /// Adds an entry that the tier has, unless it is in memory or was removed. Whether it did.
    fn append_read(
        &mut self,
        of: MapKey<'_, K, N>,
        text: &[u8],
        user_key: U,
        value: impl FnOnce() -> Result<V, CodecError>,
    ) -> Result<bool, CodecError> {
        if !self.is_up_to_date(of, text, &user_key)? {
            return Ok(false);
        }
        let entry = (user_key, value()?);
        let added = self.append(of, entry, Entry::FromBelow);
        added.map_err(refuse::<K, N, U>)?;
        Ok(true)
    }

    /// What is left of a map in the tier, if anything of it is in memory.
    fn note_below(&mut self, of: MapKey<'_, K, N>, left: Below) {
        if let Some((map, _)) = self.known_map(of) {
            self.head_mut(map).below = left;
        }
    }

    /// Reads a whole key group, unless memory is short or enough was read just now.
    fn load_group_if_room(&mut self, shard_at: usize) -> Result<(), StateError> {
        /// The map that the scan is at, and whether it was in memory as a whole before.
        struct At<K, N> {
            entry_hash: u64,
            key: K,
            namespace: N,
            known: bool,
        }
        impl<K, N> At<K, N> {
            fn key(&self, shard: usize) -> MapKey<'_, K, N> {
                MapKey {
                    entry_hash: self.entry_hash,
                    shard,
                    key: &self.key,
                    namespace: &self.namespace,
                }
            }
        }
        let groups = self.entries.groups();
        let group = groups.group_of_shard(shard_at);
        let (shard, below) = self.entries.over(shard_at);
        if below.room.get() == 0 || shard.is_complete() {
            return Ok(());
        }
        let below = below.clone();
        let before = shard.bytes();
        let (read_value, format) = (self.read_value, below.format);
        let (mut owned, mut whole) = (0, true);
        let mut at: Option<At<K, N>> = None;
        below.scan(&group_prefix(group), |text, bytes| {
            let mut rest = text;
            let key: K = decode_front(&mut rest)?;
            let namespace: N = decode_front(&mut rest)?;
            let user_key: U = decode_front(&mut rest)?;
            check_read(rest)?;
            let used = self.entries.shard(shard_at).bytes().saturating_sub(before) + owned;
            whole = used <= below.room.get();
            let same = at
                .as_ref()
                .is_some_and(|at| at.key == key && at.namespace == namespace);
            if !same {
                if let Some(done) = at.take() {
                    self.note_below(done.key(shard_at), Below::Nothing);
                }
                let hash = checked_hash(&key, groups, group)?;
                let mut next = At {
                    entry_hash: entry_hash(hash, &namespace).map_err(refuse::<K, N, U>)?,
                    key,
                    namespace,
                    known: false,
                };
                next.known = matches!(self.known_map(next.key(shard_at)), Some((_, true)));
                at = whole.then_some(next);
            }
            let Some(map) = at.as_ref().filter(|_| whole) else {
                return Ok(false);
            };
            if map.known {
                return Ok(true);
            }
            let read = || read_value(bytes, format);
            if self.append_read(map.key(shard_at), text, user_key, read)? {
                owned += text.len() + bytes.len();
            }
            Ok(true)
        })?;
        if let Some(last) = at.filter(|last| !last.known) {
            let left = if whole { Below::Nothing } else { Below::More };
            self.note_below(last.key(shard_at), left);
        }
        let (shard, below) = self.entries.over(shard_at);
        below
            .room
            .take(shard.bytes().saturating_sub(before) + owned);
        if whole {
            shard.complete();
        }
        Ok(())
    }
}
