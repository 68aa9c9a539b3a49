use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use proptest::prelude::*;
use weir_network::CancelToken;
use weir_state::AggregateFunction;

use super::*;
use crate::harness::{Event, OneInputHarness, ParallelHarness};
use crate::window::{
    AggregatePane, ApplyWindow, EventTimeTrigger, ListPane, PassOn, ProcessingTimeTrigger,
    ReducePane, SlidingWindows, TimeWindow, TumblingWindows,
};
use crate::{BoxError, Collector, OutputTag};

mod model;

/// Key and value.
type Record = (u8, i64);
/// Key, window, and the values in it.
type Fired = (u8, i64, i64, Vec<i64>);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn list_with_window(
    key: &u8,
    window: &TimeWindow,
    records: Vec<Record>,
    out: &mut Collector<'_, Fired>,
) -> Result<(), BoxError> {
    let values = records.into_iter().map(|record| record.1).collect();
    out.collect((*key, window.start, window.end, values));
    Ok(())
}

fn event_time_lists(
    assigner: impl WindowAssigner<Record, Window = TimeWindow>,
    options: WindowOptions<Record>,
) -> impl Operator {
    let parts = WindowParts {
        selector: |record: &Record| record.0,
        assigner,
        trigger: EventTimeTrigger,
        pane: ListPane,
        function: ApplyWindow(list_with_window),
    };
    WindowOperator::new(parts, options)
}

fn reduce(into: &mut Record, record: Record) {
    into.1 += record.1;
}

fn sums(
    assigner: impl WindowAssigner<Record, Window = TimeWindow>,
) -> OneInputHarness<Record, Record> {
    let event_time = assigner.is_event_time();
    let (selector, pane, function) = (|record: &Record| record.0, ReducePane(reduce), PassOn);
    let options = WindowOptions::default();
    if event_time {
        let trigger = EventTimeTrigger;
        let parts = WindowParts {
            selector,
            assigner,
            trigger,
            pane,
            function,
        };
        OneInputHarness::open(WindowOperator::new(parts, options)).unwrap()
    } else {
        let trigger = ProcessingTimeTrigger;
        let parts = WindowParts {
            selector,
            assigner,
            trigger,
            pane,
            function,
        };
        OneInputHarness::open(WindowOperator::new(parts, options)).unwrap()
    }
}

#[test]
fn a_window_fires_once_when_the_watermark_passes_its_last_millisecond() {
    let mut harness = sums(TumblingWindows::event_time(ms(10)));
    harness
        .push_all_at(vec![((1, 1), 9), ((1, 2), 0), ((1, 4), 10), ((1, 8), -1)])
        .unwrap();
    harness.watermark(-1).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Record((1, 8), Some(-1)), Event::Watermark(-1)]
    );
    harness.watermark(8).unwrap();
    assert_eq!(harness.take_events(), [Event::Watermark(8)]);
    harness.watermark(9).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Record((1, 3), Some(9)), Event::Watermark(9)]
    );
    harness.end_input().unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Record((1, 4), Some(19)), Event::Watermark(i64::MAX)]
    );
}

#[test]
fn windows_fire_in_the_order_of_their_ends_whatever_the_keys() {
    let mut harness = sums(TumblingWindows::event_time(ms(10)));
    let late_first = vec![((1, 1), 25), ((2, 1), 15), ((3, 1), 5), ((1, 1), 6)];
    harness.push_all_at(late_first).unwrap();
    harness.watermark(100).unwrap();
    let times: Vec<_> = harness
        .take_events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Record(_, time) => time,
            _ => None,
        })
        .collect();
    assert_eq!(times, [9, 9, 19, 29]);
}

#[test]
fn a_record_behind_its_window_is_dropped_and_counted() {
    let mut harness = sums(TumblingWindows::event_time(ms(10)));
    harness.watermark(9).unwrap();
    harness
        .push_all_at(vec![((1, 1), 9), ((1, 1), 10)])
        .unwrap();
    assert_eq!(harness.metrics().late_records(), 1);
    harness.end_input().unwrap();
    assert_eq!(harness.take_records(), [(1, 1)]);
}

