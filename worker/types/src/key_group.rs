//! Key groups: the unit in which keyed state is assigned to subtasks, so that a job can be
//! restored at another parallelism (Flink's `KeyGroupRangeAssignment`, with our own hash).

use std::fmt;

use serde::{Deserialize, Serialize};

/// The most key groups a job can have.
pub const MAX_PARALLELISM_LIMIT: u32 = 32_768;

/// One of a job's `max_parallelism` key groups.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct KeyGroup(pub u16);

impl KeyGroup {
    /// The key group of a key with this hash.
    #[inline]
    pub fn of_hash(hash: u64, max_parallelism: u32) -> Self {
        // The upper half: the lower bits choose the bucket within a key group's table.
        Self(((hash >> 32) as u32 % max_parallelism) as u16)
    }
}

impl fmt::Display for KeyGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The subtask, out of `parallelism`, that a key group belongs to.
#[inline]
pub fn subtask_of_key_group(group: KeyGroup, max_parallelism: u32, parallelism: u32) -> u32 {
    u32::from(group.0) * parallelism / max_parallelism
}

/// A run of key groups, both ends included. Never empty: a vertex's parallelism is at most its
/// max parallelism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupRange {
    /// The first key group.
    pub start: u16,
    /// The last key group.
    pub end: u16,
}

impl KeyGroupRange {
    /// The key groups of one subtask. Panics if `parallelism` is 0 or over `max_parallelism`, or
    /// the subtask does not exist: the graph was checked before.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "max_parallelism is at most 32,768"
    )]
    pub fn of_subtask(max_parallelism: u32, parallelism: u32, subtask: u32) -> Self {
        assert!(
            parallelism >= 1 && parallelism <= max_parallelism,
            "parallelism {parallelism} must lie in 1..={max_parallelism}"
        );
        assert!(max_parallelism <= MAX_PARALLELISM_LIMIT && subtask < parallelism);
        Self {
            start: (subtask * max_parallelism).div_ceil(parallelism) as u16,
            end: (((subtask + 1) * max_parallelism - 1) / parallelism) as u16,
        }
    }

    /// How many key groups the range has.
    pub fn len(&self) -> usize {
        usize::from(self.end - self.start) + 1
    }

    /// Always false; here because `len` is.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Whether the key group lies in the range.
    pub fn contains(&self, group: KeyGroup) -> bool {
        (self.start..=self.end).contains(&group.0)
    }

    /// The key groups in order.
    pub fn iter(&self) -> impl Iterator<Item = KeyGroup> + use<> {
        (self.start..=self.end).map(KeyGroup)
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..={}", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_ranges_of_all_subtasks_cover_each_key_group_once(
            max in 1u32..=MAX_PARALLELISM_LIMIT, share in 0.0f64..1.0
        ) {
            let parallelism = ((f64::from(max) * share) as u32).clamp(1, 400);
            let mut next = 0u32;
            for subtask in 0..parallelism {
                let range = KeyGroupRange::of_subtask(max, parallelism, subtask);
                prop_assert_eq!(u32::from(range.start), next);
                for group in [KeyGroup(range.start), KeyGroup(range.end)] {
                    prop_assert_eq!(subtask_of_key_group(group, max, parallelism), subtask);
                }
                next = u32::from(range.end) + 1;
            }
            prop_assert_eq!(next, max);
        }
    }
}
