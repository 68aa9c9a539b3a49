//! The entries of a key group as a snapshot has them, until somebody asks for them.
//!
//! To read a value, and to put it where it belongs, takes much longer than to note where it lies,
//! and the first records after a restore ask for few of all values. So a restore looks at the keys
//! alone. What is asked for is read then, the rest bit by bit. Each entry is either here or among
//! the slots, so that nothing has to be compared.

use std::sync::Arc;

use crate::codec::CodecError;
use crate::table::hash_index::HashIndex;
use crate::table::record::{Record, read_record};
use crate::table::state_table::ValueFormat;

/// Bytes of a snapshot. Shared with whatever else may still ask for them.
pub(crate) type Part = Arc<Vec<u8>>;

/// Places are 4 bytes: what is larger is read at once.
pub(crate) const MOST_BYTES: usize = 1 << 30;

/// The place of an entry that is not here any more.
const GONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Unread {
    /// Records, one part behind the other.
    parts: Vec<Part>,
    /// Where the latest record of each key begins, counted over all parts.
    places: Vec<u32>,
    /// Finds a key's number in `places`.
    index: HashIndex,
    /// How many are still here.
    left: usize,
    /// Those before it are not.
    next: usize,
    format: ValueFormat,
    state: Arc<str>,
}

/// The index looks at the lower half of a hash; the key group comes from the upper one.
#[expect(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
fn low(hash: u64) -> u32 {
    hash as u32
}

impl Unread {
    /// Notes where the entries lie. `hash` is that of a record's key, and says whether there is
    /// anything wrong with it; `same` compares two.
    pub(crate) fn new(
        parts: &[Part],
        (state, format): (&Arc<str>, ValueFormat),
        mut hash: impl FnMut(&[u8]) -> Result<u64, CodecError>,
        same: impl Fn(&[u8], &[u8]) -> bool,
    ) -> Result<Self, CodecError> {
        let mut unread = Self {
            parts: parts.to_vec(),
            places: Vec::new(),
            index: HashIndex::default(),
            left: 0,
            next: 0,
            format,
            state: Arc::clone(state),
        };
        let mut hashes = Vec::new();
        let mut before = 0;
        let total: usize = parts.iter().map(|part| part.len()).sum();
        for part in parts {
            let mut rest = part.as_slice();
            loop {
                let place = before + (part.len() - rest.len());
                let Some(record) = read_record(&mut rest)? else {
                    break;
                };
                let place = u32::try_from(place).map_err(|_| {
                    CodecError::decode::<Record>("a key group is too large to be read later")
                })?;
                let hash = low(hash(record.key)?);
                if !unread.index.has_room(unread.next_id()) {
                    unread.make_room(&mut hashes, before + part.len() - rest.len(), total);
                }
                unread.note(&mut hashes, (hash, place), &record, &same);
            }
            before += part.len();
        }
        Ok(unread)
    }

    /// Takes in a record, which is newer than those before it.
    #[inline]
    fn note(
        &mut self,
        hashes: &mut Vec<u32>,
        (hash, place): (u32, u32),
        record: &Record,
        same: impl Fn(&[u8], &[u8]) -> bool,
    ) {
        let known = self.index.find(hash, |id| {
            self.record(id as usize)
                .is_some_and(|known| same(known.key, record.key))
        });
        match (known, record.value) {
            (Some((_, id)), Some(_)) => self.places[id as usize] = place,
            (Some((position, id)), None) => {
                self.index.remove(position);
                self.places[id as usize] = GONE;
                self.left -= 1;
            }
            (None, Some(_)) => {
                let id = self.next_id();
                self.places.push(place);
                hashes.push(hash);
                self.index.insert(hash, id);
                self.left += 1;
            }
            (None, None) => {}
        }
    }

    fn next_id(&self) -> u32 {
        u32::try_from(self.places.len()).expect("places are fewer than bytes")
    }

    /// Makes room for as many keys as there will be if they go on as in the bytes so far, but not
    /// for many times those that were seen.
    fn make_room(&mut self, hashes: &mut Vec<u32>, seen: usize, total: usize) {
        let known = self.places.len();
        let expected = known * (total / seen.max(1) + 1);
        let room = expected.clamp(2 * known, 64 * known).max(8);
        self.places.reserve(room - known);
        hashes.reserve(room - known);
        self.index = HashIndex::with_room(room);
        for ((id, hash), place) in (0u32..).zip(&*hashes).zip(&self.places) {
            if *place != GONE {
                self.index.insert(*hash, id);
            }
        }
    }

