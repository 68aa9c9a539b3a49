//! Tests of the operators with two inputs that are not keyed.

use super::*;
use crate::OutputTag;
use crate::harness::{Event, TwoInputHarness};
use crate::ops::{CoFlatMapOperator, CoMapOperator};

/// Lets numbers pass that are above the latest threshold.
#[derive(Clone)]
struct Above {
    threshold: i64,
    below: OutputTag<i64>,
}

impl CoProcessFunction<i64, String, i64> for Above {
    fn process_first(
        &mut self,
        record: i64,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        if record > self.threshold {
            out.collect(record);
        } else {
            context.side_output(&self.below, record);
        }
        Ok(())
    }

    fn process_second(
        &mut self,
        record: String,
        _context: &mut ProcessContext<'_>,
        _out: &mut Collector<'_, i64>,
    ) -> Result<(), BoxError> {
        self.threshold = record.parse()?;
        Ok(())
    }
}

#[test]
fn each_input_reaches_its_own_method() {
    let below = OutputTag::new("below");
    let function = Above {
        threshold: 5,
        below: below.clone(),
    };
    let mut harness =
        TwoInputHarness::<i64, String, i64>::open(CoProcessOperator::new(function)).unwrap();
    harness.push_first(7, Some(1)).unwrap();
    harness.push_second("10".to_owned(), Some(2)).unwrap();
    harness.push_first(8, Some(3)).unwrap();
    harness.push_first(12, Some(4)).unwrap();
    harness.watermark(0, 4).unwrap();
    harness.watermark(1, 9).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record(7, Some(1)),
            Event::Record(12, Some(4)),
            Event::Watermark(4)
        ]
    );
    assert_eq!(harness.take_side(&below), [(8, Some(3))]);
    let error = harness.push_second("ten".to_owned(), None).unwrap_err();
    assert!(matches!(error, OperatorError::Function(_)), "{error:?}");
}

#[test]
fn co_map_maps_each_input_its_own_way() {
    let operator = CoMapOperator::new(|number: i64| number.to_string(), |text: String| text + "!");
    let mut harness = TwoInputHarness::<i64, String, String>::open(operator).unwrap();
    harness.push_first(7, Some(1)).unwrap();
    harness.push_second("seven".to_owned(), None).unwrap();
    assert_eq!(
        harness.take_events(),
        [
            Event::Record("7".to_owned(), Some(1)),
            Event::Record("seven!".to_owned(), None)
        ]
    );
}

#[test]
fn co_flat_map_emits_any_number_for_each_input() {
    let operator = CoFlatMapOperator::new(
        |number: i64, out: &mut Collector<'_, i64>| (0..number).for_each(|n| out.collect(n)),
        |text: String, out: &mut Collector<'_, i64>| {
            text.split(' ')
                .filter_map(|word| word.parse().ok())
                .for_each(|n| out.collect(n));
        },
    );
    let mut harness = TwoInputHarness::<i64, String, i64>::open(operator).unwrap();
    harness.push_first(2, None).unwrap();
    harness.push_second("5 x 6".to_owned(), None).unwrap();
    harness.push_first(0, None).unwrap();
    assert_eq!(harness.take_records(), [0, 1, 5, 6]);
}
