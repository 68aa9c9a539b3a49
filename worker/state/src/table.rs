//! The heap backend's table: (key, namespace) → value, sharded by key group.
//!
//! Built-in operators use it directly, with the hash that their input was routed by, so that a
//! record costs one probe. Everything else goes through the state handles. A table belongs to one
//! subtask's thread. It knows nothing of time to live: such values carry their time with them.

pub(crate) mod bit_set;
pub(crate) mod changes;
pub(crate) mod hash_index;
pub(crate) mod map_table;
pub(crate) mod record;
pub(crate) mod segments;
pub(crate) mod shard;
pub(crate) mod shards;
pub(crate) mod timer_queue;

use weir_types::{CheckpointId, KeyGroup};

use self::record::{Record, read_record};
use self::shard::{PlainCodec, Shard};
use self::shards::{KeyGroups, Shards, TableSnapshot};
use crate::codec::{CodecError, StateValue, decode_front};
use crate::error::StateError;
use crate::key::{StateKey, hash_within, key_hash};

/// Keyed state of one name.
#[derive(Debug)]
pub struct Table<K, N, V> {
    shards: Shards<K, N, V>,
    read_value: ReadValue<V>,
    /// Where the next sweep for expired values goes on: shard and slot.
    sweep_at: (usize, u32),
}

/// An entry's place. It holds until the entry is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) shard: usize,
    pub(crate) slot: u32,
}

/// How many rows are looked up together.
const GUESSES: usize = 128;

/// Where an entry most likely is.
#[derive(Clone, Copy, Debug, Default)]
struct Guess {
    entry_hash: u64,
    shard: usize,
    slot: u32,
}

/// Reads a value from a snapshot, whether it was written with a time to live or not.
pub(crate) type ReadValue<V> = fn(&[u8], ValueFormat) -> Result<V, CodecError>;

/// What a snapshot says about a state's values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ValueFormat {
    /// Each value has its time beside it.
    pub(crate) timed: bool,
    /// The time that values without one get.
    pub(crate) now_ms: i64,
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
        }
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.shards.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how much memory the table takes, without what keys and values own elsewhere.
    pub fn bytes(&self) -> usize {
        self.shards.bytes()
    }

    /// All entries, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &N, &V)> {
        self.shards
            .iter()
            .flat_map(Shard::iter)
            .map(|(_, key, namespace, value)| (key, namespace, value))
    }

    /// The value of a key with this hash ([`key_hash`]).
    pub fn get(&self, hash: u64, key: &K, namespace: &N) -> Result<Option<&V>, StateError> {
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
        let shard = self.shards.of_hash_mut(hash)?;
        let id = if let Some(id) = shard.find(entry_hash, key, namespace) {
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
        let shard = self.shards.of_hash_mut(hash)?;
        let Some(id) = shard.find(entry_hash, key, namespace) else {
            return Ok(None);
        };
        Ok(shard
            .remove(entry_hash, id, &PlainCodec)
            .map(|(_, _, value)| value))
    }

    /// [`Self::upsert_with`] for the rows of a chunk, in order; `emit` sees each new value. The
    /// hashes are those of the rows' keys.
    ///
    /// Worth it for tables larger than the cache: rows are looked up in small groups, one step of
    /// all of them after the other, so that the processor waits for their memory at once.
    pub fn upsert_all<'r, A>(
        &mut self,
        hashes: &[u64],
        namespace: &N,
        rows: impl IntoIterator<Item = (&'r K, A)>,
        (insert, update): (impl Fn(A) -> V, impl Fn(&mut V, A)),
        mut emit: impl FnMut(&'r K, &V),
    ) -> Result<(), StateError> {
        let mut rows = rows.into_iter();
        let mut guesses = [Guess::default(); GUESSES];
        for hashes in hashes.chunks(GUESSES) {
            self.guess(hashes, namespace, &mut guesses)?;
            for ((hash, guess), (key, arg)) in hashes.iter().zip(&guesses).zip(&mut rows) {
                debug_assert_eq!(key_hash(key), Ok(*hash));
                let shard = self.shards.shard_mut(guess.shard);
                let mut known = Some(guess.slot).filter(|id| shard.holds(*id, key, namespace));
                if known.is_none() {
                    known = shard.find(guess.entry_hash, key, namespace);
                }
                let value = if let Some(id) = known {
                    let value = shard
                        .value_mut(id, &PlainCodec)
                        .expect("the slot is in use");
                    update(value, arg);
                    value
                } else {
                    let (hash, value) = (guess.entry_hash, insert(arg));
                    let id = shard.insert(hash, key.clone(), namespace.clone(), value, rehash);
                    shard.untracked_mut(id).expect("the slot is in use")
                };
                emit(key, value);
            }
        }
        Ok(())
    }

    /// Finds out where the entries of these hashes most likely are, and brings them into the
    /// cache.
    #[inline]
    fn guess(
        &self,
        hashes: &[u64],
        namespace: &N,
        guesses: &mut [Guess; GUESSES],
    ) -> Result<(), StateError> {
        let mut touched = 0;
        for (hash, guess) in hashes.iter().zip(guesses.iter_mut()) {
            guess.shard = self.shards.groups().shard_of(*hash)?;
            guess.entry_hash = entry_hash(*hash, namespace)?;
        }
        let guesses = &mut guesses[..hashes.len()];
        for guess in guesses.iter() {
            touched ^= self.shards.shard(guess.shard).touch_index(guess.entry_hash);
        }
        for guess in guesses.iter_mut() {
            guess.slot = self.shards.shard(guess.shard).guess(guess.entry_hash);
        }
        for guess in guesses.iter() {
            touched ^= self.shards.shard(guess.shard).touch_slot(guess.slot);
        }
        std::hint::black_box(touched);
        Ok(())
    }

    #[inline]
    pub(crate) fn find(
        &self,
        hash: u64,
        key: &K,
        namespace: &N,
    ) -> Result<Option<Place>, StateError> {
        let entry_hash = entry_hash(hash, namespace)?;
        let shard = self.shards.groups().shard_of(hash)?;
        let slot = self.shards.shard(shard).find(entry_hash, key, namespace);
        Ok(slot.map(|slot| Place { shard, slot }))
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

/// What the backend does with a state whose types it does not know.
pub(crate) trait StateTable: std::any::Any + Send {
    fn begin(&mut self, checkpoint: CheckpointId, complete: bool);
    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError>;
    fn finish(&mut self) -> Option<TableSnapshot>;
    fn confirm(&mut self, checkpoint: CheckpointId);
    fn abort(&mut self, checkpoint: CheckpointId);
    fn restore(
        &mut self,
        group: KeyGroup,
        block: &[u8],
        format: ValueFormat,
    ) -> Result<(), CodecError>;
    fn bytes(&self) -> usize;
}

impl<K: StateKey, N: StateKey, V: StateValue> StateTable for Table<K, N, V> {
    fn begin(&mut self, checkpoint: CheckpointId, complete: bool) {
        self.shards.begin(checkpoint, complete);
    }

    fn copy_some(&mut self, budget: &mut usize) -> Result<bool, CodecError> {
        self.shards.copy_some(budget, |_| PlainCodec)
    }

    fn finish(&mut self) -> Option<TableSnapshot> {
        self.shards.finish()
    }

    fn confirm(&mut self, checkpoint: CheckpointId) {
        self.shards.confirm(checkpoint);
    }

    fn abort(&mut self, checkpoint: CheckpointId) {
        self.shards.abort(checkpoint);
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
            check_read(text)?;
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
