//! Open-loop pacing: record `n` is due at `start + n / rate`, however late the records before it
//! were. A reader that was held up catches up at once, so that a slow job shows as latency instead
//! of as a lower load.

use std::time::Duration;

use weir_types::{Clock, Timestamp};

/// The shortest pause between two turns of a paced reader. Records that fall due meanwhile go out
/// together: waking up for each would cost more than the record.
const PAUSE_MIN: Duration = Duration::from_micros(200);

const NANOS_PER_SECOND: f64 = 1e9;

/// When each record is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    per_second: f64,
    /// A moment on the monotonic clock, and how far the schedule was then.
    measured_at: Timestamp,
    elapsed_ns: f64,
}

impl Schedule {
    /// Record 0 is due now.
    pub(crate) fn from_now(per_second: f64, clock: &dyn Clock) -> Self {
        Self {
            per_second,
            measured_at: clock.now(),
            elapsed_ns: 0.0,
        }
    }

    /// Record 0 is or was due at a wall-clock time, which several processes can share.
    pub(crate) fn from_unix_ms(per_second: f64, start_ms: i64, clock: &dyn Clock) -> Self {
        let elapsed_ms = clock.unix_ms().saturating_sub(start_ms);
        Self {
            per_second,
            measured_at: clock.now(),
            elapsed_ns: elapsed_ms as f64 * 1e6,
        }
    }

    /// Record `next` is due now: for a reader that goes on from a checkpoint.
    pub(crate) fn resumed(per_second: f64, next: u64, clock: &dyn Clock) -> Self {
        let elapsed_ns = next as f64 / per_second * NANOS_PER_SECOND;
        Self {
            per_second,
            measured_at: clock.now(),
            elapsed_ns,
        }
    }

    /// How many records are due, from record 0 on.
    pub(crate) fn due(&self, now: Timestamp) -> u64 {
        let elapsed = self.elapsed_ns(now);
        if elapsed < 0.0 {
            return 0;
        }
        // The cast saturates.
        ((elapsed / NANOS_PER_SECOND * self.per_second) as u64).saturating_add(1)
    }

    /// How long to pause until record `next` is due.
    pub(crate) fn pause(&self, next: u64, now: Timestamp) -> Duration {
        let due_ns = next as f64 / self.per_second * NANOS_PER_SECOND;
        let rest_ns = (due_ns - self.elapsed_ns(now)).max(0.0);
        Duration::from_nanos(rest_ns as u64).max(PAUSE_MIN)
    }

    fn elapsed_ns(&self, now: Timestamp) -> f64 {
        self.elapsed_ns + now.since(self.measured_at).as_nanos() as f64
    }
}

/// Whether a rate can be kept: above zero and finite.
pub(crate) fn is_rate(per_second: f64) -> bool {
    per_second.is_finite() && per_second > 0.0
}

#[cfg(test)]
mod tests {
    use weir_types::ManualClock;

    use super::*;

    #[test]
    fn a_reader_that_was_held_up_catches_up_at_once() {
        let clock = ManualClock::at(0);
        let schedule = Schedule::from_now(1000.0, &clock);
        assert_eq!(schedule.due(clock.now()), 1, "record 0 is due at the start");
        clock.advance(Duration::from_millis(250));
        assert_eq!(schedule.due(clock.now()), 251);
    }

    #[test]
    fn readers_that_open_at_different_times_share_a_start_on_the_wall_clock() {
        let clock = ManualClock::at(10_000);
        let early = Schedule::from_unix_ms(10.0, 9_000, &clock);
        clock.advance(Duration::from_secs(3));
        let late = Schedule::from_unix_ms(10.0, 9_000, &clock);
        assert_eq!(early.due(clock.now()), 41);
        assert_eq!(late.due(clock.now()), 41);
        let ahead = Schedule::from_unix_ms(10.0, 13_500, &clock);
        assert_eq!(ahead.due(clock.now()), 0);
        assert_eq!(ahead.pause(0, clock.now()), Duration::from_millis(500));
    }

    #[test]
    fn after_a_pause_the_record_is_due() {
        let clock = ManualClock::at(0);
        let schedule = Schedule::from_now(3.0, &clock);
        for next in 1..100 {
            clock.advance(schedule.pause(next, clock.now()) + Duration::from_nanos(2));
            assert!(schedule.due(clock.now()) > next, "record {next}");
        }
    }

    #[test]
    fn a_resumed_schedule_neither_bursts_nor_waits() {
        let clock = ManualClock::at(0);
        clock.advance(Duration::from_secs(100));
        let schedule = Schedule::resumed(10.0, 500, &clock);
        assert_eq!(schedule.due(clock.now()), 501);
    }
}
