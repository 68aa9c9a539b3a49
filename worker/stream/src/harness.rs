//! Drives one operator in a test, without a task, channels or threads (Flink's
//! `OneInputStreamOperatorTestHarness` and `TwoInputStreamOperatorTestHarness`).
//!
//! A harness stands for one subtask: it pushes records, watermarks and time, keeps what comes out
//! in order, takes snapshots, and restores them into a fresh instance, at another parallelism if
//! wanted. Time stands still unless told.

use std::sync::Arc;
use std::time::Duration;

use weir_network::CancelToken;
use weir_state::HeapFactory;
use weir_types::{
    AttemptNumber, CheckpointId, Clock, Epoch, EventTime, ExecutionAttemptId, KeyGroupRange,
    ManualClock, OperatorId, SubtaskIndex, VertexId,
};

use crate::metrics::OperatorMetrics;
use crate::operator_state;
use crate::watermark_valve::ValveOutput;
use crate::{Batch, Control, Data, Operator, OperatorContext, OperatorError, OperatorSnapshot};

mod one_input;
mod parallel;
mod recording;
mod two_input;

pub use one_input::OneInputHarness;
pub use parallel::ParallelHarness;
pub use recording::{Event, RecordingOutput};
pub use two_input::TwoInputHarness;

/// Where the subtask stands that a harness plays.
#[derive(Clone, Copy, Debug)]
pub struct HarnessOptions {
    /// How many subtasks there are.
    pub parallelism: u32,
    /// Which of them this is.
    pub subtask: u32,
    /// How many key groups there are.
    pub max_parallelism: u32,
    /// The wall clock at the start.
    pub now_ms: i64,
}

impl Default for HarnessOptions {
    fn default() -> Self {
        Self {
            parallelism: 1,
            subtask: 0,
            max_parallelism: 128,
            now_ms: 0,
        }
    }
}

impl HarnessOptions {
    /// The context that an operator of this subtask opens with.
    pub fn context(&self, clock: Arc<dyn Clock>) -> OperatorContext {
        let attempt = ExecutionAttemptId {
            epoch: Epoch(1),
            vertex: VertexId::from_text("harness"),
            subtask: SubtaskIndex(self.subtask),
            attempt: AttemptNumber(0),
        };
        OperatorContext {
            operator: OperatorId::from_text("harness"),
            name: Arc::from("harness"),
            attempt,
            parallelism: self.parallelism,
            max_parallelism: self.max_parallelism,
            key_groups: KeyGroupRange::of_subtask(
                self.max_parallelism,
                self.parallelism,
                self.subtask,
            ),
            clock,
            state_backend: Arc::new(HeapFactory),
            cancel: CancelToken::default(),
            metrics: Arc::new(OperatorMetrics::default()),
        }
    }
}

/// The part that does not depend on the number of inputs.
struct Harness {
    operator: Box<dyn Operator>,
    context: OperatorContext,
    clock: Arc<ManualClock>,
    output: RecordingOutput,
    checkpoint: u64,
}

impl Harness {
    fn open(
        mut operator: Box<dyn Operator>,
        options: HarnessOptions,
        snapshots: Vec<OperatorSnapshot>,
    ) -> Result<Self, OperatorError> {
        let clock = Arc::new(ManualClock::at(options.now_ms));
        let context = options.context(Arc::<ManualClock>::clone(&clock));
        if !snapshots.is_empty() {
            let mut dealt = operator_state::deal(&snapshots, options.parallelism)?;
            operator.restore(dealt.swap_remove(options.subtask as usize))?;
        }
        operator.open(&context)?;
        Ok(Self {
            operator,
            context,
            clock,
            output: RecordingOutput::default(),
            checkpoint: 0,
        })
    }

    fn push<T: Data>(
        &mut self,
        input: usize,
        rows: Vec<T>,
        times: Vec<EventTime>,
    ) -> Result<(), OperatorError> {
        let chunk = Box::new(Batch::with_timestamps(rows, times));
        self.operator.process(input, chunk, &mut self.output)
    }

    fn apply(&mut self, valve: ValveOutput) -> Result<(), OperatorError> {
        for control in valve.controls() {
            match control {
                Control::Watermark(watermark) => {
                    self.operator.watermark(watermark, &mut self.output)?;
                }
                Control::Idle => self.operator.activity(false, &mut self.output)?,
                Control::Active => self.operator.activity(true, &mut self.output)?,
            }
        }
        Ok(())
    }

