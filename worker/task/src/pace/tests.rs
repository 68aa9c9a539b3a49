use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_network::Signal;
use weir_stream::Batch;
use weir_types::ManualClock;

use super::*;

/// A subtask in which an operator runs whose rows each take some time.
struct Rig {
    pace: Pace,
    cancel: CancelToken,
    clock: ManualClock,
    blocked_ns: Arc<AtomicU64>,
    times: TaskTimes,
    /// The rows of each call so far, as they are numbered.
    calls: Vec<Vec<u64>>,
    next: u64,
}

impl Rig {
    fn new() -> Self {
        let blocked_ns = Arc::new(AtomicU64::new(0));
        Self {
            pace: Pace::default(),
            cancel: CancelToken::new(Signal::new()),
            clock: ManualClock::at(0),
            times: TaskTimes::new(Arc::clone(&blocked_ns)),
            blocked_ns,
            calls: Vec::new(),
            next: 0,
        }
    }

    /// Feeds the next rows, each of which takes `each`, and cancels before row `cancel_at` ends.
    fn feed(&mut self, rows: u64, each: Duration, cancel_at: u64) -> Result<(), OperatorError> {
        let batch = Batch::new((self.next..self.next + rows).collect());
        self.next += rows;
        let watch = Watch {
            cancel: &self.cancel,
            clock: &self.clock,
            times: &self.times,
        };
        let (calls, clock, cancel) = (&mut self.calls, &self.clock, &self.cancel);
        self.pace.feed(Box::new(batch), watch, |chunk| {
            let rows = Batch::<u64>::from_chunk(chunk).into_parts().0;
            for row in &rows {
                if *row == cancel_at {
                    cancel.cancel();
                }
                clock.advance(each);
            }
            calls.push(rows);
            Ok(())
        })
    }

    fn sizes(&self) -> Vec<usize> {
        self.calls.iter().map(Vec::len).collect()
    }
}

const NEVER: u64 = u64::MAX;

#[test]
fn a_slow_function_is_called_for_one_record_at_a_time_until_it_is_cancelled() {
    let mut rig = Rig::new();
    let cancelled = rig.feed(1024, Duration::from_millis(60), 7).unwrap_err();
    assert!(matches!(cancelled, OperatorError::Cancelled));
    assert_eq!(rig.sizes(), [1; 8], "none after the one that was at work");
}

#[test]
fn whatever_a_record_takes_cancelling_is_heard_within_a_tenth_of_a_second() {
    for micros in [1, 20, 100, 900, 5_000, 40_000, 90_000] {
        let each = Duration::from_micros(micros);
        let mut rig = Rig::new();
        for _ in 0..20 {
            rig.feed(1024, each, NEVER).unwrap();
        }
        let most = rig.sizes().into_iter().max().unwrap_or_default() as u32;
        assert!(each * most <= CALL_MAX.max(each), "{most} rows of {each:?}");
    }
}

#[test]
fn every_row_comes_once_and_in_order() {
    let mut rig = Rig::new();
    for (rows, each) in [(1024, 1), (1024, 9_000), (3, 50_000), (1024, 10)] {
        rig.feed(rows, Duration::from_micros(each), NEVER).unwrap();
    }
    let all: Vec<u64> = rig.calls.concat();
    assert_eq!(all, (0..rig.next).collect::<Vec<u64>>());
}

#[test]
fn a_fast_function_gets_whole_chunks() {
    let mut rig = Rig::new();
    for _ in 0..5 {
        rig.feed(1024, Duration::from_nanos(50), NEVER).unwrap();
    }
    assert_eq!(
        rig.sizes(),
        [1, 4, 16, 64, 256, 683, 1024, 1024, 1024, 1024]
    );
}

#[test]
fn a_function_that_has_become_fast_gets_whole_chunks_again() {
    let mut rig = Rig::new();
    rig.feed(100, Duration::from_millis(60), NEVER).unwrap();
    rig.feed(10_000, Duration::ZERO, NEVER).unwrap();
    rig.calls.clear();
    rig.feed(1024, Duration::ZERO, NEVER).unwrap();
    assert_eq!(rig.sizes(), [1024]);
}

#[test]
fn waiting_for_room_downstream_does_not_make_an_operator_slow() {
    let mut rig = Rig::new();
    rig.feed(10_000, Duration::ZERO, NEVER).unwrap();
    let watch = Watch {
        cancel: &rig.cancel,
        clock: &rig.clock,
        times: &rig.times,
    };
    let (clock, blocked) = (&rig.clock, &rig.blocked_ns);
    rig.pace
        .feed(Box::new(Batch::new(vec![0_u64; 1024])), watch, |_| {
            clock.advance(Duration::from_secs(9));
            blocked.fetch_add(9_000_000_000, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
    rig.calls.clear();
    rig.feed(1024, Duration::ZERO, NEVER).unwrap();
    assert_eq!(rig.sizes(), [1024]);
}

#[test]
fn a_sources_turn_gets_as_many_rows_as_take_the_time_of_a_call() {
    let mut rig = Rig::new();
    let mut turn = |each: Duration| {
        let watch = Watch {
            cancel: &rig.cancel,
            clock: &rig.clock,
            times: &rig.times,
        };
        let clock = &rig.clock;
        let turn = rig.pace.turn(watch, |rows| {
            let rows = rows.min(1024) as u64;
            clock.advance(each * u32::try_from(rows).expect("few"));
            Ok::<_, OperatorError>(((), rows))
        });
        turn.expect("nothing fails").1
    };
    let fast: Vec<u64> = (0..7).map(|_| turn(Duration::from_micros(1))).collect();
    assert_eq!(fast, [1, 4, 16, 64, 256, 1024, 1024]);
    turn(Duration::from_millis(60));
    assert_eq!(
        turn(Duration::from_millis(60)),
        1,
        "records have become slow"
    );
}