    /// How many entries are here.
    pub(crate) fn len(&self) -> usize {
        self.left
    }

    /// How the values are written.
    pub(crate) fn format(&self) -> ValueFormat {
        self.format
    }

    /// The state's name.
    pub(crate) fn state(&self) -> &str {
        &self.state
    }

    /// The number of the entry whose key has this hash and of which `is_it` says yes.
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(&[u8]) -> bool) -> Option<usize> {
        let found = self.index.find(low(hash), |id| {
            self.record(id as usize)
                .is_some_and(|record| is_it(record.key))
        });
        found.map(|(_, id)| id as usize)
    }

    /// The first one that is here, in the order of numbers.
    pub(crate) fn first(&mut self) -> Option<usize> {
        let gone = self.places[self.next..].iter();
        self.next += gone.take_while(|place| **place == GONE).count();
        (self.next < self.places.len()).then_some(self.next)
    }

    /// The record of an entry, if it is here.
    pub(crate) fn record(&self, id: usize) -> Option<Record<'_>> {
        let place = *self.places.get(id).filter(|place| **place != GONE)?;
        let mut place = place as usize;
        for part in &self.parts {
            if place < part.len() {
                // It was read before.
                return read_record(&mut &part[place..]).ok().flatten();
            }
            place -= part.len();
        }
        None
    }

    /// It is somewhere else from now on.
    pub(crate) fn forget(&mut self, id: usize) {
        if let Some(place) = self.places.get_mut(id)
            && *place != GONE
        {
            *place = GONE;
            self.left -= 1;
        }
    }

    /// Memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        let parts = self.parts.iter().map(|part| part.len());
        parts.sum::<usize>() + self.places.capacity() * size_of::<u32>() + self.index.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::table::record::{append_put, write_removed};

    /// Few different hashes, so that entries are told by their keys.
    fn hash(key: &[u8]) -> u64 {
        u64::from(key.first().copied().unwrap_or_default() % 5)
    }

    fn part(changes: &[(u8, Option<u8>)]) -> Part {
        let mut part = Vec::new();
        for (key, value) in changes {
            match value {
                Some(value) => append_put(&mut part, &[*key], &[*value]),
                None => {
                    let key = |out: &mut Vec<u8>| {
                        out.push(*key);
                        Ok(())
                    };
                    write_removed(&mut part, key).unwrap();
                }
            }
        }
        Arc::new(part)
    }

    proptest! {
        #[test]
        fn each_key_has_its_latest_value_until_it_is_forgotten(
            parts in prop::collection::vec(
                prop::collection::vec((0u8..60, prop::option::of(any::<u8>())), 0..60), 0..4),
            forgotten in prop::collection::vec(0u8..60, 0..40),
        ) {
            let mut model: BTreeMap<u8, u8> = BTreeMap::new();
            for (key, value) in parts.iter().flatten() {
                match value {
                    Some(value) => drop(model.insert(*key, *value)),
                    None => drop(model.remove(key)),
                }
            }
            let parts: Vec<Part> = parts.iter().map(|changes| part(changes)).collect();
            let format = ValueFormat { version: 1, timed: false, now_ms: 0 };
            let of = (&Arc::from("state"), format);
            let mut unread = Unread::new(&parts, of, |key| Ok(hash(key)), |a, b| a == b).unwrap();
            for key in forgotten {
                let found = unread.find(hash(&[key]), |other| other == [key]);
                let value = found.and_then(|id| unread.record(id)?.value.map(<[u8]>::to_vec));
                prop_assert_eq!(value, model.remove(&key).map(|value| vec![value]));
                found.into_iter().for_each(|id| unread.forget(id));
                prop_assert_eq!(unread.len(), model.len());
            }
            let mut rest = BTreeMap::new();
            while let Some(id) = unread.first() {
                let record = unread.record(id).unwrap();
                rest.insert(record.key[0], record.value.unwrap()[0]);
                unread.forget(id);
            }
            prop_assert_eq!(rest, model);
            prop_assert_eq!(unread.len(), 0);
        }
    }
}