    fn advance_clock_to(&mut self, now_ms: i64) -> Result<(), OperatorError> {
        while let Some(due) = self.operator.next_processing_time() {
            if due > now_ms {
                break;
            }
            self.let_time_pass_until(due);
            let now = self.clock.unix_ms();
            self.operator.processing_time(now, &mut self.output)?;
            if self
                .operator
                .next_processing_time()
                .is_some_and(|next| next <= due.min(now))
            {
                return Err(OperatorError::Invalid(format!(
                    "the operator asked for {due} again after it was called at {now}"
                )));
            }
        }
        self.let_time_pass_until(now_ms);
        Ok(())
    }

    fn let_time_pass_until(&self, ms: i64) {
        let rest = ms.saturating_sub(self.clock.unix_ms());
        self.clock
            .advance(Duration::from_millis(u64::try_from(rest).unwrap_or(0)));
    }

    fn snapshot(&mut self) -> Result<OperatorSnapshot, OperatorError> {
        self.checkpoint += 1;
        self.operator.snapshot(CheckpointId(self.checkpoint))
    }
}

/// The methods that both harnesses have.
macro_rules! common_methods {
    () => {
        /// Moves the wall clock forward, and fires what is due on the way, each at its time.
        pub fn advance_clock_to(&mut self, now_ms: i64) -> Result<(), OperatorError> {
            self.harness.advance_clock_to(now_ms)
        }

        /// The operator's state as of now.
        pub fn snapshot(&mut self) -> Result<OperatorSnapshot, OperatorError> {
            self.harness.snapshot()
        }

        /// Freezes the operator's state as of now; keyed state is copied by
        /// [`Self::finish_snapshot`], or in pieces by [`Self::copy_snapshot`] before it.
        pub fn begin_snapshot(
            &mut self,
            kind: SnapshotKind,
        ) -> Result<OperatorSnapshot, OperatorError> {
            self.harness.checkpoint += 1;
            let id = CheckpointId(self.harness.checkpoint);
            let request = SnapshotRequest {
                id,
                kind,
                files: false,
            };
            self.harness.operator.snapshot_begin(request)
        }

        /// Copies a piece of the keyed state that was frozen, but not its end.
        pub fn copy_snapshot(&mut self, bytes: usize) -> Result<(), OperatorError> {
            let copied = self.harness.operator.snapshot_step(bytes)?;
            assert!(
                copied.is_none(),
                "so few bytes are not all there is to copy"
            );
            Ok(())
        }

        /// Copies the rest of what was frozen.
        pub fn finish_snapshot(
            &mut self,
            mut begun: OperatorSnapshot,
        ) -> Result<OperatorSnapshot, OperatorError> {
            while self.harness.operator.snapshot_running().is_some() {
                if let Some(taken) = self.harness.operator.snapshot_step(usize::MAX)? {
                    begun.add_keyed(taken);
                }
            }
            Ok(begun)
        }

        /// The latest snapshot's checkpoint is complete.
        pub fn confirm_snapshot(&mut self) {
            let id = CheckpointId(self.harness.checkpoint);
            self.harness.operator.snapshot_confirm(id);
        }

        /// The latest snapshot's checkpoint has failed.
        pub fn abort_snapshot(&mut self) {
            let id = CheckpointId(self.harness.checkpoint);
            self.harness.operator.snapshot_abort(id);
        }

        /// Tells the operator that results may become visible.
        pub fn commit(&mut self, commit: Commit) -> Result<(), OperatorError> {
            self.harness.operator.commit(commit)
        }

        /// Closes the operator.
        pub fn close(mut self) -> Result<(), OperatorError> {
            self.harness.operator.close()
        }

        /// Cancels the subtask that the harness plays.
        pub fn cancel_token(&self) -> CancelToken {
            self.harness.context.cancel.clone()
        }

        /// The counters that the operator feeds.
        pub fn metrics(&self) -> &OperatorMetrics {
            &self.harness.context.metrics
        }

        /// What came out of the main output since the last call, in order.
        pub fn take_events(&mut self) -> Vec<Event<O>> {
            self.harness.output.take_events()
        }

        /// The records that came out of the main output since the last call, in order.
        pub fn take_records(&mut self) -> Vec<O> {
            let records = self
                .take_events()
                .into_iter()
                .filter_map(|event| match event {
                    Event::Record(record, _) => Some(record),
                    _ => None,
                });
            records.collect()
        }

        /// What came out of a side output since the last call, with event times.
        pub fn take_side<T: Data>(&mut self, tag: &OutputTag<T>) -> Vec<(T, Option<i64>)> {
            self.harness.output.take_side(tag)
        }
    };
}

use common_methods;
