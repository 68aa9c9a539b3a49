//! Drives one operator in a test, without a task, channels or threads (Flink's
//! `OneInputStreamOperatorTestHarness` and `TwoInputStreamOperatorTestHarness`).
//!
//! A harness stands for one subtask: it pushes records, watermarks and time, keeps what comes out
//! in order, takes snapshots, and restores them into a fresh instance, at another parallelism if
//! wanted. Time stands still unless told.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use weir_network::{CancelToken, Chunk};
use weir_state::{HeapFactory, SnapshotKind};
use weir_types::{
    AttemptNumber, CheckpointId, Clock, Epoch, EventTime, ExecutionAttemptId, KeyGroupRange,
    ManualClock, OperatorId, SubtaskIndex, VertexId, Watermark,
};

use crate::metrics::OperatorMetrics;
use crate::operator_state;
use crate::watermark_valve::{CombinedWatermark, ValveOutput};
use crate::{
    Batch, Commit, Control, Data, Operator, OperatorContext, OperatorError, OperatorSnapshot,
    Output, OutputTag, SideOutputId, SnapshotRequest,
};

mod parallel;

pub use parallel::ParallelHarness;

/// Something that came out of an operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<O> {
    /// A record with its event time.
    Record(O, Option<i64>),
    /// A watermark.
    Watermark(i64),
    /// The operator's output has become idle.
    Idle,
    /// It is active again.
    Active,
}

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

enum Recorded {
    Chunk(Box<dyn Chunk>),
    Control(Control),
}

/// An output that keeps everything.
#[derive(Default)]
pub struct RecordingOutput {
    main: Vec<Recorded>,
    side: BTreeMap<SideOutputId, Vec<Box<dyn Chunk>>>,
}

impl RecordingOutput {
    /// What came out of the main output since the last call, in order.
    pub fn take_events<O: Data>(&mut self) -> Vec<Event<O>> {
        let mut events = Vec::new();
        for recorded in self.main.drain(..) {
            match recorded {
                Recorded::Chunk(chunk) => events.extend(
                    rows(chunk)
                        .into_iter()
                        .map(|(record, time)| Event::Record(record, time)),
                ),
                Recorded::Control(Control::Watermark(watermark)) => {
                    events.push(Event::Watermark(watermark.0.0));
                }
                Recorded::Control(Control::Idle) => events.push(Event::Idle),
                Recorded::Control(Control::Active) => events.push(Event::Active),
            }
        }
        events
    }

    /// What came out of a side output since the last call, in order, with event times.
    pub fn take_side<T: Data>(&mut self, tag: &OutputTag<T>) -> Vec<(T, Option<i64>)> {
        let chunks = self.side.remove(tag.id()).unwrap_or_default();
        chunks.into_iter().flat_map(rows).collect()
    }
}

fn rows<T: Data>(chunk: Box<dyn Chunk>) -> Vec<(T, Option<i64>)> {
    let (rows, times) = Batch::<T>::from_chunk(chunk).into_parts();
    let times = times
        .into_iter()
        .map(|time| Some(time.0))
        .chain(std::iter::repeat(None));
    rows.into_iter().zip(times).collect()
}

impl Output for RecordingOutput {
    fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), OperatorError> {
        assert!(chunk.rows() > 0, "an operator passed on an empty chunk");
        self.main.push(Recorded::Chunk(chunk));
        Ok(())
    }

    fn emit_side(
        &mut self,
        tag: &SideOutputId,
        chunk: Box<dyn Chunk>,
    ) -> Result<(), OperatorError> {
        assert!(chunk.rows() > 0, "an operator passed on an empty chunk");
        self.side.entry(Arc::clone(tag)).or_default().push(chunk);
        Ok(())
    }

    fn control(&mut self, control: Control) -> Result<(), OperatorError> {
        self.main.push(Recorded::Control(control));
        Ok(())
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

fn times(rows: &[impl Sized], time: Option<i64>) -> Vec<EventTime> {
    time.map_or_else(Vec::new, |time| vec![EventTime(time); rows.len()])
}

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
