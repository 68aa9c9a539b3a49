//! Finds a slot number by hash: open addressing over 4-byte cells in groups of one cache line.
//!
//! A cell holds a slot number in as many low bits as there are cells, and the hash's upper bits in
//! the rest: with 2^17 cells 15 bits of the hash lie beside the number, so that hardly ever a slot
//! is looked at in vain. The low bits of the hash choose the group; an entry may lie anywhere in
//! it, or in a later one if it is full. All cells of a group are compared at once: the search
//! then has no branch that depends on where the entry lies, and the processor can go ahead to the
//! next records while it waits for memory. Growing costs 4 bytes a cell, not an entry each.
//!
//! A search ends at a group with an empty cell. A cell that is given up in a group which others
//! went past must not look empty, or they would not be found. How many went past each group is
//! counted, so that this ends when they are gone: else, where entries come and go all the time as
//! those of windows do, more and more groups would look full, and searches go through many.

const GROUP: usize = 16;
/// Never a real cell: the slot number would be the last cell's, and three quarters are used.
const EMPTY: u32 = u32::MAX;
/// A cell that was given up in a group which others went past.
const REMOVED: u32 = u32::MAX - 1;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Group([u32; GROUP]);

impl Group {
    /// A bit for each cell whose bits under the mask are these.
    #[inline]
    fn matches(&self, mask: u32, bits: u32) -> u32 {
        let mut found = 0;
        for (place, cell) in self.0.iter().enumerate() {
            found |= u32::from(cell & mask == bits) << place;
        }
        found
    }

    /// A bit for each cell without a slot.
    #[inline]
    fn free(&self) -> u32 {
        self.matches(!1, REMOVED & !1)
    }

    #[inline]
    fn has_empty(&self) -> bool {
        self.matches(u32::MAX, EMPTY) != 0
    }

    /// Empties the cells that were given up, and says how many they were.
    fn empty_removed(&mut self) -> usize {
        let mut emptied = 0;
        for cell in &mut self.0 {
            if *cell == REMOVED {
                *cell = EMPTY;
                emptied += 1;
            }
        }
        emptied
    }
}

/// The cell of the lowest bit.
#[inline]
fn first(found: u32) -> usize {
    found.trailing_zeros() as usize % GROUP
}

#[derive(Debug, Default)]
pub(crate) struct HashIndex {
    /// A power of two of groups, or none.
    groups: Vec<Group>,
    /// For each group, how many entries lie behind it because it was full. No cell of such a group
    /// is `EMPTY`; other groups have no `REMOVED` one. What reaches the highest number stays there.
    went_past: Vec<u16>,
    /// Cells that are not `EMPTY`.
    filled: usize,
}

/// Where a cell is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// The group where the search began.
    home: usize,
    group: usize,
    cell: usize,
}

