//! Tests of the running reduction and the running aggregation.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_state::{AggregateFunction, SnapshotKind};
use weir_types::CheckpointId;

use super::*;
use crate::OperatorSnapshot;
use crate::harness::{Event, HarnessOptions, OneInputHarness, ParallelHarness};
use crate::ops::AggregateOperator;

type Word = (String, u64);

fn count() -> impl Operator {
    ReduceOperator::new(
        |word: &Word| word.0.clone(),
        |into: &mut Word, word: Word| into.1 += word.1,
    )
}

fn word(word: &str) -> Word {
    (word.to_owned(), 1)
}

#[test]
fn every_record_gives_the_running_value_of_its_key_with_its_own_event_time() {
    let mut harness = OneInputHarness::<Word, Word>::open(count()).unwrap();
    harness
        .push_all_at(vec![(word("a"), 1), (word("b"), 2), (word("a"), 3)])
        .unwrap();
    harness.watermark(5).unwrap();
    harness.push(word("a")).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record(("a".to_owned(), 1), Some(1)),
            Event::Record(("b".to_owned(), 1), Some(2)),
            Event::Record(("a".to_owned(), 2), Some(3)),
            Event::Watermark(5),
            Event::Record(("a".to_owned(), 3), None),
        ]
    );
}

#[test]
fn a_function_of_two_values_reduces_from_left_to_right() {
    let reduce = by_value(|a: String, b: String| format!("({a} {b})"));
    let operator = ReduceOperator::new(|word: &String| word.len(), reduce);
    let mut harness = OneInputHarness::<String, String>::open(operator).unwrap();
    harness
        .push_all(["a", "bb", "c", "d"].map(str::to_owned).to_vec())
        .unwrap();
    assert_eq!(harness.take_records(), ["a", "bb", "(a c)", "((a c) d)"]);
}

#[test]
fn a_key_that_has_no_hash_is_an_error_and_no_panic() {
    #[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
    struct Wild(f64);
    impl Eq for Wild {}
    let operator = ReduceOperator::new(|value: &f64| Wild(*value), |into: &mut f64, v| *into += v);
    let mut harness = OneInputHarness::<f64, f64>::open(operator).unwrap();
    harness.push(1.0).unwrap();
    let error = harness.push(f64::NAN).unwrap_err().to_string();
    assert!(error.contains("Wild"), "{error}");
}

struct Sum;

impl AggregateFunction for Sum {
    type In = (u32, u64);
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, sum: &mut u64, input: (u32, u64)) {
        *sum += input.1;
    }

    fn result(&self, sum: &u64) -> u64 {
        *sum
    }

    fn merge(&self, sum: &mut u64, other: u64) {
        *sum += other;
    }
}

/// Steps of a run: records, and now and then a restore at another parallelism.
fn steps() -> impl Strategy<Value = Vec<Result<(u32, u64), u32>>> {
    let step = prop_oneof![
        20 => (0u32..50, 0u64..1000).prop_map(Ok),
        1 => (1u32..5).prop_map(Err),
    ];
    prop::collection::vec(step, 0..200)
}

proptest! {
    #[test]
    fn running_sums_are_right_across_restores_at_any_parallelism(steps in steps()) {
        let selector = |record: &(u32, u64)| record.0;
        let emit = |key: &u32, sum| (*key, sum);
        let make = move || -> Box<dyn Operator> {
            Box::new(AggregateOperator::new(selector, Sum, emit))
        };
        let mut harness =
            ParallelHarness::<(u32, u64), (u32, u64)>::open(1, 32, selector, make).unwrap();
        let mut sums = BTreeMap::<u32, u64>::new();
        for step in steps {
            match step {
                Ok((key, value)) => {
                    harness.push((key, value), Some(i64::from(key))).unwrap();
                    let sum = sums.entry(key).or_default();
                    *sum += value;
                    prop_assert_eq!(harness.take_records(), [((key, *sum), Some(i64::from(key)))]);
                }
                Err(parallelism) => harness.rescale(parallelism).unwrap(),
            }
        }
    }

    #[test]
    fn a_chunk_of_any_size_gives_what_single_records_give(
        keys in prop::collection::vec(0u32..300, 0..700),
    ) {
        let operator = || ReduceOperator::new(|r: &(u32, u64)| r.0, |into: &mut (u32, u64), r: (u32, u64)| into.1 += r.1);
        let records: Vec<_> = keys.into_iter().map(|key| (key, 1)).collect();
        let mut whole = OneInputHarness::<(u32, u64), (u32, u64)>::open(operator()).unwrap();
        let mut single = OneInputHarness::<(u32, u64), (u32, u64)>::open(operator()).unwrap();
        for record in &records {
            single.push(*record).unwrap();
        }
        if !records.is_empty() {
            whole.push_all(records).unwrap();
        }
        prop_assert_eq!(whole.take_records(), single.take_records());
    }
}

/// What a fresh operator says of each key after it was restored from these snapshots.
fn restored(keys: u64, snapshots: Vec<OperatorSnapshot>) -> Vec<u64> {
    let operator = Box::new(count());
    let options = HarnessOptions::default();
    let mut harness = OneInputHarness::<Word, Word>::restore(operator, options, snapshots).unwrap();
    let look = |key: u64| (key.to_string(), 0);
    harness.push_all((0..keys).map(look).collect()).unwrap();
    harness
        .take_records()
        .into_iter()
        .map(|(_, count)| count)
        .collect()
}

#[test]
fn a_snapshot_shows_the_moment_it_began_while_records_change_what_is_being_copied() {
    const KEYS: u64 = 2000;
    let words = |step: usize| (0..KEYS).step_by(step).map(|key| word(&key.to_string()));
    let mut harness = OneInputHarness::<Word, Word>::open(count()).unwrap();
    harness.push_all(words(1).collect()).unwrap();
    let begun = harness.begin_snapshot(SnapshotKind::Full).unwrap();
    for step in [97, 53, 1] {
        harness.copy_snapshot(4096).unwrap();
        harness.push_all(words(step).collect()).unwrap();
    }
    harness.push(word("new")).unwrap();
    let snapshot = harness.finish_snapshot(begun).unwrap();
    assert_eq!(restored(KEYS, vec![snapshot]), vec![1; KEYS as usize]);
}

#[test]
fn a_delta_holds_what_changed_since_the_confirmed_snapshot_aborted_ones_included() {
    let take = |harness: &mut OneInputHarness<Word, Word>| {
        let begun = harness.begin_snapshot(SnapshotKind::Incremental).unwrap();
        harness.finish_snapshot(begun).unwrap()
    };
    let mut harness = OneInputHarness::<Word, Word>::open(count()).unwrap();
    harness
        .push_all(vec![word("0"), word("1"), word("2")])
        .unwrap();
    let full = take(&mut harness);
    harness.confirm_snapshot();
    harness.push(word("1")).unwrap();
    let aborted = take(&mut harness);
    harness.abort_snapshot();
    harness.push(word("2")).unwrap();
    let delta = take(&mut harness);
    let base = |snapshot: &OperatorSnapshot| snapshot.keyed.as_ref().unwrap().base;
    assert_eq!(base(&full), None);
    assert_eq!(base(&aborted), Some(CheckpointId(1)));
    assert_eq!(base(&delta), Some(CheckpointId(1)));
    assert_eq!(restored(3, vec![full, delta]), [1, 2, 2]);
}
