//! Which timer is due first: timers by time, those of one time by their key group and then their
//! hash, so that the order does not depend on that of registration, and that timers which lie side
//! by side come one after the other.
//!
//! Windows make many timers of few times. So the timers of one time lie in a list of their own,
//! which is sorted when their turn comes; from then on it is known which ones are next, and what
//! they need can be brought into the cache before it is asked for. A heap, as Flink has it
//! (`HeapPriorityQueueSet`), gives its next elements away one at a time, each from another place
//! in memory. A long list is sorted now and then while it grows as well: results wait for what is
//! done when its turn has come.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap};

/// Where a timer is, and the hash of its key and namespace. Ordered by [`Due::rank`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Due {
    pub(crate) shard: u32,
    pub(crate) hash: u64,
    pub(crate) slot: u32,
}

/// The shortest list that is sorted before its turn comes.
const SORT_FROM: usize = if cfg!(test) { 8 } else { 1024 };

impl Due {
    pub(crate) fn new(hash: u64, shard: usize, slot: u32) -> Self {
        let shard = u32::try_from(shard).expect("a shard per key group");
        Self { shard, hash, slot }
    }

    /// The order as one number, which takes one comparison.
    fn rank(&self) -> u128 {
        u128::from(self.shard) << 96 | u128::from(self.hash) << 32 | u128::from(self.slot)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Timers by time. It is not told of deletions: whoever takes the first one looks whether it is
/// still there.
#[derive(Debug, Default)]
pub(crate) struct DueTimes {
    times: BTreeMap<i64, SameTime>,
    len: usize,
}

/// Timers of one time. Most often there is one, or there are thousands.
#[derive(Debug)]
enum SameTime {
    One(Due),
    Many(Box<Many>),
}

#[derive(Debug, Default)]
struct Many {
    /// Until their turn comes in no order, of a long list all but the end sorted; then sorted, the
    /// first one last.
    timers: Vec<Due>,
    /// How many there were when they were sorted last.
    in_order: usize,
    /// Their turn has come.
    sorted: bool,
    /// What came after they were sorted.
    late: BinaryHeap<Reverse<Due>>,
}

impl Many {
    fn push(&mut self, due: Due) {
        if self.sorted {
            self.late.push(Reverse(due));
            return;
        }
        self.timers.push(due);
        if self.timers.len() >= SORT_FROM.max(self.in_order + self.in_order / 2) {
            self.put_in_order();
        }
    }

    fn sort(&mut self) {
        if !self.sorted {
            self.put_in_order();
            self.sorted = true;
        }
    }

    /// The stable sort finds the part that is sorted already, and merges the rest into it.
    fn put_in_order(&mut self) {
        self.timers.sort_by_key(|due| Reverse(due.rank()));
        self.in_order = self.timers.len();
    }

    /// How many are left.
    fn retain(&mut self, keep: impl Fn(u32) -> bool) -> usize {
        self.timers.retain(|due| keep(due.shard));
        self.timers.shrink_to_fit();
        self.late.retain(|Reverse(due)| keep(due.shard));
        self.late.shrink_to_fit();
        self.timers.len() + self.late.len()
    }

    fn any(&self) -> Option<Due> {
        let late = || self.late.peek().map(|Reverse(late)| *late);
        self.timers.last().copied().or_else(late)
    }

    /// Of sorted ones. Whether the first one came late, and which one it is.
    fn first(&self) -> Option<(bool, Due)> {
        match (self.timers.last(), self.late.peek()) {
            (Some(due), Some(Reverse(late))) if late < due => Some((true, *late)),
            (Some(due), _) => Some((false, *due)),
            (None, late) => late.map(|Reverse(late)| (true, *late)),
        }
    }
}

impl DueTimes {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, time: i64, due: Due) {
        self.len += 1;
        self.times
            .entry(time)
            .and_modify(|same| match same {
                SameTime::Many(many) => many.push(due),
                SameTime::One(one) => {
                    let timers = vec![*one, due];
                    let many = Many {
                        timers,
                        ..Many::default()
                    };
                    *same = SameTime::Many(Box::new(many));
                }
            })
            .or_insert(SameTime::One(due));
    }

    /// The first time, and one of its timers: no matter which, because to know the first one they
    /// would have to be sorted before all of them have come.
    pub(crate) fn any_of_first_time(&self) -> Option<(i64, Due)> {
        let (time, same) = self.times.first_key_value()?;
        match same {
            SameTime::One(due) => Some((*time, *due)),
            SameTime::Many(many) => many.any().map(|due| (*time, due)),
        }
    }

    /// Takes off what [`Self::any_of_first_time`] gives.
    pub(crate) fn drop_any_of_first_time(&mut self) {
        self.take(|many| {
            if many.timers.pop().is_none() {
                many.late.pop();
            }
        });
    }

    /// The first timer and its time.
    pub(crate) fn first(&mut self) -> Option<(i64, Due)> {
        let mut entry = self.times.first_entry()?;
        let time = *entry.key();
        match entry.get_mut() {
            SameTime::One(due) => Some((time, *due)),
            SameTime::Many(many) => {
                many.sort();
                many.first().map(|(_, due)| (time, due))
            }
        }
    }

    /// Takes the first timer off.
    pub(crate) fn pop(&mut self) {
        self.take(|many| {
            many.sort();
            if many.first().is_some_and(|(late, _)| late) {
                many.late.pop();
            } else {
                many.timers.pop();
            }
        });
    }

    /// Takes one of the first time; `which` does so where there are many.
    fn take(&mut self, which: impl FnOnce(&mut Many)) {
        let Some(mut entry) = self.times.first_entry() else {
            return;
        };
        self.len -= 1;
        if let SameTime::Many(many) = entry.get_mut() {
            which(many);
            if !many.timers.is_empty() || !many.late.is_empty() {
                return;
            }
        }
        entry.remove();
    }

    /// Forgets those of the shards that the function says no to.
    pub(crate) fn retain(&mut self, keep: impl Fn(u32) -> bool) {
        self.len = 0;
        self.times.retain(|_, same| {
            let left = match same {
                SameTime::One(due) => usize::from(keep(due.shard)),
                SameTime::Many(many) => many.retain(&keep),
            };
            self.len += left;
            left > 0
        });
    }

    /// The next ones of the first time, as far as they are known.
    pub(crate) fn next_few(&self, most: usize) -> impl Iterator<Item = &Due> {
        let sorted = match self.times.first_key_value() {
            Some((_, SameTime::Many(many))) if many.sorted => many.timers.as_slice(),
            _ => &[],
        };
        sorted.iter().rev().take(most)
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let node = size_of::<(i64, SameTime)>() * 3 / 2;
        self.times.len() * node + self.len * size_of::<Due>()
    }
}

impl FromIterator<(i64, Due)> for DueTimes {
    fn from_iter<I: IntoIterator<Item = (i64, Due)>>(timers: I) -> Self {
        let mut due_times = Self::default();
        for (time, due) in timers {
            due_times.push(time, due);
        }
        due_times
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a sorted set. Slots make timers distinct; pushes go on while timers are taken,
        /// to the first time too; now and then one shard's are forgotten.
        #[test]
        fn timers_come_in_the_order_of_time_and_hash(
            ops in prop::collection::vec(prop::option::weighted(0.6, (0i64..4, 0u64..8)), 0..300),
            drops: u64,
        ) {
            let (mut times, mut model) = (DueTimes::default(), BTreeSet::new());
            for (slot, op) in (0u32..).zip(ops) {
                if slot % 50 == 49 {
                    let gone = u32::from(drops >> 63 == 1);
                    times.retain(|shard| shard != gone);
                    model.retain(|(_, due): &(i64, Due)| due.shard != gone);
                } else if let Some((time, hash)) = op {
                    let due = Due { shard: slot % 2, hash, slot };
                    times.push(time, due);
                    model.insert((time, due));
                } else if drops >> (slot % 64) & 1 == 1 {
                    let any = times.any_of_first_time();
                    prop_assert_eq!(any.map(|(time, _)| time), model.first().map(|(time, _)| *time));
                    times.drop_any_of_first_time();
                    prop_assert!(any.is_none_or(|any| model.remove(&any)));
                } else {
                    prop_assert_eq!(times.first(), model.first().copied());
                    times.pop();
                    model.pop_first();
                }
                prop_assert_eq!(times.len(), model.len());
            }
            while let Some(first) = model.pop_first() {
                prop_assert_eq!(times.first(), Some(first));
                times.pop();
            }
            prop_assert!(times.first().is_none() && times.len() == 0);
        }
    }

