//! The changes of a key group as a tier wants them: the last one of each key, in order.

use crate::codec::CodecError;
use crate::table::record::read_record;

/// An encoded key and its value; None: it is removed.
pub type ColdChange<'a> = (&'a [u8], Option<&'a [u8]>);

/// Splits a block into the last change of each key, in the order of keys.
pub fn sorted_changes(block: &[u8]) -> Result<Vec<ColdChange<'_>>, CodecError> {
    let (mut changes, mut order): (Vec<ColdChange<'_>>, Vec<Place>) = Default::default();
    let (mut rest, mut longest) = (block, 0);
    while let Some(record) = read_record(&mut rest)? {
        if changes.is_empty() {
            // As if all were as long as the first one.
            let about = block.len() / (block.len() - rest.len()) + 1;
            changes.reserve(about);
            order.reserve(about);
        }
        let nth = u32::try_from(changes.len()).expect("a key group holds at most 2^30 entries");
        longest = longest.max(record.key.len());
        order.push((front(record.key), nth));
        changes.push((record.key, record.value));
    }
    sort_by_front(&mut order);
    // Fronts lie side by side, and most keys differ in them; the keys are anywhere in memory.
    if longest >= FRONT {
        for alike in order.chunk_by_mut(|a, b| a.0 == b.0) {
            // Those of equal keys stay in order.
            alike.sort_by_key(|(_, nth)| changes[*nth as usize].0);
        }
    }
    // The last of equal keys is the newest.
    let mut kept: Vec<ColdChange<'_>> = Vec::with_capacity(changes.len());
    for (_, nth) in order {
        let change = changes[nth as usize];
        match kept.last_mut() {
            Some(last) if last.0 == change.0 => *last = change,
            _ => kept.push(change),
        }
    }
    Ok(kept)
}

/// The front of a key, and which change it is.
type Place = (u64, u32);

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

/// Sorts by fronts; what is equal stays in order. Byte by byte from the last one, without those in
/// which all are alike: most, where keys are small numbers.
fn sort_by_front(order: &mut Vec<Place>) {
    /// Fewer are sorted sooner by comparing.
    const MANY: usize = 256;
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
    let mut sorted = vec![Place::default(); order.len()];
    for (byte, differ) in differ.to_le_bytes().into_iter().enumerate() {
        if differ == 0 {
            continue;
        }
        let digit = |place: &Place| usize::from(place.0.to_le_bytes()[byte]);
        let mut next = [0u32; 256];
        for place in &*order {
            next[digit(place)] += 1;
        }
        let mut before = 0;
        for count in &mut next {
            before += std::mem::replace(count, before);
        }
        for place in &*order {
            let at = &mut next[digit(place)];
            sorted[*at as usize] = *place;
            *at += 1;
        }
        std::mem::swap(order, &mut sorted);
    }
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
            let sorted = sorted_changes(&block).unwrap();
            let sorted: Vec<_> = sorted
                .into_iter()
                .map(|(key, value)| (key.to_vec(), value.map(<[u8]>::to_vec)))
                .collect();
            prop_assert_eq!(sorted, model.into_iter().collect::<Vec<_>>());
        }
    }
}
