//! Counters that an operator feeds beside the runtime's own, what its state says of itself, and for
//! how long its subtask has waited.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use weir_state::{ColdStats, ColdTier};
use weir_types::{Clock, EventTime};

/// A commit counts for the first of these that it does not exceed, in milliseconds.
pub const COMMIT_BOUNDS_MS: [u64; 12] = [
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 60_000, 600_000,
];

/// How long a sink's commits took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommitTimes {
    /// How many there were, by [`COMMIT_BOUNDS_MS`]; the last took even longer.
    pub counts: [u64; COMMIT_BOUNDS_MS.len() + 1],
    /// All of them together.
    pub sum: Duration,
}

/// No chunk has had event times yet.
const NO_LAG: i64 = i64::MIN;

/// Shared between an operator's thread and whoever reports.
#[derive(Debug)]
pub struct OperatorMetrics {
    late_records: AtomicU64,
    skipped_records: AtomicU64,
    event_time_lag_ms: AtomicI64,
    state_bytes: AtomicU64,
    commits: Mutex<CommitTimes>,
    /// What its keyed state lies on, for as long as that is there.
    tier: OnceLock<Weak<dyn ColdTier>>,
    /// For how long its subtask has waited for room downstream. Whoever waits counts.
    blocked_ns: Arc<AtomicU64>,
}

impl Default for OperatorMetrics {
    fn default() -> Self {
        Self {
            late_records: AtomicU64::new(0),
            skipped_records: AtomicU64::new(0),
            event_time_lag_ms: AtomicI64::new(NO_LAG),
            state_bytes: AtomicU64::new(0),
            commits: Mutex::default(),
            tier: OnceLock::new(),
            blocked_ns: Arc::default(),
        }
    }
}

impl OperatorMetrics {
    /// Those of an operator whose subtask counts in `blocked_ns` for how long it waits for room
    /// downstream.
    pub fn of_subtask(blocked_ns: Arc<AtomicU64>) -> Self {
        Self {
            blocked_ns,
            ..Self::default()
        }
    }

    /// For how long the operator's subtask has waited for room downstream, behind whichever of its
    /// operators.
    pub fn blocked(&self) -> Duration {
        Duration::from_nanos(self.blocked_ns.load(Ordering::Relaxed))
    }

    /// Records that came behind the watermark and were dropped.
    pub fn late_records(&self) -> u64 {
        self.late_records.load(Ordering::Relaxed)
    }

    /// Counts dropped late records.
    pub fn add_late_records(&self, count: u64) {
        self.late_records.fetch_add(count, Ordering::Relaxed);
    }

    /// Bad records that a source was told to skip.
    pub fn skipped_records(&self) -> u64 {
        self.skipped_records.load(Ordering::Relaxed)
    }

    /// Figures of what keyed state lies on, if there is a tier below memory.
    pub fn tier(&self) -> Option<ColdStats> {
        Some(self.tier_itself()?.stats())
    }

    /// What its keyed state lies on, if there is a tier below memory.
    pub fn tier_itself(&self) -> Option<Arc<dyn ColdTier>> {
        self.tier.get()?.upgrade()
    }

    /// The operator's keyed state lies on this.
    pub fn set_tier(&self, tier: Weak<dyn ColdTier>) {
        // An operator is opened once.
        drop(self.tier.set(tier));
    }

    /// How old the event time of the newest record was when it went out, in milliseconds; none
    /// before the first that has one. Negative if it lies in the future.
    pub fn event_time_lag_ms(&self) -> Option<i64> {
        let lag = self.event_time_lag_ms.load(Ordering::Relaxed);
        (lag != NO_LAG).then_some(lag)
    }

    /// A chunk goes out whose last record has this event time.
    pub fn set_newest_event_time(&self, time: EventTime, clock: &dyn Clock) {
        let lag = clock.unix_ms().saturating_sub(time.0).max(NO_LAG + 1);
        self.event_time_lag_ms.store(lag, Ordering::Relaxed);
    }

    /// About how much memory its keyed state took when that was last measured.
    pub fn state_bytes(&self) -> u64 {
        self.state_bytes.load(Ordering::Relaxed)
    }

    /// Its keyed state takes so much memory now.
    pub fn set_state_bytes(&self, bytes: u64) {
        self.state_bytes.store(bytes, Ordering::Relaxed);
    }

    /// How long it took to make results visible.
    pub fn commits(&self) -> CommitTimes {
        *self.commits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Results were made visible in this time.
    pub fn add_commit(&self, took: Duration) {
        let place = COMMIT_BOUNDS_MS.partition_point(|ms| Duration::from_millis(*ms) < took);
        let mut commits = self.commits.lock().unwrap_or_else(PoisonError::into_inner);
        commits.counts[place] += 1;
        commits.sum += took;
    }

    /// Counts skipped bad records.
    pub fn add_skipped_records(&self, count: u64) {
        self.skipped_records.fetch_add(count, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use weir_types::ManualClock;

    use super::*;

    #[test]
    fn a_commit_counts_for_the_first_bound_that_it_does_not_exceed() {
        let metrics = OperatorMetrics::default();
        for us in [500, 10_000, 10_001, 600_000_001] {
            metrics.add_commit(Duration::from_micros(us));
        }
        let commits = metrics.commits();
        assert_eq!((commits.counts[0], commits.counts[1]), (2, 1));
        assert_eq!(commits.counts[COMMIT_BOUNDS_MS.len()], 1);
        assert_eq!(commits.sum, Duration::from_micros(600_020_502));
    }

    #[test]
    fn the_lag_is_that_of_the_moment_the_chunk_went_out() {
        let (metrics, clock) = (OperatorMetrics::default(), ManualClock::at(10_000));
        assert_eq!(metrics.event_time_lag_ms(), None);
        metrics.set_newest_event_time(EventTime(9_000), &clock);
        clock.advance(Duration::from_secs(60));
        assert_eq!(
            metrics.event_time_lag_ms(),
            Some(1_000),
            "nothing came since"
        );
        metrics.set_newest_event_time(EventTime(i64::MAX), &clock);
        assert!(metrics.event_time_lag_ms().is_some_and(|lag| lag < 0));
    }
}
