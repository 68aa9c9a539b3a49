//! How long checkpoints and commits took, counted by length: what a histogram of metrics is made
//! of.

use std::time::Duration;

/// A duration counts for the first of these that it does not exceed, in milliseconds.
pub const DURATION_BOUNDS_MS: [u64; 12] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000,
];

/// Durations by length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many there were, by [`DURATION_BOUNDS_MS`].
    counts: [u64; DURATION_BOUNDS_MS.len()],
    /// How many took even longer.
    longer: u64,
    sum_us: u64,
}

impl Durations {
    /// Counts one.
    pub fn add(&mut self, duration: Duration) {
        let is_below = |bound: &u64| Duration::from_millis(*bound) < duration;
        let place = DURATION_BOUNDS_MS.partition_point(is_below);
        *self.counts.get_mut(place).unwrap_or(&mut self.longer) += 1;
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us = self.sum_us.saturating_add(us);
    }

    /// What was counted elsewhere by the same bounds; last, those longer than any. What is missing
    /// is zero.
    pub fn counted(counts: &[u64], sum: Duration) -> Self {
        let mut durations = Self {
            sum_us: u64::try_from(sum.as_micros()).unwrap_or(u64::MAX),
            ..Self::default()
        };
        for (place, count) in counts.iter().enumerate() {
            *durations
                .counts
                .get_mut(place)
                .unwrap_or(&mut durations.longer) = *count;
        }
        durations
    }

    /// Adds those of another.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.longer += other.longer;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_micros(self.sum_us)
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.longer
    }

    /// How many are longer than the bound before, and not longer than this one; last, those longer
    /// than any bound.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let bounds = DURATION_BOUNDS_MS.map(|ms| Some(Duration::from_millis(ms)));
        let counts = bounds.into_iter().zip(self.counts);
        counts.chain([(None, self.longer)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_for_the_first_bound_that_it_does_not_exceed() {
        let mut durations = Durations::default();
        for us in [0, 10_000, 10_001, 600_000_000, 600_000_001] {
            durations.add(Duration::from_micros(us));
        }
        let counts: Vec<u64> = durations.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(durations.count(), 5);
        assert_eq!(durations.sum(), Duration::from_micros(1_200_020_002));
    }

    #[test]
    fn what_was_counted_elsewhere_is_told_bucket_by_bucket_and_adds_up() {
        let mut first = Durations::default();
        for ms in [3, 30, 700_000] {
            first.add(Duration::from_millis(ms));
        }
        let counts: Vec<u64> = first.buckets().map(|(_, count)| count).collect();
        let again = Durations::counted(&counts, first.sum());
        assert_eq!(again, first);
        let mut both = first;
        both.merge(&again);
        assert_eq!((both.count(), both.sum()), (6, first.sum() * 2));
    }
}
