//! When the next barrier comes: they are sent at equal distances, and each comes late now and then.

use std::time::Duration;

use weir_types::Timestamp;

/// Barriers that tell of the next one.
const KEPT: usize = 4;

/// One that was expected so much earlier than the one behind it tells has another rhythm.
const LATE_MAX: Duration = Duration::from_millis(20);

/// The last barriers of checkpoints.
#[derive(Debug, Default)]
pub(super) struct Rhythm {
    /// When they came, the newest first.
    came: [Option<Timestamp>; KEPT],
}

impl Rhythm {
    pub(super) fn on_barrier(&mut self, at: Timestamp) {
        self.came.rotate_right(1);
        self.came[0] = Some(at);
    }

    /// Between two barriers. One that came late has a long time before it and a short one behind
    /// it; and a checkpoint that took long has put off the one behind it.
    pub(super) fn period(&self) -> Option<Duration> {
        let mut periods: Vec<Duration> = self
            .came
            .windows(2)
            .filter_map(|pair| Some(pair[0]?.since(pair[1]?)))
            .collect();
        periods.sort_unstable();
        periods.get(periods.len().checked_sub(1)? / 2).copied()
    }

    /// When the next one is expected: as the earliest of the last ones tell.
    pub(super) fn next(&self) -> Option<Timestamp> {
        let period = self.period()?;
        let newest = self.came[0]? + period;
        let told = (1..).zip(self.came.into_iter().flatten());
        let told = told.map(|(ago, at)| at + period * ago);
        told.filter(|told| newest.since(*told) <= LATE_MAX).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(came_ms: &[u64]) -> (Option<u64>, Option<u64>) {
        let mut rhythm = Rhythm::default();
        for ms in came_ms {
            rhythm.on_barrier(Timestamp(ms * 1_000_000));
        }
        let period = rhythm.period().map(|period| period.as_millis());
        let period = period.map(|period| u64::try_from(period).unwrap());
        (period, rhythm.next().map(|next| next.0 / 1_000_000))
    }

    #[test]
    fn the_next_barrier_comes_as_long_after_the_last_as_that_after_the_one_before() {
        assert_eq!(after(&[]), (None, None));
        assert_eq!(after(&[1000]), (None, None));
        assert_eq!(after(&[1000, 1500]), (Some(500), Some(2000)));
        assert_eq!(
            after(&[1000, 1500, 2000, 2500, 3000]),
            (Some(500), Some(3500))
        );
    }

    #[test]
    fn one_barrier_that_came_late_moves_the_next_one_neither_back_nor_forth() {
        for late in 0..=20 {
            let mut came = [1000, 1500, 2000, 2500];
            for nth in 1..4 {
                came[nth] += late;
                assert_eq!(after(&came), (Some(500), Some(3000)), "{came:?}");
                came[nth] -= late;
            }
        }
    }

    #[test]
    fn another_rhythm_counts_when_it_is_seen_twice_and_not_if_one_is_put_off() {
        // It took seven seconds.
        assert_eq!(
            after(&[1000, 2000, 3000, 10_000]),
            (Some(1000), Some(11_000))
        );
        let twice = [3000, 10_000, 20_000, 30_000];
        assert_eq!(after(&twice), (Some(10_000), Some(40_000)));
        // One that somebody asked for, and the ones behind it.
        assert_eq!(after(&[1000, 2000, 3000, 3400]), (Some(1000), Some(4400)));
        assert_eq!(after(&[2000, 3000, 3400, 4400]), (Some(1000), Some(5400)));
    }
}
