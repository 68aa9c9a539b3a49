//! Reads maps that are not in memory from the tier below. A map is in memory whole or not at all,
//! so that it can be iterated and be known to be empty.

use crate::codec::{CodecError, StateValue, decode_front, encode};
use crate::cold::group_prefix;
use crate::error::StateError;
use crate::key::StateKey;
use crate::table::entry_hash;
use crate::table::map_table::{Entry, MapTable};
use crate::table::state_table::{check_read, checked_hash};

impl<K: StateKey, N: StateKey, U: StateKey, V: StateValue> MapTable<K, N, U, V> {
    /// Reads a map whose key group is not complete: the slot of its head, if it is not empty.
    #[cold]
    pub(super) fn load_map(
        &mut self,
        shard_at: usize,
        (hash, entry_hash): (u64, u64),
        key: &K,
        namespace: &N,
    ) -> Result<Option<u32>, StateError> {
        self.load_group_if_room(shard_at)?;
        // It may have come with its key group.
        let found = self.heads[shard_at].find(entry_hash, key, namespace);
        if found.is_some() || self.entries.shard(shard_at).is_complete() {
            return Ok(found);
        }
        let group = self.entries.groups().group_of_shard(shard_at);
        let (shard, below) = self.entries.over(shard_at);
        let prefix = below.key(group, |out| {
            encode(key, out)?;
            encode(namespace, out)
        })?;
        let (read_value, format, mut found) = (self.read_value, below.format, Vec::new());
        below.scan(&prefix, |text, bytes| {
            if shard.partial_mut().is_some_and(|p| p.is_removed(text)) {
                return Ok(true);
            }
            let mut rest = text.get(prefix.len() - 2..).unwrap_or_default();
            let user_key: U = decode_front(&mut rest)?;
            check_read(rest)?;
            found.push((user_key, read_value(bytes, format)?));
            Ok(true)
        })?;
        for entry in found {
            self.append(hash, key, namespace, entry, Entry::FromBelow)?;
        }
        Ok(self.heads[shard_at].find(entry_hash, key, namespace))
    }

    /// Reads a whole key group, unless memory is short or enough was read just now.
    fn load_group_if_room(&mut self, shard_at: usize) -> Result<(), StateError> {
        /// The map that the scan is at, and whether it was in memory before.
        struct At<K, N> {
            hash: u64,
            key: K,
            namespace: N,
            known: bool,
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
            let refuse = |e: StateError| CodecError::decode::<(K, N, U)>(e.to_string());
            let mut rest = text;
            let key: K = decode_front(&mut rest)?;
            let namespace: N = decode_front(&mut rest)?;
            let user_key: U = decode_front(&mut rest)?;
            check_read(rest)?;
            let same = at
                .as_ref()
                .is_some_and(|at| at.key == key && at.namespace == namespace);
            if !same {
                // Between two maps is where to stop: no map is in memory by half.
                let used = self.entries.shard(shard_at).bytes().saturating_sub(before) + owned;
                whole = used <= below.room.get();
                let hash = checked_hash(&key, groups, group)?;
                let entry_hash = entry_hash(hash, &namespace).map_err(refuse)?;
                let known = self.heads[shard_at]
                    .find(entry_hash, &key, &namespace)
                    .is_some();
                at = whole.then_some(At {
                    hash,
                    key,
                    namespace,
                    known,
                });
            }
            let Some(map) = at.as_ref() else {
                return Ok(false);
            };
            let (shard, _) = self.entries.over(shard_at);
            if map.known || shard.partial_mut().is_some_and(|p| p.is_removed(text)) {
                return Ok(true);
            }
            let entry = (user_key, read_value(bytes, format)?);
            self.append(map.hash, &map.key, &map.namespace, entry, Entry::FromBelow)
                .map_err(refuse)?;
            owned += text.len() + bytes.len();
            Ok(true)
        })?;
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
