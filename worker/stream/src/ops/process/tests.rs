use super::*;
use crate::CHUNK_ROWS;
use crate::harness::{Event, HarnessOptions, OneInputHarness};

/// Even records pass, odd ones go aside with a remark.
#[derive(Clone)]
struct Split {
    aside: OutputTag<String>,
    seen: i64,
}

impl Split {
    fn new() -> Self {
        Self {
            aside: OutputTag::new("aside"),
            seen: 0,
        }
    }
}

impl ProcessFunction<i64, i64> for Split {
    fn process(
        &mut self,
        record: i64,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        self.seen += 1;
        if record % 2 == 0 {
            out.collect(record);
        } else {
            let (watermark, now) = (context.watermark().0.0, context.processing_time());
            context.side_output(&self.aside, format!("{record} at {watermark}, {now}"));
        }
        Ok(())
    }

    fn end_input(
        &mut self,
        _context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        out.collect(-self.seen);
        Ok(())
    }
}

type Harness = OneInputHarness<i64, i64>;

#[test]
fn records_leave_on_the_main_and_the_side_output_with_their_event_time() {
    let mut harness = Harness::open(ProcessOperator::new(Split::new())).unwrap();
    harness.watermark(5).unwrap();
    harness.advance_clock_to(70).unwrap();
    harness.push_all_at(vec![(1, 10), (2, 20)]).unwrap();
    harness.push(3).unwrap();
    harness.end_input().unwrap();
    assert_eq!(
        harness.take_side(&Split::new().aside),
        [
            ("1 at 5, 70".to_owned(), Some(10)),
            ("3 at 5, 70".to_owned(), None)
        ]
    );
    assert_eq!(
        harness.take_events(),
        [
            Event::Watermark(5),
            Event::Record(2, Some(20)),
            Event::Watermark(i64::MAX),
            Event::Record(-3, None),
        ]
    );
}

/// Sends each record to a side output that shares its name with one of another type.
#[derive(Clone)]
struct TwoTypes;

impl ProcessFunction<i64, i64> for TwoTypes {
    fn process(
        &mut self,
        record: i64,
        context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        context.side_output(&OutputTag::new("x"), record);
        context.side_output(&OutputTag::new("x"), record.to_string());
        Ok(())
    }
}

#[test]
fn one_name_for_side_outputs_of_two_types_is_an_error_that_names_it() {
    let mut harness = Harness::open(ProcessOperator::new(TwoTypes)).unwrap();
    let error = harness.push(1).unwrap_err().to_string();
    assert!(error.contains("side output `x`"), "{error}");
}

/// Emits nothing but side records, many for each.
#[derive(Clone)]
struct Flood(OutputTag<i64>);

impl ProcessFunction<i64, i64> for Flood {
    fn process(
        &mut self,
        record: i64,
        context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        (0..record).for_each(|n| context.side_output(&self.0, n));
        Ok(())
    }
}

#[test]
fn many_side_records_keep_their_order() {
    let tag = OutputTag::new("flood");
    let mut harness = Harness::open(ProcessOperator::new(Flood(tag.clone()))).unwrap();
    let many = i64::try_from(CHUNK_ROWS).unwrap() * 2 + 7;
    harness.push_all(vec![many, 3]).unwrap();
    let want: Vec<_> = (0..many).chain(0..3).map(|n| (n, None)).collect();
    assert_eq!(harness.take_side(&tag), want);
}

/// Keeps all records in a list, and tells them when asked by a negative one.
#[derive(Clone, Default)]
struct Keep(Option<OperatorListState<i64>>);

impl ProcessFunction<i64, i64> for Keep {
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        self.0 = Some(context.list_state("kept")?);
        Ok(())
    }

    fn process(
        &mut self,
        record: i64,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        let kept = self.0.expect("opened");
        if record < 0 {
            kept.get(context)?
                .iter()
                .for_each(|record| out.collect(*record));
        } else {
            kept.add(context, record)?;
        }
        Ok(())
    }
}

#[test]
fn list_state_is_dealt_out_once_among_new_subtasks() {
    let restore = |subtask, parallelism, snapshots| {
        let options = HarnessOptions {
            parallelism,
            subtask,
            ..HarnessOptions::default()
        };
        let operator = Box::new(ProcessOperator::new(Keep::default()));
        Harness::restore(operator, options, snapshots).unwrap()
    };
    let snapshots: Vec<_> = [vec![1, 2, 3], vec![], vec![4, 5]]
        .into_iter()
        .zip(0..)
        .map(|(records, subtask)| {
            let mut before = restore(subtask, 3, Vec::new());
            before.push_all(records).unwrap();
            before.snapshot().unwrap()
        })
        .collect();
    let parts: Vec<_> = (0..2)
        .map(|subtask| {
            let mut after = restore(subtask, 2, snapshots.clone());
            after.push(-1).unwrap();
            after.take_records()
        })
        .collect();
    assert!(parts.iter().all(|part| part.len() >= 2), "{parts:?}");
    let mut all = parts.concat();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5]);
}
