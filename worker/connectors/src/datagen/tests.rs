use std::time::Duration;

use proptest::prelude::*;
use weir_stream::source::{Poll, Turn};
use weir_types::ManualClock;

use super::*;
use crate::testing::{
    TestReader, context, enumerator, read_all, turns_of_a_called_reader, with_clock,
};

fn numbers(count: u64) -> DatagenSource<u64> {
    DatagenSource::new(|index| index).count(count)
}

proptest! {
    #[test]
    fn readers_together_make_every_index_once(count in 0u64..20_000, readers in 1u32..5) {
        let source = numbers(count);
        let mut splits = enumerator(&source, readers);
        let mut rows = Vec::new();
        for subtask in 0..readers {
            let mut reader = TestReader::open(&source, context(subtask, readers));
            reader.run(&mut *splits).expect("makes records");
            rows.extend(reader.rows());
        }
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn a_restored_reader_makes_exactly_the_rest(count in 1u64..9000, turns in 0usize..12) {
        let source = numbers(count);
        let mut splits = enumerator(&source, 2);
        let mut first: Vec<_> =
            (0..2).map(|subtask| TestReader::open(&source, context(subtask, 2))).collect();
        for turn in 0..turns {
            first[turn % 2].turn(&mut *splits).expect("makes records");
        }
        let snapshots: Vec<_> =
            first.iter_mut().map(|reader| reader.snapshot()).collect();
        let pending = splits.snapshot().expect("writes");

        // Both former readers' splits go to one.
        let mut splits = enumerator(&source, 1);
        splits.restore(&pending).expect("reads");
        let mut second = TestReader::restored(&source, context(0, 1), &snapshots);
        second.run(&mut *splits).expect("makes records");
        let mut rows: Vec<_> = first.into_iter().flat_map(TestReader::rows).collect();
        rows.extend(second.rows());
        rows.sort_unstable();
        prop_assert_eq!(rows, (0..count).collect::<Vec<_>>());
    }
}

#[test]
fn blocks_are_dealt_out_in_turn() {
    let source = numbers(3500);
    let mut splits = enumerator(&source, 2);
    let mut rows: Vec<Vec<u64>> = Vec::new();
    let mut readers: Vec<_> = (0..2)
        .map(|subtask| TestReader::open(&source, context(subtask, 2)))
        .collect();
    for reader in &mut readers {
        for _ in 0..2 {
            // It takes its split, then hears that there is no other.
            reader.turn(&mut *splits).expect("asks for splits");
        }
    }
    for mut reader in readers {
        reader.run(&mut *splits).expect("makes records");
        rows.push(reader.rows());
    }
    assert_eq!(rows[0], (0..1000).chain(2000..3000).collect::<Vec<_>>());
    assert_eq!(rows[1], (1000..2000).chain(3000..3500).collect::<Vec<_>>());
}

#[test]
fn records_carry_their_event_times() {
    let source = DatagenSource::with_timestamps(|index| (index, EventTime(index as i64 * 10)));
    let source = source.count(3);
    let mut reader = TestReader::open(&source, context(0, 1));
    reader
        .run(&mut *enumerator(&source, 1))
        .expect("makes records");
    let times: Vec<_> = reader.out.0.iter().map(|(_, time)| *time).collect();
    assert_eq!(
        times,
        [Some(EventTime(0)), Some(EventTime(10)), Some(EventTime(20))]
    );
    let lag = reader.context.metrics.event_time_lag_ms();
    assert!(lag.is_some_and(|lag| lag > 1_600_000_000_000), "{lag:?}");
}

#[test]
fn a_paced_source_makes_what_is_due_and_waits_for_the_rest() {
    let clock = Arc::new(ManualClock::at(5_000));
    let source = numbers(1_000_000)
        .rate(1000.0)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>);
    let mut splits = enumerator(&source, 1);
    let mut reader = TestReader::open(
        &source,
        with_clock(context(0, 1), Arc::clone(&clock) as Arc<dyn Clock>),
    );
    for _ in 0..2 {
        // It takes its split, then hears that there is no other.
        reader.turn(&mut *splits).expect("asks for splits");
    }
    assert_eq!(
        reader.turn(&mut *splits).expect("starts"),
        Poll::Wait(Duration::from_millis(1))
    );
    assert_eq!(reader.out.0.len(), 1, "record 0 is due at the start");
    // Held up for three seconds: the backlog comes at once, chunk by chunk.
    clock.advance(Duration::from_secs(3));
    while reader.turn(&mut *splits).expect("catches up") == Poll::More {}
    assert_eq!(reader.out.0.len(), 3001);
}

#[test]
fn readers_share_a_start_that_the_program_names() {
    let clock = Arc::new(ManualClock::at(5_000));
    let source = numbers(10).rate(1.0).start_at_unix_ms(6_500);
    let mut splits = enumerator(&source, 1);
    let mut reader = TestReader::open(
        &source,
        with_clock(context(0, 1), Arc::clone(&clock) as Arc<dyn Clock>),
    );
    for _ in 0..2 {
        // It takes its split, then hears that there is no other.
        reader.turn(&mut *splits).expect("asks for splits");
    }
    let wait = Poll::Wait(Duration::from_millis(1500));
    assert_eq!(reader.turn(&mut *splits).expect("waits"), wait);
    assert!(reader.out.0.is_empty());
}

#[test]
fn a_rate_that_cannot_be_kept_is_refused() {
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let made = numbers(1).rate(rate).make_enumerator(&EnumeratorContext {
            parallelism: 1,
            restored: false,
        });
        assert!(made.is_err(), "{rate}");
    }
}

#[test]
fn an_empty_source_ends() {
    assert_eq!(read_all(&numbers(0)).expect("ends"), [0; 0]);
}

#[test]
fn a_reader_that_is_called_ends_its_turn_after_a_record_and_loses_none() {
    let (turns, rows) = turns_of_a_called_reader(&numbers(2_500));
    assert_eq!((turns, rows), (vec![1; 2_500], (0..2_500).collect()));
}

#[test]
fn a_turn_that_may_emit_so_many_records_emits_no_more() {
    let source = numbers(3_000);
    let mut splits = enumerator(&source, 1);
    let mut reader = TestReader::open(&source, context(0, 1));
    let turn = Turn {
        records_max: 7,
        ..Turn::whole()
    };
    let mut ends = 0;
    while reader.out.0.len() < 70 {
        let before = reader.out.0.len();
        reader.turn_of(turn, &mut *splits).expect("makes records");
        ends += usize::from(reader.out.0.len() == before + 7);
    }
    assert_eq!((ends, reader.out.0.len()), (10, 70));
}

/// Fails if such a split were dropped: its records would be missing, and nobody would know.
#[test]
fn a_split_that_comes_back_and_cannot_be_read_is_an_error_that_says_so() {
    let mut splits = enumerator(&numbers(10), 1);
    let error = splits
        .add_splits_back(vec![vec![1, 0xff]], SubtaskIndex(3))
        .expect_err("is no split");
    let error = error.to_string();
    assert!(
        error.contains("came back from reader 3 (2 bytes)"),
        "{error}"
    );
    assert!(error.contains("records would be missing"), "{error}");
}