    #[test]
    fn most_of_a_long_list_is_sorted_before_its_turn_comes() {
        let mut times = DueTimes::default();
        for slot in 0..1000u32 {
            let hash = u64::from(slot) * 7919 % 1009;
            times.push(7, Due::new(hash, slot as usize % 3, slot));
            let Some(SameTime::Many(many)) = times.times.get(&7) else {
                continue;
            };
            let sorted = many
                .timers
                .get(..many.in_order)
                .expect("no more than there are");
            assert!(sorted.is_sorted_by(|a, b| a > b));
            assert!(many.in_order * 3 / 2 + SORT_FROM > many.timers.len());
        }
        let came: Vec<Due> = std::iter::from_fn(|| {
            let (_, due) = times.first()?;
            times.pop();
            Some(due)
        })
        .collect();
        assert_eq!(came.len(), 1000);
        assert!(came.is_sorted());
    }

    #[test]
    fn the_next_few_are_those_that_come_next() {
        let due = |hash| Due {
            hash,
            shard: 0,
            slot: 0,
        };
        let mut times: DueTimes = (0..100).map(|n| (7, due(n * 37 % 100))).collect();
        assert_eq!(times.first(), Some((7, due(0))));
        let next: Vec<u64> = times.next_few(5).map(|due| due.hash).collect();
        assert_eq!(next, [0, 1, 2, 3, 4]);
        times.pop();
        assert_eq!(times.next_few(1).next(), Some(&due(1)));
    }
}
