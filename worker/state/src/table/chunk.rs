//! Works on the rows of a chunk together, because a large table's entries are far from the
//! processor: rows are looked up in groups, one step of all of them after the other, so that the
//! processor waits for their memory at once instead of one after the other.

use crate::codec::StateValue;
use crate::error::StateError;
use crate::key::{StateKey, key_hash};
use crate::table::shard::PlainCodec;
use crate::table::{Table, entry_hash, rehash};

/// How many rows are looked up together.
const GUESSES: usize = 128;

/// Where an entry most likely is.
#[derive(Clone, Copy, Debug, Default)]
struct Guess {
    entry_hash: u64,
    shard: usize,
    slot: u32,
}

impl<K: StateKey, N: StateKey, V: StateValue> Table<K, N, V> {
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
        emit: impl FnMut(&'r K, &V),
    ) -> Result<(), StateError> {
        if self.shards.partial {
            let rows: Vec<(&'r K, A)> = rows.into_iter().collect();
            self.load_missing(hashes, namespace, rows.iter().map(|(key, _)| *key))?;
            self.upsert_here(hashes, namespace, rows.into_iter(), (insert, update), emit)
        } else {
            self.upsert_here(hashes, namespace, rows.into_iter(), (insert, update), emit)
        }
    }

    /// The same when what is not in memory is nowhere.
    fn upsert_here<'r, A>(
        &mut self,
        hashes: &[u64],
        namespace: &N,
        mut rows: impl Iterator<Item = (&'r K, A)>,
        (insert, update): (impl Fn(A) -> V, impl Fn(&mut V, A)),
        mut emit: impl FnMut(&'r K, &V),
    ) -> Result<(), StateError> {
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
        assert!(rows.next().is_none(), "there is a hash for each row");
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
}
