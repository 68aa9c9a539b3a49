use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use weir_network::CancelToken;
use weir_state::ValueState;
use weir_types::EventTime;

use super::*;
use crate::OutputTag;
use crate::harness::{Event, OneInputHarness, ParallelHarness};

/// Key and a time to be woken at.
type Record = (String, i64);

/// Counts records per key, and tells the count when the time that a record names has come.
#[derive(Clone)]
struct Wake {
    domain: TimeDomain,
    told: OutputTag<String>,
    count: Option<ValueState<u64>>,
}

impl Wake {
    fn by(domain: TimeDomain) -> Self {
        Self {
            domain,
            told: OutputTag::new("told"),
            count: None,
        }
    }
}

impl KeyedProcessFunction<String, Record, (String, u64)> for Wake {
    fn open(&mut self, context: &mut OpenContext<'_, String>) -> Result<(), BoxError> {
        self.count = Some(context.value_state("count")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: Record,
        context: &mut Context<'_, String>,
        _out: &mut Collector<'_, (String, u64)>,
    ) -> Result<(), BoxError> {
        assert_eq!(*context.current_key(), record.0);
        let count = self.count.expect("opened");
        let so_far = count.get(context)?.copied().unwrap_or(0);
        count.set(context, so_far + 1)?;
        match self.domain {
            TimeDomain::EventTime => context.register_event_time_timer(EventTime(record.1))?,
            TimeDomain::ProcessingTime => context.register_processing_time_timer(record.1)?,
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        domain: TimeDomain,
        context: &mut Context<'_, String>,
        out: &mut Collector<'_, (String, u64)>,
    ) -> Result<(), BoxError> {
        assert_eq!(domain, self.domain);
        let key = context.current_key().clone();
        let (watermark, now) = (context.watermark().0.0, context.processing_time());
        context.side_output(&self.told, format!("{key} {timestamp} {watermark} {now}"));
        let count = self.count.expect("opened").take(context)?;
        out.collect((key, count.unwrap_or(0)));
        if timestamp == 50 {
            // Due already: it fires in the same round.
            context.register_event_time_timer(EventTime(51))?;
        }
        Ok(())
    }
}

fn operator(domain: TimeDomain) -> impl Operator {
    KeyedProcessOperator::new(|record: &Record| record.0.clone(), Wake::by(domain))
}

type Harness = OneInputHarness<Record, (String, u64)>;

fn wake(key: &str, time: i64) -> Record {
    (key.to_owned(), time)
}

fn told(key: &str, count: u64, time: Option<i64>) -> Event<(String, u64)> {
    Event::Record((key.to_owned(), count), time)
}

#[test]
fn event_time_timers_fire_in_order_of_time_before_the_watermark_is_passed_on() {
    let mut harness = Harness::open(operator(TimeDomain::EventTime)).unwrap();
    harness
        .push_all(vec![wake("a", 30), wake("b", 20), wake("a", 10)])
        .unwrap();
    harness.watermark(9).unwrap();
    harness.watermark(20).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Watermark(9),
            told("a", 2, Some(10)),
            told("b", 1, Some(20)),
            Event::Watermark(20),
        ]
    );
    let side = harness.take_side(&Wake::by(TimeDomain::EventTime).told);
    assert_eq!(
        side,
        [
            ("a 10 20 0".to_owned(), Some(10)),
            ("b 20 20 0".to_owned(), Some(20))
        ]
    );
}

#[test]
fn a_timer_registered_twice_fires_once() {
    let mut harness = Harness::open(operator(TimeDomain::EventTime)).unwrap();
    harness
        .push_all(vec![wake("a", 30), wake("a", 30)])
        .unwrap();
    harness.watermark(100).unwrap();
    assert_eq!(harness.take_records(), [("a".to_owned(), 2)]);
}

#[test]
fn a_timer_that_a_timer_registers_fires_in_the_same_round_if_it_is_due() {
    let mut harness = Harness::open(operator(TimeDomain::EventTime)).unwrap();
    harness.push(wake("a", 50)).unwrap();
    harness.watermark(60).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            told("a", 1, Some(50)),
            told("a", 0, Some(51)),
            Event::Watermark(60)
        ]
    );
}

#[test]
fn a_timer_behind_the_watermark_fires_with_the_next_one() {
    let mut harness = Harness::open(operator(TimeDomain::EventTime)).unwrap();
    harness.watermark(100).unwrap();
    harness.push(wake("a", 30)).unwrap();
    assert_eq!(harness.take_records(), []);
    harness.watermark(101).unwrap();
    assert_eq!(harness.take_records(), [("a".to_owned(), 1)]);
}

#[test]
fn processing_time_timers_fire_once_the_clock_is_past_them() {
    let mut harness = Harness::open(operator(TimeDomain::ProcessingTime)).unwrap();
    harness
        .push_all(vec![wake("a", 30), wake("b", 20)])
        .unwrap();
    harness.watermark(i64::MAX).unwrap();
    harness.advance_clock_to(20).unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(i64::MAX)]);
    harness.advance_clock_to(21).unwrap();
    assert_eq!(harness.take_events(), [told("b", 1, None)]);
    harness.advance_clock_to(500).unwrap();
    assert_eq!(harness.take_events(), [told("a", 1, None)]);
    let side = harness.take_side(&Wake::by(TimeDomain::ProcessingTime).told);
    let max = i64::MAX;
    assert_eq!(
        side,
        [
            (format!("b 20 {max} 21"), None),
            (format!("a 30 {max} 31"), None)
        ]
    );
}