#[test]
fn a_record_behind_its_window_goes_to_the_late_output_if_there_is_one() {
    let tag = OutputTag::new("late");
    let options = WindowOptions {
        late_output: Some(tag.clone()),
        ..WindowOptions::default()
    };
    let operator = event_time_lists(TumblingWindows::event_time(ms(10)), options);
    let mut harness = OneInputHarness::<Record, Fired>::open(operator).unwrap();
    harness.watermark(9).unwrap();
    harness.push_at((1, 7), 3).unwrap();
    assert_eq!(harness.take_side(&tag), [((1, 7), Some(3))]);
    assert_eq!(harness.metrics().late_records(), 0);
}

#[test]
fn a_record_between_windows_is_no_late_record() {
    let mut harness = sums(SlidingWindows::event_time(ms(5), ms(10)));
    harness.push_at((1, 1), 7).unwrap();
    assert_eq!(harness.metrics().late_records(), 0);
    harness.watermark(7).unwrap();
    harness.push_at((1, 1), 7).unwrap();
    assert_eq!(harness.metrics().late_records(), 1);
}

#[test]
fn a_late_record_within_the_allowed_lateness_fires_the_window_again() {
    let options = WindowOptions {
        allowed_lateness: ms(20),
        ..WindowOptions::default()
    };
    let operator = event_time_lists(TumblingWindows::event_time(ms(10)), options);
    let mut harness = OneInputHarness::<Record, Fired>::open(operator).unwrap();
    harness.push_at((1, 1), 1).unwrap();
    harness.watermark(9).unwrap();
    assert_eq!(harness.take_records(), [(1, 0, 10, vec![1])]);
    harness.push_all_at(vec![((1, 2), 2), ((1, 3), 3)]).unwrap();
    assert_eq!(
        harness.take_records(),
        [(1, 0, 10, vec![1, 2]), (1, 0, 10, vec![1, 2, 3])]
    );
    harness.watermark(28).unwrap();
    harness.push_at((1, 4), 4).unwrap();
    assert_eq!(harness.take_records(), [(1, 0, 10, vec![1, 2, 3, 4])]);
    harness.watermark(29).unwrap();
    harness.push_at((1, 5), 5).unwrap();
    assert_eq!(harness.take_records(), [], "dropped with its window");
    assert_eq!(harness.metrics().late_records(), 1);
}

#[test]
fn a_processing_time_window_takes_all_of_its_last_millisecond() {
    let mut harness = sums(TumblingWindows::processing_time(ms(10)));
    harness.push((1, 1)).unwrap();
    harness.advance_clock_to(9).unwrap();
    harness.push((1, 2)).unwrap();
    assert_eq!(harness.take_events(), []);
    harness.advance_clock_to(10).unwrap();
    assert_eq!(harness.take_events(), [Event::Record((1, 3), Some(9))]);
    harness.push((1, 4)).unwrap();
    harness.watermark(i64::MAX).unwrap();
    assert_eq!(
        harness.take_events(),
        [Event::Watermark(i64::MAX)],
        "the watermark is nothing to it"
    );
    harness.advance_clock_to(1_000).unwrap();
    assert_eq!(harness.take_events(), [Event::Record((1, 4), Some(19))]);
}

#[test]
fn a_record_without_event_time_is_an_error_that_says_what_to_do() {
    let mut harness = sums(TumblingWindows::event_time(ms(10)));
    let error = harness.push((1, 1)).unwrap_err().to_string();
    assert!(error.contains("assign timestamps"), "{error}");
}

#[test]
fn a_window_of_no_size_is_refused_before_the_first_record() {
    let operator = event_time_lists(
        TumblingWindows::event_time(Duration::ZERO),
        WindowOptions::default(),
    );
    let error = OneInputHarness::<Record, Fired>::open(operator)
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("size"), "{error}");
}

/// Number and sum.
#[derive(Clone)]
struct Mean;

impl AggregateFunction for Mean {
    type In = Record;
    type Acc = (i64, i64);
    type Out = i64;

    fn create_accumulator(&self) -> (i64, i64) {
        (0, 0)
    }

    fn add(&self, (count, sum): &mut (i64, i64), record: Record) {
        *count += 1;
        *sum += record.1;
    }

    fn result(&self, (count, sum): &(i64, i64)) -> i64 {
        sum / count
    }

