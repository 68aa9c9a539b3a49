//! Which windows a record belongs to (Flink's `WindowAssigner`s and `TimeWindow`).

use std::fmt::Debug;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_state::StateKey;

/// A piece of a stream.
pub trait Window: StateKey + Copy + Debug {
    /// The last time that belongs to it.
    fn max_timestamp(&self) -> i64;
}

/// From `start` (inclusive) to `end` (exclusive), in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
pub struct TimeWindow {
    /// The first time that belongs to it.
    pub start: i64,
    /// The first time that does not.
    pub end: i64,
}

impl Window for TimeWindow {
    #[inline]
    fn max_timestamp(&self) -> i64 {
        self.end - 1
    }
}

/// Says to which windows a record belongs.
pub trait WindowAssigner<T>: Clone + Send + 'static {
    /// What it assigns to.
    type Window: Window;

    /// Whether windows go by event time; otherwise by the wall clock.
    fn is_event_time(&self) -> bool;

    /// Whether its parameters make sense; otherwise what is wrong with them.
    fn check(&self) -> Result<(), String>;

    /// Puts the windows of a record into `windows`, which is empty. `time` is the record's event
    /// time, or the wall clock.
    fn assign(&mut self, record: &T, time: i64, windows: &mut Vec<Self::Window>);
}

/// The start of the last window at or before `time`, when windows start every `step` milliseconds
/// beginning with `offset`. `offset` lies in `0..step`.
#[inline]
fn window_start(time: i64, offset: i64, step: i64) -> i64 {
    let into = time.rem_euclid(step) - offset;
    let into = if into < 0 { into + step } else { into };
    time.saturating_sub(into)
}

