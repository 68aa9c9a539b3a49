//! The changes of a key group as a tier wants them: the last one of each key, in order.

use crate::codec::CodecError;
use crate::table::record::{Record, read_record};

/// Gives the last change of each key, in the order of keys.
///
/// A change is known by the front of its key and by where it stands: those lie side by side, and
/// most keys differ in their fronts. The changes themselves are read as they come and as they are
/// given, and nothing is kept of them.
#[derive(Debug, Default)]
pub struct ChangeSorter {
    order: Vec<Place>,
    /// What the order is sorted into, and then it.
    other: Vec<Place>,
}

/// The front of a key, and where its change begins in the block.
type Place = (u64, usize);

impl ChangeSorter {
    /// Takes the changes of a key group as they came. None for a value: the key is removed. The
    /// sorter is to be used for the next group, too: it keeps its memory.
    pub fn each<E: From<CodecError>>(
        &mut self,
        block: &[u8],
        mut give: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let longest = self.read(block)?;
        self.sort_by_front();
        let key = |at: usize| record(block, at).map(|change| change.key);
        if longest >= FRONT {
            for alike in self.order.chunk_by_mut(|a, b| a.0 == b.0) {
                // Those of equal keys stay in order. All of them could be read before.
                alike.sort_by_cached_key(|(_, at)| key(*at).unwrap_or_default());
            }
        }
        for (nth, (front, at)) in self.order.iter().enumerate() {
            if nth % TOUCHED == 0 {
                touch(block, &self.order[nth..]);
            }
            let Record { key, value } = record(block, *at)?;
            // The last of equal keys is the newest.
            if let Some((next_front, next)) = self.order.get(nth + 1)
                && next_front == front
                && (longest < FRONT || record(block, *next)?.key == key)
            {
                continue;
            }
            give(key, value)?;
        }
        Ok(())
    }

    /// Notes the changes of a block; how long the longest key is.
    fn read(&mut self, block: &[u8]) -> Result<usize, CodecError> {
        self.order.clear();
        let (mut rest, mut longest) = (block, 0);
        loop {
            let at = block.len() - rest.len();
            let Some(Record { key, .. }) = read_record(&mut rest)? else {
                return Ok(longest);
            };
            if self.order.is_empty() {
                // As if all were as long as the first one.
                self.order
                    .reserve(block.len() / (block.len() - rest.len()) + 1);
            }
            longest = longest.max(key.len());
            self.order.push((front(key), at));
        }
    }

    /// Sorts by fronts; what is equal stays in order. Byte by byte from the last one, without those
    /// in which all are alike: most, where keys are small numbers.
    fn sort_by_front(&mut self) {
        /// Fewer are sorted sooner by comparing.
        const MANY: usize = 256;
        let order = &mut self.order;
        let Some((first, _)) = order.first().copied() else {
            return;
        };
        if order.len() < MANY {
            order.sort_unstable();
            return;
        }
        // In which bits.
        let differ = order
            .iter()
            .fold(0, |differ, (front, _)| differ | (front ^ first));
        self.other.resize(order.len(), Place::default());
        for (byte, differ) in differ.to_le_bytes().into_iter().enumerate() {
            if differ == 0 {
                continue;
            }
            let digit = |place: &Place| usize::from(place.0.to_le_bytes()[byte]);
            let mut next = [0usize; 256];
            for place in &*order {
                next[digit(place)] += 1;
            }
            let mut before = 0;
            for count in &mut next {
                before += std::mem::replace(count, before);
            }
            for place in &*order {
                let at = &mut next[digit(place)];
                self.other[*at] = *place;
                *at += 1;
            }
            std::mem::swap(order, &mut self.other);
        }
    }
}

/// So many changes are brought into the cache at a time: they are anywhere in the block, and the
/// processor waits for all of them at once.
const TOUCHED: usize = 32;

#[inline]
fn touch(block: &[u8], places: &[Place]) {
    let places = places.iter().take(TOUCHED);
    let first = places.map(|(_, at)| block.get(*at).copied().unwrap_or(0));
    std::hint::black_box(first.fold(0, |all, byte| all ^ byte));
}

/// The change that begins here.
#[inline]
fn record(block: &[u8], at: usize) -> Result<Record<'_>, CodecError> {
    let mut rest = block.get(at..).unwrap_or_default();
    let change = read_record(&mut rest)?;
    change.ok_or_else(|| CodecError::decode::<Record<'_>>("the block is cut off"))
}

/// How many bytes of a key are compared as a number, the number of bytes included.
const FRONT: usize = 8;

/// The front of a key: if one is smaller, the key is, and short keys are told by it altogether.
///
/// Seven bytes and how many there are, eight at most: of two keys that agree in seven bytes, the
/// one that ends there is the smaller one.
fn front(key: &[u8]) -> u64 {
    let mut bytes = [0; FRONT];
    let taken = key.len().min(FRONT - 1);
    bytes[..taken].copy_from_slice(&key[..taken]);
    // At most eight.
    bytes[FRONT - 1] = key.len().min(FRONT).to_le_bytes()[0];
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    use super::*;
    use crate::table::record::{append_put, write_removed};

    proptest! {
        /// Few keys, so that they repeat, around the length of which they are compared at once.
        #[test]
        fn sorted_changes_are_what_applying_them_in_order_gives(
            fronts in prop::sample::select(vec![&[0usize][..], &[5], &[0, 7], &[0, 5, 6]]),
            changes in prop::collection::vec(
                (any::<prop::sample::Index>(), prop::collection::vec(0u8..3, 0..4),
                    prop::option::of(any::<u8>())), 0..600),
        ) {
            let changes: Vec<_> = changes
                .into_iter()
                .map(|(front, tail, value)| ([vec![0; *front.get(fronts)], tail].concat(), value))
                .collect();
            let (mut block, mut model) = (Vec::new(), BTreeMap::new());
            for (key, value) in &changes {
                match value {
                    Some(value) => append_put(&mut block, key, &[*value]),
                    None => write_removed(&mut block, |out| {
                        out.extend_from_slice(key);
                        Ok(())
                    }).unwrap(),
                }
                model.insert(key.clone(), value.map(|value| vec![value]));
            }
            let model: Vec<_> = model.into_iter().collect();
            let mut sorter = ChangeSorter::default();
            // The second time in memory that the first one has left.
            for _ in 0..2 {
                let mut sorted = Vec::new();
                let each = sorter.each::<CodecError>(&block, |key, value| {
                    sorted.push((key.to_vec(), value.map(<[u8]>::to_vec)));
                    Ok(())
                });
                prop_assert_eq!(each, Ok(()));
                prop_assert_eq!(&sorted, &model);
            }
        }
    }
}
