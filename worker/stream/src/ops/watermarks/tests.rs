use std::sync::atomic::{AtomicU64, Ordering};

use weir_types::ManualClock;

use super::*;
use crate::harness::{Event, HarnessOptions, OneInputHarness, RecordingOutput};

type Harness = OneInputHarness<i64, i64>;

/// Records that are their own event time.
fn own_time(strategy: WatermarkStrategy<i64>) -> WatermarkStrategy<i64> {
    strategy.with_timestamp_assigner(|record, _| EventTime(*record))
}

fn bounded(bound_ms: u64) -> WatermarkStrategy<i64> {
    own_time(WatermarkStrategy::bounded_out_of_orderness(
        Duration::from_millis(bound_ms),
    ))
}

fn harness(strategy: WatermarkStrategy<i64>) -> Harness {
    Harness::open(WatermarksOperator::new(strategy)).unwrap()
}

fn record(time: i64) -> Event<i64> {
    Event::Record(time, Some(time))
}

#[test]
fn a_bounded_watermark_follows_the_highest_time_by_the_bound_and_a_millisecond() {
    let mut harness = harness(bounded(10));
    harness.push_all(vec![100, 120, 90]).unwrap();
    assert_eq!(
        harness.take_events(),
        [record(100), record(120), record(90), Event::Watermark(109)]
    );
}

#[test]
fn a_watermark_that_did_not_advance_is_not_sent_again() {
    let mut harness = harness(bounded(0));
    harness.push(100).unwrap();
    harness.push(100).unwrap();
    harness.push(50).unwrap();
    assert_eq!(
        harness.take_events(),
        [record(100), Event::Watermark(99), record(100), record(50)]
    );
}

#[test]
fn times_that_rise_make_a_watermark_one_millisecond_behind() {
    let mut harness = harness(own_time(WatermarkStrategy::monotonous_timestamps()));
    harness.push_all(vec![1, 2, 3]).unwrap();
    assert_eq!(harness.take_events().last(), Some(&Event::Watermark(2)));
}

#[test]
fn the_smallest_time_makes_no_watermark_and_no_overflow() {
    let mut harness = harness(bounded(10));
    harness.push(i64::MIN).unwrap();
    assert_eq!(harness.take_events(), [record(i64::MIN)]);
    harness.push(i64::MAX).unwrap();
    assert_eq!(
        harness.take_events(),
        [record(i64::MAX), Event::Watermark(i64::MAX - 11)]
    );
}

#[test]
fn without_an_assigner_records_keep_the_time_they_came_with() {
    let strategy = WatermarkStrategy::bounded_out_of_orderness(Duration::ZERO);
    let mut harness = harness(strategy);
    harness.push_at(7, 70).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Record(7, Some(70)), Event::Watermark(69)]
    );
}

#[test]
fn the_assigner_sees_the_time_that_a_record_came_with() {
    let strategy = WatermarkStrategy::monotonous_timestamps()
        .with_timestamp_assigner(|_, before| EventTime(before.map_or(-1, |time| time.0 + 5)));
    let mut harness = harness(strategy);
    harness.push_at(7, 70).unwrap();
    harness.push(8).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record(7, Some(75)),
            Event::Watermark(74),
            Event::Record(8, Some(-1)),
        ]
    );
}

#[test]
fn records_without_event_time_and_assigner_are_an_error_that_says_what_to_do() {
    let mut harness = harness(WatermarkStrategy::monotonous_timestamps());
    let error = harness.push(1).unwrap_err().to_string();
    assert!(error.contains("timestamp assigner"), "{error}");
}

#[test]
fn no_watermarks_lets_records_through_as_they_are() {
    let mut harness = harness(WatermarkStrategy::no_watermarks());
    harness.push(1).unwrap();
    assert_eq!(harness.take_events(), [Event::Record(1, None)]);
    harness.end_input().unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(i64::MAX)]);
}

#[test]
fn watermarks_from_upstream_stop_here_except_the_last() {
    let mut harness = harness(bounded(0));
    harness.watermark(500).unwrap();
    harness.push(10).unwrap();
    assert_eq!(harness.take_events(), [record(10), Event::Watermark(9)]);
    harness.end_input().unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(i64::MAX)]);
}

#[test]
fn a_stream_without_records_becomes_idle_and_active_with_the_next_record() {
    let mut harness = harness(bounded(0).with_idleness(Duration::from_secs(1)));
    harness.push(10).unwrap();
    harness.advance_clock_to(900).unwrap();
    harness.push(11).unwrap();
    harness.advance_clock_to(1_899).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            record(10),
            Event::Watermark(9),
            record(11),
            Event::Watermark(10)
        ]
    );
    harness.advance_clock_to(10_000).unwrap();
    assert_eq!(harness.take_events(), [Event::Idle]);
    harness.push(5).unwrap();
    assert_eq!(harness.take_events(), [Event::Active, record(5)]);
    harness.advance_clock_to(11_000).unwrap();
    assert_eq!(harness.take_events(), [Event::Idle]);
}

#[test]
fn a_stream_that_never_had_a_record_becomes_idle_too() {
    let mut harness = harness(bounded(0).with_idleness(Duration::from_secs(1)));
    harness.advance_clock_to(1_000).unwrap();
    assert_eq!(harness.take_events(), [Event::Idle]);
    harness.activity(false).unwrap();
    assert_eq!(
        harness.take_events(),
        [],
        "idleness from upstream stops here"
    );
    harness.end_input().unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Active, Event::Watermark(i64::MAX)]
    );
}

