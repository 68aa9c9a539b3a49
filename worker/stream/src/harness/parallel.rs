//! Several subtasks of one keyed operator, and what a rescale does to them.

use weir_state::{StateKey, key_hash};
use weir_types::{KeyGroup, subtask_of_key_group};

use crate::harness::{Event, HarnessOptions, OneInputHarness};
use crate::{Data, Operator, OperatorError, OutputTag};

/// Drives all subtasks of a keyed operator: records go to the subtask of their key, everything
/// else to all.
pub struct ParallelHarness<I, O> {
    make: Box<dyn Fn() -> Box<dyn Operator>>,
    hash: Box<dyn Fn(&I) -> u64>,
    subtasks: Vec<OneInputHarness<I, O>>,
    max_parallelism: u32,
    now_ms: i64,
}

impl<I: Data, O: Data> ParallelHarness<I, O> {
    /// Opens as many subtasks as said of the operators that `make` makes.
    pub fn open<K: StateKey>(
        parallelism: u32,
        max_parallelism: u32,
        selector: impl Fn(&I) -> K + 'static,
        make: impl Fn() -> Box<dyn Operator> + 'static,
    ) -> Result<Self, OperatorError> {
        let mut harness = Self {
            make: Box::new(make),
            hash: Box::new(move |record| key_hash(&selector(record)).unwrap_or_default()),
            subtasks: Vec::new(),
            max_parallelism,
            now_ms: 0,
        };
        harness.subtasks = harness.start(parallelism, &[])?;
        Ok(harness)
    }

    fn start(
        &self,
        parallelism: u32,
        snapshots: &[crate::OperatorSnapshot],
    ) -> Result<Vec<OneInputHarness<I, O>>, OperatorError> {
        let subtasks = (0..parallelism).map(|subtask| {
            let (max_parallelism, now_ms) = (self.max_parallelism, self.now_ms);
            let options = HarnessOptions {
                parallelism,
                subtask,
                max_parallelism,
                now_ms,
            };
            OneInputHarness::restore((self.make)(), options, snapshots.to_vec())
        });
        subtasks.collect()
    }

    /// Takes a snapshot of all subtasks, and goes on with as many fresh ones as said from there.
    /// What the former ones had put out and nobody took is gone.
    pub fn rescale(&mut self, parallelism: u32) -> Result<(), OperatorError> {
        let snapshots = self.subtasks.iter_mut().map(OneInputHarness::snapshot);
        let snapshots = snapshots.collect::<Result<Vec<_>, _>>()?;
        self.subtasks = self.start(parallelism, &snapshots)?;
        Ok(())
    }

    /// Pushes a record into the subtask of its key.
    pub fn push(&mut self, record: I, time: Option<i64>) -> Result<(), OperatorError> {
        let group = KeyGroup::of_hash((self.hash)(&record), self.max_parallelism);
        let parallelism = u32::try_from(self.subtasks.len()).unwrap_or(u32::MAX);
        let subtask = subtask_of_key_group(group, self.max_parallelism, parallelism);
        let harness = &mut self.subtasks[subtask as usize];
        match time {
            Some(time) => harness.push_at(record, time),
            None => harness.push(record),
        }
    }

    /// Advances the watermark of all subtasks.
    pub fn watermark(&mut self, time: i64) -> Result<(), OperatorError> {
        self.subtasks
            .iter_mut()
            .try_for_each(|harness| harness.watermark(time))
    }

    /// Moves the wall clock of all subtasks forward.
    pub fn advance_clock_to(&mut self, now_ms: i64) -> Result<(), OperatorError> {
        self.now_ms = now_ms;
        self.subtasks
            .iter_mut()
            .try_for_each(|harness| harness.advance_clock_to(now_ms))
    }

    /// The records that came out since the last call with their event times, subtask by subtask.
    pub fn take_records(&mut self) -> Vec<(O, Option<i64>)> {
        let events = self
            .subtasks
            .iter_mut()
            .flat_map(OneInputHarness::take_events);
        let records = events.filter_map(|event| match event {
            Event::Record(record, time) => Some((record, time)),
            _ => None,
        });
        records.collect()
    }

    /// What came out of a side output since the last call, subtask by subtask.
    pub fn take_side<T: Data>(&mut self, tag: &OutputTag<T>) -> Vec<(T, Option<i64>)> {
        self.subtasks
            .iter_mut()
            .flat_map(|harness| harness.take_side(tag))
            .collect()
    }

    /// Late records that were dropped since the subtasks were started.
    pub fn late_records(&self) -> u64 {
        self.subtasks
            .iter()
            .map(|harness| harness.metrics().late_records())
            .sum()
    }
}
