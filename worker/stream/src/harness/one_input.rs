//! The harness of an operator with one input.

use std::marker::PhantomData;

use weir_network::CancelToken;
use weir_state::SnapshotKind;
use weir_types::{CheckpointId, EventTime, Watermark};

use super::{Event, Harness, HarnessOptions, common_methods};
use crate::metrics::OperatorMetrics;
use crate::{Commit, Data, Operator, OperatorError, OperatorSnapshot, OutputTag, SnapshotRequest};

/// Drives an operator with one input.
pub struct OneInputHarness<I, O> {
    harness: Harness,
    types: PhantomData<fn(I) -> O>,
}

impl<I: Data, O: Data> OneInputHarness<I, O> {
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
        Ok(Self {
            harness: Harness::open(operator, options, snapshots)?,
            types: PhantomData,
        })
    }

    /// Pushes a record without event time.
    pub fn push(&mut self, record: I) -> Result<(), OperatorError> {
        self.push_all(vec![record])
    }

    /// Pushes a record with an event time.
    pub fn push_at(&mut self, record: I, time: i64) -> Result<(), OperatorError> {
        self.push_all_at(vec![(record, time)])
    }

    /// Pushes a chunk of records without event times.
    pub fn push_all(&mut self, records: Vec<I>) -> Result<(), OperatorError> {
        self.harness.push(0, records, Vec::new())
    }

    /// Pushes a chunk of records with event times.
    pub fn push_all_at(&mut self, records: Vec<(I, i64)>) -> Result<(), OperatorError> {
        let (rows, times): (Vec<I>, Vec<i64>) = records.into_iter().unzip();
        self.harness
            .push(0, rows, times.into_iter().map(EventTime).collect())
    }

    /// Advances the input's watermark.
    pub fn watermark(&mut self, time: i64) -> Result<(), OperatorError> {
        self.harness
            .operator
            .watermark(Watermark(EventTime(time)), &mut self.harness.output)
    }

    /// Tells the operator that its input has become idle or active.
    pub fn activity(&mut self, active: bool) -> Result<(), OperatorError> {
        self.harness
            .operator
            .activity(active, &mut self.harness.output)
    }

    /// Ends the input: the last watermark, then the end.
    pub fn end_input(&mut self) -> Result<(), OperatorError> {
        self.watermark(i64::MAX)?;
        self.harness.operator.end_input(0, &mut self.harness.output)
    }

    common_methods!();
}
