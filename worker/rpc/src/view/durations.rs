//! How long checkpoints took, counted by length: what a histogram of metrics is made of.

use std::time::Duration;

/// A duration counts for the first of these that it does not exceed, in milliseconds.
pub const DURATION_BOUNDS_MS: [u64; 12] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000,
];

/// Durations by length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// How many there were, by [`DURATION_BOUNDS_MS`].
    counts: [u64; DURATION_BOUNDS_MS.len()],
    /// How many took even longer.
    longer: u64,
    sum_ms: u64,
}

impl Durations {
    /// Counts one.
    pub fn add(&mut self, ms: u64) {
        let place = DURATION_BOUNDS_MS.partition_point(|bound| *bound < ms);
        *self.counts.get_mut(place).unwrap_or(&mut self.longer) += 1;
        self.sum_ms = self.sum_ms.saturating_add(ms);
    }

    /// Their sum.
    pub fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_ms)
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
        for ms in [0, 10, 11, 600_000, 600_001] {
            durations.add(ms);
        }
        let counts: Vec<u64> = durations.buckets().map(|(_, count)| count).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(durations.count(), 5);
        assert_eq!(durations.sum(), Duration::from_millis(1_200_022));
    }
}