impl HashIndex {
    /// The position and slot number whose cell has this hash and of whose slot `is_it` says yes.
    /// `is_it` must say no to numbers that are no slot's.
    #[inline]
    pub(crate) fn find(&self, hash: u32, is_it: impl Fn(u32) -> bool) -> Option<(Position, u32)> {
        let groups = self.groups.as_slice();
        if groups.is_empty() {
            return None;
        }
        let mask = groups.len() - 1;
        let id_mask = id_mask(groups.len());
        let home = hash as usize & mask;
        let mut at = home;
        loop {
            let group = &groups[at];
            let mut found = group.matches(!id_mask, hash & !id_mask);
            while found != 0 {
                let cell = first(found);
                let id = group.0[cell] & id_mask;
                if is_it(id) {
                    let position = Position {
                        home,
                        group: at,
                        cell,
                    };
                    return Some((position, id));
                }
                found &= found - 1;
            }
            if group.has_empty() {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Reads a cell of the group where a search for the hash begins, to bring it into the cache.
    #[inline]
    pub(crate) fn touch(&self, hash: u32) -> u32 {
        let at = hash as usize & self.groups.len().wrapping_sub(1);
        self.groups.get(at).map_or(0, |group| group.0[0])
    }

    /// The slot number that a search for the hash most likely ends at.
    #[inline]
    pub(crate) fn peek(&self, hash: u32) -> u32 {
        let id_mask = id_mask(self.groups.len());
        let Some(group) = self
            .groups
            .get(hash as usize & self.groups.len().wrapping_sub(1))
        else {
            return EMPTY;
        };
        let found = group.matches(!id_mask, hash & !id_mask);
        group.0[first(found)] & id_mask
    }

    /// Whether [`Self::insert`] may be called, if slot numbers up to `id` occur.
    #[inline]
    pub(crate) fn has_room(&self, id: u32) -> bool {
        let limit = self.groups.len() * (GROUP / 4 * 3);
        self.filled < limit && (id as usize) < limit
    }

    /// Makes an empty index with room for `slots` slots and some more.
    pub(crate) fn with_room(slots: usize) -> Self {
        let cells = (slots + slots / 2).max(1).next_power_of_two();
        assert!(cells <= 1 << 31, "a key group holds at most 2^30 entries");
        let groups = cells.div_ceil(GROUP);
        Self {
            groups: vec![Group([EMPTY; GROUP]); groups],
            went_past: vec![0; groups],
            filled: 0,
        }
    }

    /// Adds a slot that is not in it. There must be room.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u32, id: u32) {
        debug_assert!(self.has_room(id));
        let mask = self.groups.len() - 1;
        let id_mask = id_mask(self.groups.len());
        let mut at = hash as usize & mask;
        loop {
            let group = &mut self.groups[at];
            let free = group.free();
            if free != 0 {
                let cell = &mut group.0[first(free)];
                self.filled += usize::from(*cell == EMPTY);
                *cell = hash & !id_mask | id;
                return;
            }
            self.went_past[at] = self.went_past[at].saturating_add(1);
            at = (at + 1) & mask;
        }
    }

    /// Removes the cell at a position that [`Self::find`] gave.
    pub(crate) fn remove(&mut self, position: Position) {
        let passed = self.went_past[position.group] > 0;
        self.groups[position.group].0[position.cell] = if passed { REMOVED } else { EMPTY };
        self.filled -= usize::from(!passed);
        let mask = self.groups.len() - 1;
        let mut at = position.home;
        while at != position.group {
            let went_past = &mut self.went_past[at];
            if *went_past < u16::MAX {
                *went_past -= 1;
            }
            if *went_past == 0 {
                self.filled -= self.groups[at].empty_removed();
            }
            at = (at + 1) & mask;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.groups.capacity() * size_of::<Group>() + self.went_past.capacity() * size_of::<u16>()
    }
}

/// The bits of a cell that hold the slot number.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "an index has at most 2^31 cells"
)]
fn id_mask(groups: usize) -> u32 {
    (groups * GROUP).wrapping_sub(1) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    impl HashIndex {
        fn cells(&self) -> impl Iterator<Item = u32> {
            self.groups.iter().flat_map(|group| group.0)
        }
    }

    fn find(index: &HashIndex, hashes: &HashMap<u32, u32>, id: u32) -> bool {
        hashes
            .get(&id)
            .is_some_and(|hash| index.find(*hash, |found| found == id).is_some())
    }

    proptest! {
        /// Few distinct hashes, so that groups run over.
        #[test]
        fn every_slot_is_found_until_it_is_removed(
            ops in prop::collection::vec((0u32..200, 0u32..4, any::<bool>()), 0..600),
        ) {
            let mut index = HashIndex::with_room(200);
            let mut hashes = HashMap::new();
            for (id, hash, insert) in ops {
                if insert && !hashes.contains_key(&id) {
                    if !index.has_room(id) {
                        index = HashIndex::with_room(200);
                        hashes.iter().for_each(|(id, hash)| index.insert(*hash, *id));
                    }
                    index.insert(hash, id);
                    hashes.insert(id, hash);
                } else if let Some(hash) = hashes.remove(&id) {
                    let (position, _) = index.find(hash, |found| found == id).unwrap();
                    index.remove(position);
                    prop_assert!(index.find(hash, |found| found == id).is_none());
                }
                for id in 0..200 {
                    prop_assert_eq!(find(&index, &hashes, id), hashes.contains_key(&id));
                }
                prop_assert_eq!(index.filled, index.cells().filter(|cell| *cell != EMPTY).count());
                prop_assert!(!hashes.is_empty() || index.cells().all(|cell| cell == EMPTY));
            }
        }
    }

    /// As the panes of windows do: each is looked for in vain, comes, and goes with all others.
    #[test]
    fn entries_that_come_and_go_leave_no_trace_in_the_way_of_others() {
        let mut index = HashIndex::with_room(160);
        let mut hash = 1u32;
        for _ in 0..1_000 {
            let hashes: Vec<u32> = (0..160)
                .map(|_| {
                    hash = hash.wrapping_mul(0x9E37_79B1).rotate_left(13) ^ 0x5bd1_e995;
                    hash
                })
                .collect();
            for (id, hash) in (0u32..).zip(&hashes) {
                assert!(index.has_room(id));
                assert!(index.find(*hash, |found| found == id).is_none());
                index.insert(*hash, id);
            }
            for (id, hash) in (0u32..).zip(&hashes) {
                let (position, _) = index.find(*hash, |found| found == id).unwrap();
                index.remove(position);
            }
            assert!(index.cells().all(|cell| cell == EMPTY));
        }
    }

    #[test]
    fn a_hash_of_all_ones_is_told_from_an_empty_cell() {
        let mut index = HashIndex::with_room(3);
        assert!(index.find(u32::MAX, |id| id < 3).is_none());
        index.insert(u32::MAX, 2);
        assert_eq!(index.find(u32::MAX, |id| id < 3).map(|(_, id)| id), Some(2));
    }
}
