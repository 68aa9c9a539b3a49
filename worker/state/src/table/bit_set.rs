//! A set of slot numbers: one bit each.

#[derive(Clone, Debug, Default)]
pub(crate) struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    #[inline]
    fn place(id: u32) -> (usize, u64) {
        ((id >> 6) as usize, 1 << (id & 63))
    }

    /// Adds the number; false if it was there.
    #[inline]
    pub(crate) fn insert(&mut self, id: u32) -> bool {
        let (word, bit) = Self::place(id);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Whether the number is in it.
    #[inline]
    pub(crate) fn contains(&self, id: u32) -> bool {
        let (word, bit) = Self::place(id);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// Takes the number out; false if it was not there.
    #[inline]
    pub(crate) fn remove(&mut self, id: u32) -> bool {
        let (word, bit) = Self::place(id);
        let Some(word) = self.words.get_mut(word) else {
            return false;
        };
        let was = *word & bit != 0;
        *word &= !bit;
        was
    }

    /// Takes out all of the 64 numbers around this one: the first of the 64, and which of them.
    #[inline]
    pub(crate) fn take_around(&mut self, id: u32) -> (u32, u64) {
        let (place, _) = Self::place(id);
        let taken = self.words.get_mut(place).map_or(0, std::mem::take);
        (id & !63, taken)
    }

    /// Puts back what [`Self::take_around`] gave, or a part of it.
    #[inline]
    pub(crate) fn put_back(&mut self, (first, taken): (u32, u64)) {
        let (place, _) = Self::place(first);
        if let Some(word) = self.words.get_mut(place) {
            *word |= taken;
        }
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn reset(&mut self) {
        self.words = Vec::new();
    }

    /// All numbers below `end`.
    pub(crate) fn below(end: usize) -> Self {
        let mut words = vec![u64::MAX; end / 64];
        if !end.is_multiple_of(64) {
            words.push((1 << (end % 64)) - 1);
        }
        Self { words }
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        let ones = self.words.iter().map(|word| word.count_ones() as usize);
        ones.sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.words.capacity() * size_of::<u64>()
    }

    pub(crate) fn union_with(&mut self, other: &Self) {
        if self.words.len() < other.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// The smallest number that lies in word `*cursor` or behind it. The cursor moves past the
    /// empty words, so that a whole walk costs one look at each word.
    pub(crate) fn first_from(&self, cursor: &mut usize) -> Option<u32> {
        while let Some(word) = self.words.get(*cursor) {
            if *word != 0 {
                let id = *cursor * 64 + word.trailing_zeros() as usize;
                return Some(u32::try_from(id).expect("only u32 numbers are inserted"));
            }
            *cursor += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn numbers(set: &BitSet) -> Vec<u32> {
        let (mut set, mut cursor, mut numbers) = (set.clone(), 0, Vec::new());
        while let Some(id) = set.first_from(&mut cursor) {
            assert!(set.remove(id));
            numbers.push(id);
        }
        numbers
    }

    proptest! {
        #[test]
        fn it_does_what_a_set_does(
            a in prop::collection::vec((any::<bool>(), 0u32..300), 0..80),
            b in prop::collection::btree_set(0u32..500, 0..40),
        ) {
            let (mut set, mut model) = (BitSet::default(), BTreeSet::new());
            for (add, id) in a {
                if add {
                    prop_assert_eq!(set.contains(id), model.contains(&id));
                    prop_assert_eq!(set.insert(id), model.insert(id));
                } else {
                    prop_assert_eq!(set.remove(id), model.remove(&id));
                }
            }
            prop_assert_eq!(numbers(&set), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), model.len());
            let mut other = BitSet::default();
            b.iter().for_each(|id| { other.insert(*id); });
            set.union_with(&other);
            prop_assert_eq!(numbers(&set), model.union(&b).copied().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_numbers_around_one_are_taken_together_and_put_back() {
        let mut set = BitSet::default();
        for id in [63, 64, 70, 127, 128] {
            set.insert(id);
        }
        let taken = set.take_around(100);
        assert_eq!(taken, (64, 1 | 1 << 6 | 1 << 63));
        assert_eq!(numbers(&set), [63, 128]);
        set.put_back((64, 1 << 6));
        assert_eq!(numbers(&set), [63, 70, 128]);
        assert_eq!(set.take_around(1000), (960, 0));
        set.put_back((960, 0));
        assert_eq!(numbers(&set), [63, 70, 128]);
    }

    #[test]
    fn below_holds_each_number_under_the_end() {
        for end in [0, 1, 63, 64, 65, 128, 200] {
            let want: Vec<u32> = (0..u32::try_from(end).unwrap()).collect();
            assert_eq!(numbers(&BitSet::below(end)), want);
        }
    }
}
