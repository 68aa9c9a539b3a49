//! The harness of an operator with two inputs.

use std::marker::PhantomData;

use weir_network::CancelToken;
use weir_state::SnapshotKind;
use weir_types::{CheckpointId, EventTime, Watermark};

use super::{Event, Harness, HarnessOptions, common_methods};
use crate::metrics::OperatorMetrics;
use crate::watermark_valve::CombinedWatermark;
use crate::{Commit, Data, Operator, OperatorError, OperatorSnapshot, OutputTag, SnapshotRequest};

/// Drives an operator with two inputs. Their watermarks are combined as a task combines them.
pub struct TwoInputHarness<A, B, O> {
    harness: Harness,
    combined: CombinedWatermark,
    types: PhantomData<fn(A, B) -> O>,
}

impl<A: Data, B: Data, O: Data> TwoInputHarness<A, B, O> {
    /// Opens the operator as the only subtask.
    pub fn open(operator: impl Operator + 'static) -> Result<Self, OperatorError> {
        Self::restore(Box::new(operator), HarnessOptions::default(), Vec::new())
    }

    /// Opens a fresh operator at some place with the snapshots of all former subtasks, in the order
    /// of their indices.
    pub fn restore(
        operator: Box<dyn Operator>,
        options: HarnessOptions,
        snapshots: Vec<OperatorSnapshot>,
    ) -> Result<Self, OperatorError> {
        let harness = Harness::open(operator, options, snapshots)?;
        Ok(Self {
            harness,
            combined: CombinedWatermark::new(2),
            types: PhantomData,
        })
    }

    /// Pushes a record into the first input.
    pub fn push_first(&mut self, record: A, time: Option<i64>) -> Result<(), OperatorError> {
        let rows = vec![record];
        let times = times(&rows, time);
        self.harness.push(0, rows, times)
    }

    /// Pushes a record into the second input.
    pub fn push_second(&mut self, record: B, time: Option<i64>) -> Result<(), OperatorError> {
        let rows = vec![record];
        let times = times(&rows, time);
        self.harness.push(1, rows, times)
    }

    /// Advances one input's watermark.
    pub fn watermark(&mut self, input: usize, time: i64) -> Result<(), OperatorError> {
        let output = self.combined.watermark(input, Watermark(EventTime(time)));
        self.harness.apply(output)
    }

    /// Makes one input idle or active.
    pub fn activity(&mut self, input: usize, active: bool) -> Result<(), OperatorError> {
        let output = self.combined.activity(input, active);
        self.harness.apply(output)
    }

    /// Ends one input: its last watermark, then its end.
    pub fn end_input(&mut self, input: usize) -> Result<(), OperatorError> {
        self.watermark(input, i64::MAX)?;
        self.harness
            .operator
            .end_input(input, &mut self.harness.output)
    }

    common_methods!();
}

fn times(rows: &[impl Sized], time: Option<i64>) -> Vec<EventTime> {
    time.map_or_else(Vec::new, |time| vec![EventTime(time); rows.len()])
}