    fn merge(&self, into: &mut (i64, i64), other: (i64, i64)) {
        into.0 += other.0;
        into.1 += other.1;
    }
}

#[test]
fn an_aggregate_with_a_window_function_knows_key_and_window() {
    let parts = WindowParts {
        selector: |record: &Record| record.0,
        assigner: TumblingWindows::event_time(ms(10)),
        trigger: EventTimeTrigger,
        pane: AggregatePane(Mean),
        function: ApplyWindow(
            |key: &u8, window: &TimeWindow, mean, out: &mut Collector<'_, (u8, i64, i64)>| {
                out.collect((*key, window.end, mean));
                Ok(())
            },
        ),
    };
    let operator = WindowOperator::new(parts, WindowOptions::default());
    let mut harness = OneInputHarness::<Record, (u8, i64, i64)>::open(operator).unwrap();
    harness
        .push_all_at(vec![((7, 2), 1), ((7, 4), 2), ((8, 5), 3)])
        .unwrap();
    harness.watermark(9).unwrap();
    let mut records = harness.take_records();
    records.sort_unstable();
    assert_eq!(records, [(7, 10, 3), (8, 10, 5)]);
}

/// Tells of each firing on a side output.
#[derive(Clone)]
struct Tell(OutputTag<String>);

impl ProcessWindowFunction<u8, TimeWindow, Record, Record> for Tell {
    fn process(
        &mut self,
        key: &u8,
        input: Record,
        context: &mut WindowContext<'_, TimeWindow>,
        out: &mut Collector<'_, Record>,
    ) -> Result<(), BoxError> {
        let (start, watermark) = (context.window().start, context.watermark());
        context.side_output(&self.0, format!("{key} from {start} at {watermark}"));
        out.collect(input);
        Ok(())
    }
}

#[test]
fn a_window_function_has_side_outputs() {
    let tag = OutputTag::new("told");
    let parts = WindowParts {
        selector: |record: &Record| record.0,
        assigner: TumblingWindows::event_time(ms(10)),
        trigger: EventTimeTrigger,
        pane: ReducePane(reduce),
        function: Tell(tag.clone()),
    };
    let operator = WindowOperator::new(parts, WindowOptions::default());
    let mut harness = OneInputHarness::<Record, Record>::open(operator).unwrap();
    harness.push_at((7, 2), 1).unwrap();
    harness.watermark(30).unwrap();
    assert_eq!(
        harness.take_side(&tag),
        [("7 from 0 at 30".to_owned(), Some(9))]
    );
}

#[derive(Clone, Debug)]
enum Step {
    Record(u8, i64, i64),
    Watermark(i64),
    Rescale(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0u8..6, -40i64..60, 0i64..100).prop_map(|(key, time, value)| {
            Step::Record(key, time, value)
        }),
        3 => (-40i64..80).prop_map(Step::Watermark),
        1 => (1u32..4).prop_map(Step::Rescale),
    ]
}

/// What comes out between two steps may come in any order of keys.
fn sorted<T: Ord>(mut records: Vec<T>) -> Vec<T> {
    records.sort();
    records
}