/// A watermark at each record that says so, and one more per period.
struct Punctuated {
    periods: i64,
}

impl WatermarkGenerator<i64> for Punctuated {
    fn on_event(&mut self, event: &i64, timestamp: EventTime, out: &mut WatermarkOutput) {
        if event % 10 == 0 {
            out.emit(timestamp);
        }
    }

    fn on_periodic(&mut self, out: &mut WatermarkOutput) {
        self.periods += 1;
        out.emit(EventTime(self.periods));
    }
}

#[test]
fn a_generator_of_ones_own_is_asked_per_record_per_chunk_and_per_period() {
    let strategy = own_time(WatermarkStrategy::custom(|| Punctuated { periods: 0 }));
    let mut harness = harness(strategy);
    harness.push_all(vec![5, 20, 30, 31]).unwrap();
    assert_eq!(harness.take_events().last(), Some(&Event::Watermark(30)));
    harness.advance_clock_to(200 * 28).unwrap();
    assert_eq!(harness.take_events(), [], "29 calls so far, none beyond 30");
    harness.advance_clock_to(200 * 30).unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(31)]);
}

/// An operator whose clocks and back-pressured time can be moved apart.
struct Bare {
    operator: WatermarksOperator<i64>,
    clock: Arc<ManualClock>,
    blocked_ns: Arc<AtomicU64>,
    output: RecordingOutput,
}

impl Bare {
    fn open(strategy: WatermarkStrategy<i64>) -> Self {
        let clock = Arc::new(ManualClock::at(0));
        let blocked_ns = Arc::new(AtomicU64::new(0));
        let mut context = HarnessOptions::default().context(Arc::<ManualClock>::clone(&clock));
        context.metrics = Arc::new(OperatorMetrics::of_subtask(Arc::clone(&blocked_ns)));
        let mut operator = WatermarksOperator::new(strategy);
        operator.open(&context).unwrap();
        Self {
            operator,
            clock,
            blocked_ns,
            output: RecordingOutput::default(),
        }
    }

    fn push(&mut self, record: i64) -> Vec<Event<i64>> {
        let chunk = Box::new(Batch::new(vec![record]));
        self.operator.process(0, chunk, &mut self.output).unwrap();
        self.output.take_events()
    }

    fn wait_quietly(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    fn wait_for_room(&self, ms: u64) {
        self.wait_quietly(ms);
        self.blocked_ns.fetch_add(ms * 1_000_000, Ordering::Relaxed);
    }

    /// In how many milliseconds of the wall clock it wants to be called.
    fn due_in(&self) -> Option<i64> {
        let due = self.operator.next_processing_time()?;
        Some(due - self.clock.unix_ms())
    }

    /// Calls it, whether it is due or not.
    fn call(&mut self) -> Vec<Event<i64>> {
        let now_ms = self.clock.unix_ms();
        self.operator
            .processing_time(now_ms, &mut self.output)
            .unwrap();
        self.output.take_events()
    }
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn a_wall_clock_that_jumps_makes_no_stream_idle_and_keeps_none_from_it() {
    let mut bare = Bare::open(bounded(0).with_idleness(Duration::from_secs(1)));
    assert_eq!(bare.push(10), [record(10), Event::Watermark(9)]);
    bare.clock.set_unix_ms(HOUR_MS);
    assert_eq!(bare.due_in(), Some(1_000));
    assert_eq!(bare.call(), []);
    bare.clock.set_unix_ms(-HOUR_MS);
    bare.wait_quietly(1_000);
    assert_eq!(bare.due_in(), Some(0));
    assert_eq!(bare.call(), [Event::Idle]);
}

#[test]
fn a_wall_clock_that_jumps_does_not_change_a_generators_period() {
    let mut bare = Bare::open(own_time(WatermarkStrategy::custom(|| Punctuated {
        periods: 0,
    })));
    bare.clock.set_unix_ms(HOUR_MS);
    bare.wait_quietly(199);
    assert_eq!((bare.due_in(), bare.call()), (Some(1), vec![]));
    bare.clock.set_unix_ms(-HOUR_MS);
    bare.wait_quietly(1);
    assert_eq!(bare.due_in(), Some(0));
    assert_eq!(bare.call(), [Event::Watermark(1)]);
    assert_eq!(bare.due_in(), Some(200));
}

#[test]
fn time_in_which_the_subtask_waits_for_room_is_no_idleness() {
    let mut bare = Bare::open(bounded(0).with_idleness(Duration::from_secs(1)));
    bare.wait_for_room(5_000);
    assert_eq!(bare.push(10), [record(10), Event::Watermark(9)]);
    bare.wait_for_room(5_000);
    assert_eq!((bare.due_in(), bare.call()), (Some(1_000), vec![]));
    bare.wait_quietly(500);
    bare.wait_for_room(700);
    bare.wait_quietly(499);
    assert_eq!((bare.due_in(), bare.call()), (Some(1), vec![]));
    bare.wait_quietly(1);
    assert_eq!(bare.due_in(), Some(0));
    assert_eq!(bare.call(), [Event::Idle]);
    assert_eq!(bare.due_in(), None);
}

#[test]
fn how_old_the_last_record_is_when_it_goes_out_is_told() {
    let mut harness = harness(bounded(10));
    harness.advance_clock_to(500).unwrap();
    assert_eq!(harness.metrics().event_time_lag_ms(), None);
    harness.push_all(vec![450, 400]).unwrap();
    assert_eq!(harness.metrics().event_time_lag_ms(), Some(100));
}