#[inline]
fn window(start: i64, size: i64) -> TimeWindow {
    TimeWindow {
        start,
        end: start.saturating_add(size),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Windows of one size, one after the other (Flink's `TumblingEventTimeWindows` and
/// `TumblingProcessingTimeWindows`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TumblingWindows {
    size: i64,
    offset: i64,
    event_time: bool,
    /// The window that was assigned last: mostly the next record belongs to it too, which is
    /// quicker to see than to compute.
    last: TimeWindow,
}

impl TumblingWindows {
    /// By event time.
    pub fn event_time(size: Duration) -> Self {
        Self {
            size: millis(size),
            offset: 0,
            event_time: true,
            last: TimeWindow::default(),
        }
    }

    /// By the wall clock.
    pub fn processing_time(size: Duration) -> Self {
        Self {
            event_time: false,
            ..Self::event_time(size)
        }
    }

    /// Moves all windows by so many milliseconds; for days in a time zone, for example, by minus
    /// its distance from UTC.
    #[must_use]
    pub fn with_offset_ms(mut self, offset: i64) -> Self {
        self.offset = offset.checked_rem_euclid(self.size).unwrap_or(0);
        self
    }
}

impl<T> WindowAssigner<T> for TumblingWindows {
    type Window = TimeWindow;

    fn is_event_time(&self) -> bool {
        self.event_time
    }

    fn check(&self) -> Result<(), String> {
        if self.size > 0 {
            return Ok(());
        }
        Err("a tumbling window needs a size of at least 1 ms".to_owned())
    }

    #[inline]
    fn assign(&mut self, _record: &T, time: i64, windows: &mut Vec<TimeWindow>) {
        if time < self.last.start || time >= self.last.end {
            self.last = window(window_start(time, self.offset, self.size), self.size);
        }
        windows.push(self.last);
    }
}

/// Windows of one size that begin every `slide` (Flink's `SlidingEventTimeWindows` and
/// `SlidingProcessingTimeWindows`). A record belongs to `size / slide` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindows {
    size: i64,
    slide: i64,
    offset: i64,
    event_time: bool,
}

impl SlidingWindows {
    /// By event time.
    pub fn event_time(size: Duration, slide: Duration) -> Self {
        Self {
            size: millis(size),
            slide: millis(slide),
            offset: 0,
            event_time: true,
        }
    }

    /// By the wall clock.
    pub fn processing_time(size: Duration, slide: Duration) -> Self {
        Self {
            event_time: false,
            ..Self::event_time(size, slide)
        }
    }

    /// Moves all windows by so many milliseconds.
    #[must_use]
    pub fn with_offset_ms(mut self, offset: i64) -> Self {
        self.offset = offset.checked_rem_euclid(self.slide).unwrap_or(0);
        self
    }
}

impl<T> WindowAssigner<T> for SlidingWindows {
    type Window = TimeWindow;

    fn is_event_time(&self) -> bool {
        self.event_time
    }

    fn check(&self) -> Result<(), String> {
        if self.size > 0 && self.slide > 0 {
            return Ok(());
        }
        Err("a sliding window needs a size and a slide of at least 1 ms".to_owned())
    }

    #[inline]
    fn assign(&mut self, _record: &T, time: i64, windows: &mut Vec<TimeWindow>) {
        let mut start = window_start(time, self.offset, self.slide);
        while start > time.saturating_sub(self.size) {
            windows.push(window(start, self.size));
            let Some(before) = start.checked_sub(self.slide) else {
                return;
            };
            start = before;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn windows(
        mut assigner: impl WindowAssigner<(), Window = TimeWindow>,
        time: i64,
    ) -> Vec<(i64, i64)> {
        let mut windows = Vec::new();
        assigner.assign(&(), time, &mut windows);
        windows
            .into_iter()
            .map(|window| (window.start, window.end))
            .collect()
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn times_before_1970_fall_into_the_window_that_holds_them() {
        let tumbling = TumblingWindows::event_time(ms(10));
        assert_eq!(windows(tumbling, 0), [(0, 10)]);
        assert_eq!(windows(tumbling, -1), [(-10, 0)]);
        assert_eq!(windows(tumbling, -10), [(-10, 0)]);
        assert_eq!(windows(tumbling, -11), [(-20, -10)]);
    }

    #[test]
    fn an_offset_moves_windows_in_both_directions() {
        let tumbling = TumblingWindows::event_time(ms(10));
        assert_eq!(windows(tumbling.with_offset_ms(3), 2), [(-7, 3)]);
        assert_eq!(windows(tumbling.with_offset_ms(-3), 2), [(-3, 7)]);
        assert_eq!(windows(tumbling.with_offset_ms(13), 3), [(3, 13)]);
    }

    #[test]
    fn a_record_belongs_to_every_sliding_window_that_covers_it() {
        let sliding = SlidingWindows::event_time(ms(10), ms(5));
        assert_eq!(windows(sliding, 7), [(5, 15), (0, 10)]);
        assert_eq!(windows(sliding.with_offset_ms(3), 7), [(3, 13), (-2, 8)]);
    }

    #[test]
    fn windows_with_gaps_between_them_miss_some_records() {
        let sliding = SlidingWindows::event_time(ms(5), ms(10));
        assert_eq!(windows(sliding, 4), [(0, 5)]);
        assert_eq!(windows(sliding, 5), []);
    }

    #[test]
    fn the_window_before_does_not_stick_to_records_outside_of_it() {
        let mut tumbling = TumblingWindows::event_time(ms(10));
        let mut windows = Vec::new();
        for time in [5, 9, 10, 9, -1] {
            tumbling.assign(&(), time, &mut windows);
        }
        let starts: Vec<_> = windows.iter().map(|window| window.start).collect();
        assert_eq!(starts, [0, 0, 10, 0, -10]);
    }

    #[test]
    fn a_size_of_zero_is_refused_by_name_and_not_by_a_division() {
        let tumbling = TumblingWindows::event_time(Duration::ZERO).with_offset_ms(3);
        assert!(WindowAssigner::<()>::check(&tumbling).is_err());
        let sliding = SlidingWindows::event_time(ms(10), Duration::ZERO).with_offset_ms(3);
        assert!(WindowAssigner::<()>::check(&sliding).is_err());
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        for time in [i64::MIN, i64::MIN + 3, i64::MAX - 3, i64::MAX] {
            for offset in [0, 3, -3] {
                let tumbling = TumblingWindows::event_time(ms(10)).with_offset_ms(offset);
                assert_eq!(windows(tumbling, time).len(), 1);
                let sliding = SlidingWindows::event_time(ms(10), ms(4)).with_offset_ms(offset);
                drop(windows(sliding, time));
            }
        }
    }

    proptest! {
        #[test]
        fn exactly_the_windows_that_cover_a_time_are_assigned(
            time in -1000i64..1000, size in 1i64..40, slide in 1i64..40, offset in -60i64..60,
        ) {
            let sliding = SlidingWindows::event_time(
                ms(size.unsigned_abs()), ms(slide.unsigned_abs()),
            );
            let mut got = windows(sliding.with_offset_ms(offset), time);
            got.reverse();
            let near = time / slide;
            let starts = (near - 200..near + 200).map(|n| n * slide + offset);
            let covering = starts.filter(|start| *start <= time && time < start + size);
            let want: Vec<_> = covering.map(|start| (start, start + size)).collect();
            prop_assert_eq!(&got, &want);
            if size == slide {
                let tumbling = TumblingWindows::event_time(ms(size.unsigned_abs()));
                prop_assert_eq!(windows(tumbling.with_offset_ms(offset), time), got);
            }
        }
    }
}