#[test]
fn a_processing_time_timer_does_not_fire_early_along_with_another() {
    let mut harness = Harness::open(operator(TimeDomain::ProcessingTime)).unwrap();
    harness
        .push_all(vec![wake("a", 21), wake("b", 20)])
        .unwrap();
    harness.advance_clock_to(21).unwrap();
    assert_eq!(harness.take_records(), [("b".to_owned(), 1)]);
}

#[test]
fn state_and_timers_move_with_their_keys_to_other_parallelisms() {
    for domain in [TimeDomain::EventTime, TimeDomain::ProcessingTime] {
        let select = |record: &Record| record.0.clone();
        let make = move || -> Box<dyn Operator> { Box::new(operator(domain)) };
        let mut harness =
            ParallelHarness::<Record, (String, u64)>::open(2, 16, select, make).unwrap();
        let keys: Vec<String> = (0..40).map(|n| format!("key {n}")).collect();
        for (parallelism, time) in [(1, 100), (3, 200), (2, 300)] {
            for key in &keys {
                harness.push(wake(key, time), None).unwrap();
            }
            harness.rescale(parallelism).unwrap();
        }
        let advance = |harness: &mut ParallelHarness<_, _>, time| match domain {
            TimeDomain::EventTime => harness.watermark(time).unwrap(),
            TimeDomain::ProcessingTime => harness.advance_clock_to(time).unwrap(),
        };
        advance(&mut harness, 150);
        let mut first: Vec<_> = harness.take_records().into_iter().map(|(r, _)| r).collect();
        first.sort();
        let mut want: Vec<_> = keys.iter().map(|key| (key.clone(), 3)).collect();
        want.sort();
        assert_eq!(first, want);
        advance(&mut harness, 1_000);
        assert_eq!(
            harness.take_records().len(),
            2 * keys.len(),
            "the timers at 200 and 300"
        );
    }
}

#[derive(Clone)]
struct Fail;

impl KeyedProcessFunction<String, Record, u64> for Fail {
    fn process(
        &mut self,
        record: Record,
        context: &mut Context<'_, String>,
        _out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        Ok(context.register_event_time_timer(EventTime(record.1))?)
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        _domain: TimeDomain,
        _context: &mut Context<'_, String>,
        _out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        Err(format!("no luck at {timestamp}").into())
    }
}

#[test]
fn a_timer_that_fails_ends_the_subtask_and_the_watermark_stays_back() {
    let operator = KeyedProcessOperator::new(|record: &Record| record.0.clone(), Fail);
    let mut harness = OneInputHarness::<Record, u64>::open(operator).unwrap();
    harness.push(wake("a", 7)).unwrap();
    let OperatorError::Function(cause) = harness.watermark(7).unwrap_err() else {
        panic!()
    };
    assert_eq!(cause.to_string(), "no luck at 7");
    assert_eq!(harness.take_events(), []);
}

/// Cancels the subtask with the third timer that fires.
#[derive(Clone)]
struct CancelsAtThree {
    domain: TimeDomain,
    token: Arc<OnceLock<CancelToken>>,
    fired: Arc<AtomicUsize>,
}

impl KeyedProcessFunction<u64, u64, u64> for CancelsAtThree {
    fn process(
        &mut self,
        _record: u64,
        context: &mut Context<'_, u64>,
        _out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        match self.domain {
            TimeDomain::EventTime => context.register_event_time_timer(EventTime(10))?,
            TimeDomain::ProcessingTime => context.register_processing_time_timer(10)?,
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        _timestamp: i64,
        _domain: TimeDomain,
        _context: &mut Context<'_, u64>,
        _out: &mut Collector<'_, u64>,
    ) -> Result<(), BoxError> {
        if self.fired.fetch_add(1, Ordering::SeqCst) == 2 {
            self.token.get().expect("set before time passes").cancel();
        }
        Ok(())
    }
}

/// Fails if a long row of timers had to come to its end: each may take long.
#[test]
fn no_further_timer_of_a_row_fires_once_the_subtask_is_cancelled() {
    for domain in [TimeDomain::EventTime, TimeDomain::ProcessingTime] {
        let function = CancelsAtThree {
            domain,
            token: Arc::default(),
            fired: Arc::default(),
        };
        let (token, fired) = (Arc::clone(&function.token), Arc::clone(&function.fired));
        let operator = KeyedProcessOperator::new(|record: &u64| *record, function);
        let mut harness = OneInputHarness::<u64, u64>::open(operator).unwrap();
        harness.push_all((0..1_000).collect()).unwrap();
        token.set(harness.cancel_token()).unwrap();
        let result = match domain {
            TimeDomain::EventTime => harness.watermark(10),
            TimeDomain::ProcessingTime => harness.advance_clock_to(11),
        };
        assert!(
            matches!(result, Err(OperatorError::Cancelled)),
            "{result:?}"
        );
        assert_eq!(fired.load(Ordering::SeqCst), 3, "{domain:?}");
    }
}