proptest! {
    #[test]
    fn windows_hold_what_a_naive_model_says_across_restores_at_any_parallelism(
        (size, slide, offset) in (1i64..25, 1i64..25, -30i64..30),
        lateness in prop_oneof![Just(0i64), 1i64..30],
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let tag = OutputTag::<Record>::new("late");
        let make_tag = tag.clone();
        let make = move || -> Box<dyn Operator> {
            let assigner =
                SlidingWindows::event_time(ms(size.unsigned_abs()), ms(slide.unsigned_abs()))
                    .with_offset_ms(offset);
            let options = WindowOptions {
                allowed_lateness: ms(lateness.unsigned_abs()),
                late_output: Some(make_tag.clone()),
            };
            Box::new(event_time_lists(assigner, options))
        };
        let mut harness = ParallelHarness::<Record, Fired>::open(2, 16, |r| r.0, make).unwrap();
        let mut model = model::Windows::new(size, slide, offset, lateness);
        let mut watermark = i64::MIN;
        for step in steps {
            match step {
                Step::Record(key, time, value) => {
                    harness.push((key, value), Some(time)).unwrap();
                    model.record(key, time, value);
                }
                Step::Watermark(time) if time > watermark => {
                    watermark = time;
                    harness.watermark(time).unwrap();
                    model.watermark(time);
                }
                Step::Watermark(_) => {}
                Step::Rescale(parallelism) => {
                    watermark = i64::MIN;
                    harness.rescale(parallelism).unwrap();
                    model.restore();
                }
            }
            let fired = harness.take_records();
            for ((_, _, end, _), time) in &fired {
                prop_assert_eq!(*time, Some(end - 1));
            }
            let fired = fired.into_iter().map(|(fired, _)| fired).collect();
            prop_assert_eq!(sorted(fired), sorted(std::mem::take(&mut model.fired)));
            let late = harness.take_side(&tag).into_iter().map(|(record, _)| record).collect();
            prop_assert_eq!(sorted(late), sorted(std::mem::take(&mut model.late)));
        }
        harness.watermark(i64::MAX).unwrap();
        model.watermark(i64::MAX);
        let fired = harness.take_records().into_iter().map(|(fired, _)| fired).collect();
        prop_assert_eq!(sorted(fired), sorted(model.fired));
        prop_assert!(model.panes.is_empty());
    }

    #[test]
    fn reducing_a_window_gives_the_sum_of_what_a_list_would_hold(
        records in prop::collection::vec(((0u8..4, 0i64..100), 0i64..50), 0..60),
    ) {
        let mut sums = sums(TumblingWindows::event_time(ms(7)));
        sums.push_all_at(records.clone()).unwrap();
        sums.end_input().unwrap();
        let mut want = BTreeMap::<(i64, u8), i64>::new();
        for ((key, value), time) in records {
            *want.entry((time / 7, key)).or_default() += value;
        }
        let want: Vec<Record> = want.into_iter().map(|((_, key), sum)| (key, sum)).collect();
        prop_assert_eq!(sorted(sums.take_records()), sorted(want));
    }
}

#[test]
fn a_processing_time_window_closes_after_a_restore_without_a_further_record() {
    let make = || -> Box<dyn Operator> {
        let parts = WindowParts {
            selector: |record: &Record| record.0,
            assigner: TumblingWindows::processing_time(ms(10)),
            trigger: ProcessingTimeTrigger,
            pane: ReducePane(reduce),
            function: PassOn,
        };
        Box::new(WindowOperator::new(parts, WindowOptions::default()))
    };
    let mut harness =
        ParallelHarness::<Record, Record>::open(1, 16, |r: &Record| r.0, make).unwrap();
    for key in 0..5 {
        harness.push((key, 1), None).unwrap();
    }
    harness.rescale(2).unwrap();
    harness.advance_clock_to(10).unwrap();
    let closed = harness.take_records().into_iter().map(|(record, _)| record);
    assert_eq!(
        sorted(closed.collect()),
        [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1)]
    );
}

/// Fails if all windows that a watermark closes had to fire first: their function may take long.
#[test]
fn no_further_window_fires_once_the_subtask_is_cancelled() {
    let token = Arc::new(OnceLock::<CancelToken>::new());
    let cancel = Arc::clone(&token);
    let function = move |key: &u8,
                         window: &TimeWindow,
                         records: Vec<Record>,
                         out: &mut Collector<'_, Fired>| {
        assert!(window.start < 30, "the subtask was cancelled before");
        if window.start == 20 {
            cancel.get().expect("set before the watermark").cancel();
        }
        list_with_window(key, window, records, out)
    };
    let parts = WindowParts {
        selector: |record: &Record| record.0,
        assigner: TumblingWindows::event_time(ms(10)),
        trigger: EventTimeTrigger,
        pane: ListPane,
        function: ApplyWindow(function),
    };
    let operator = WindowOperator::new(parts, WindowOptions::default());
    let mut harness = OneInputHarness::<Record, Fired>::open(operator).unwrap();
    let records = (0..100).map(|time| ((1, time), time));
    harness.push_all_at(records.collect()).unwrap();
    token.set(harness.cancel_token()).unwrap();
    let result = harness.watermark(1_000);
    assert!(
        matches!(result, Err(OperatorError::Cancelled)),
        "{result:?}"
    );
}
