//! Tests of the operators that keep nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use proptest::prelude::*;

use super::*;
use crate::harness::{Event, OneInputHarness};
use crate::{BoxError, CHUNK_ROWS, Collector, Operator, OperatorError};

fn refuse(record: i64) -> BoxError {
    format!("{record} is refused").into()
}

fn timed(records: &[i64]) -> Vec<(i64, i64)> {
    records
        .iter()
        .map(|record| (*record, record * 10))
        .collect()
}

#[test]
fn map_keeps_order_and_event_times() {
    let operator = MapOperator::new(|record: i64| record.to_string());
    let mut harness = OneInputHarness::<i64, String>::open(operator).unwrap();
    harness.push_all_at(timed(&[3, 1, 2])).unwrap();
    harness.watermark(9).unwrap();
    harness.push(4).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record("3".to_owned(), Some(30)),
            Event::Record("1".to_owned(), Some(10)),
            Event::Record("2".to_owned(), Some(20)),
            Event::Watermark(9),
            Event::Record("4".to_owned(), None),
        ]
    );
}

#[test]
fn a_map_that_fails_says_why_and_emits_nothing_of_the_chunk() {
    let operator = TryMapOperator::new(|record: i64| {
        if record < 3 {
            Ok(record)
        } else {
            Err(refuse(record))
        }
    });
    let mut harness = OneInputHarness::<i64, i64>::open(operator).unwrap();
    harness.push_all(vec![1, 2]).unwrap();
    let error = harness.push_all(vec![1, 3, 4]).unwrap_err();
    let OperatorError::Function(cause) = error else {
        panic!("{error:?}")
    };
    assert_eq!(cause.to_string(), "3 is refused");
    assert_eq!(harness.take_records(), [1, 2]);
}

#[test]
fn a_filter_that_fails_is_not_called_again_for_the_chunk() {
    let mut calls = 0;
    let operator = TryFilterOperator::new(move |record: &i64| {
        calls += 1;
        assert!(calls < 3, "called after it failed");
        if *record < 3 {
            Ok(true)
        } else {
            Err(refuse(*record))
        }
    });
    let mut harness = OneInputHarness::<i64, i64>::open(operator).unwrap();
    let error = harness.push_all(vec![1, 3, 4]).unwrap_err();
    assert!(matches!(error, OperatorError::Function(_)), "{error:?}");
}

#[test]
fn a_filter_that_drops_all_records_passes_no_empty_chunk_on() {
    let operator = FilterOperator::new(|_: &i64| false);
    let mut harness = OneInputHarness::<i64, i64>::open(operator).unwrap();
    harness.push_all(vec![1, 2]).unwrap();
    assert_eq!(harness.take_events(), []);
}

fn repeat(record: i64, out: &mut Collector<'_, i64>) {
    for _ in 0..record {
        out.collect(record);
    }
}

#[test]
fn flat_map_emits_any_number_and_in_chunks_of_bounded_size() {
    let mut harness = OneInputHarness::<i64, i64>::open(FlatMapOperator::new(repeat)).unwrap();
    let many = 3 * i64::try_from(CHUNK_ROWS).unwrap() + 1;
    harness
        .push_all_at(vec![(0, 5), (many, 6), (1, 7)])
        .unwrap();
    let events = harness.take_events();
    assert_eq!(events.len(), usize::try_from(many).unwrap() + 1);
    assert_eq!(events.first(), Some(&Event::Record(many, Some(6))));
    assert_eq!(events.last(), Some(&Event::Record(1, Some(7))));
}

#[test]
fn a_flat_map_that_fails_says_why() {
    let operator = TryFlatMapOperator::new(|record: i64, out: &mut Collector<'_, i64>| {
        out.collect(record);
        if record == 3 {
            Err(refuse(record))
        } else {
            Ok(())
        }
    });
    let mut harness = OneInputHarness::<i64, i64>::open(operator).unwrap();
    harness.push(2).unwrap();
    assert!(
        harness
            .push(3)
            .unwrap_err()
            .to_string()
            .contains("user function")
    );
    assert_eq!(harness.take_records(), [2]);
}

proptest! {
    #[test]
    fn filter_keeps_what_an_iterator_would(records in prop::collection::vec((0i64..20, 0i64..100), 0..50)) {
        let kept = |record: &i64| record % 3 == 0;
        let mut harness = OneInputHarness::<i64, i64>::open(FilterOperator::new(kept)).unwrap();
        harness.push_all_at(records.clone()).unwrap();
        let want: Vec<_> = records
            .into_iter()
            .filter(|(record, _)| kept(record))
            .map(|(record, time)| Event::Record(record, Some(time)))
            .collect();
        prop_assert_eq!(harness.take_events(), want);
    }
}

#[test]
fn an_empty_chunk_makes_no_chunk() {
    let mut harness = OneInputHarness::<i64, i64>::open(MapOperator::new(|n: i64| n)).unwrap();
    harness.push_all(Vec::new()).unwrap();
    let reduce = ReduceOperator::new(|n: &i64| *n, |into: &mut i64, n: i64| *into += n);
    let mut reduce = OneInputHarness::<i64, i64>::open(reduce).unwrap();
    reduce.push_all(Vec::new()).unwrap();
    assert_eq!(
        (harness.take_events(), reduce.take_events()),
        (vec![], vec![])
    );
}

/// Pushes a chunk of a thousand records to an operator whose function cancels its subtask with the
/// third, and gives how often that was called.
fn calls_until_cancelled<M: Operator + 'static>(
    make: impl FnOnce(Box<dyn FnMut() + Send>) -> M,
) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let token = Arc::new(OnceLock::<CancelToken>::new());
    let (counted, cancel) = (Arc::clone(&calls), Arc::clone(&token));
    let operator = make(Box::new(move || {
        if counted.fetch_add(1, Ordering::SeqCst) == 2 {
            cancel.get().expect("set before the first record").cancel();
        }
    }));
    let mut harness = OneInputHarness::<i64, i64>::open(operator).unwrap();
    token.set(harness.cancel_token()).unwrap();
    let result = harness.push_all((0..1_000).collect());
    assert!(
        matches!(result, Err(OperatorError::Cancelled)),
        "{result:?}"
    );
    calls.load(Ordering::SeqCst)
}

/// Fails if a chunk had to be processed to its end: its records may each take long.
#[test]
fn an_operator_that_is_cancelled_takes_no_further_record() {
    type Call = Box<dyn FnMut() + Send>;
    let map = |mut call: Call| {
        MapOperator::new(move |n: i64| {
            call();
            n
        })
    };
    let flat_map = |mut call: Call| {
        FlatMapOperator::new(move |n: i64, out: &mut Collector<'_, i64>| {
            call();
            out.collect(n);
        })
    };
    let filter = |mut call: Call| {
        FilterOperator::new(move |_: &i64| {
            call();
            true
        })
    };
    let reduce = |call: Call| {
        let call = Mutex::new(call);
        ReduceOperator::new(
            |n: &i64| n % 2,
            move |_: &mut i64, _| (call.lock().unwrap())(),
        )
    };
    assert_eq!(calls_until_cancelled(reduce), 3);
    assert_eq!(calls_until_cancelled(map), 3);
    assert_eq!(calls_until_cancelled(flat_map), 3);
    assert_eq!(calls_until_cancelled(filter), 3);
}
