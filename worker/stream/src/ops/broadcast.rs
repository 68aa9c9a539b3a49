//! A stream beside one whose every record goes to every subtask, such as rules that change
//! (Flink's `BroadcastProcessFunction` and `CoBroadcastWithNonKeyedOperator`).
//!
//! The broadcast side alone may change broadcast state: it sees the same records everywhere, so
//! that the state stays the same everywhere, as long as it makes the same of the same records,
//! in whatever order they come.

use std::marker::PhantomData;

use weir_network::Chunk;
use weir_state::{BroadcastState, OperatorStateBackend, StateError, StateKey, StateValue};
use weir_types::{EventTime, Watermark};

use crate::ops::process::{ProcessContext, ProcessOpenContext, ProcessRuntime, unkeyed_state};
use crate::ops::{SECOND, records};
use crate::{
    Batch, BoxError, Collector, Data, Emitter, Operator, OperatorContext, OperatorError, Output,
    OutputTag,
};

/// Takes the records of a stream and, as second input, of a broadcast one.
pub trait BroadcastProcessFunction<I, B, O>: Clone + Send + 'static {
    /// Called once before the first record. Broadcast state is asked for here.
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record of the stream. It may read broadcast state.
    fn process(
        &mut self,
        record: I,
        context: &mut ReadOnlyContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Takes a record of the broadcast stream. It may change broadcast state.
    fn process_broadcast(
        &mut self,
        record: B,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Called last, also after an error.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Broadcast state, for looking at.
pub struct ReadOnlyBroadcastState<'a, U, V> {
    handle: BroadcastState<U, V>,
    backend: &'a mut OperatorStateBackend,
}

impl<'a, U: StateKey, V: StateValue> ReadOnlyBroadcastState<'a, U, V> {
    pub(crate) fn new(handle: BroadcastState<U, V>, backend: &'a mut OperatorStateBackend) -> Self {
        Self { handle, backend }
    }

    /// The value of a key.
    pub fn get(self, key: &U) -> Result<Option<&'a V>, StateError> {
        self.handle.get(self.backend, key)
    }

    /// Whether there is a value for a key.
    pub fn contains(self, key: &U) -> Result<bool, StateError> {
        self.handle.contains(self.backend, key)
    }

    /// All keys and values, in no particular order.
    pub fn iter(&mut self) -> Result<impl Iterator<Item = (&U, &V)>, StateError> {
        self.handle.iter(self.backend)
    }
}

/// What [`BroadcastProcessFunction::process`] can ask and do beside emitting.
pub struct ReadOnlyContext<'a>(ProcessContext<'a>);

impl ReadOnlyContext<'_> {
    /// The event time of the record.
    pub fn timestamp(&self) -> Option<EventTime> {
        self.0.timestamp()
    }

    /// No record at or before this time is still to come, on neither input.
    pub fn watermark(&self) -> Watermark {
        self.0.watermark()
    }

    /// The wall clock in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.0.processing_time()
    }

    /// Emits a record, with the event time of the current one, to a side output.
    pub fn side_output<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        self.0.side_output(tag, record);
    }

    /// Broadcast state, for looking at.
    pub fn broadcast<U: StateKey, V: StateValue>(
        &mut self,
        state: BroadcastState<U, V>,
    ) -> ReadOnlyBroadcastState<'_, U, V> {
        ReadOnlyBroadcastState::new(state, self.0.state)
    }
}

/// Runs a [`BroadcastProcessFunction`]. Its second input is the broadcast one.
pub struct BroadcastProcessOperator<I, B, O, F> {
    function: F,
    runtime: ProcessRuntime,
    emitter: Emitter<O>,
    inputs: PhantomData<fn(I, B)>,
}

impl<I, B, O, F> BroadcastProcessOperator<I, B, O, F>
where
    I: Data,
    B: Data,
    O: Data,
    F: BroadcastProcessFunction<I, B, O>,
{
    /// Runs `function`.
    pub fn new(function: F) -> Self {
        Self {
            function,
            runtime: ProcessRuntime::default(),
            emitter: Emitter::default(),
            inputs: PhantomData,
        }
    }
}

impl<I, B, O, F> Operator for BroadcastProcessOperator<I, B, O, F>
where
    I: Data,
    B: Data,
    O: Data,
    F: BroadcastProcessFunction<I, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        let mut open = self.runtime.open(context);
        self.function
            .open(&mut open)
            .map_err(OperatorError::Function)
    }

    fn process(
        &mut self,
        input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        if input == SECOND {
            for (record, timestamp) in records(Batch::<B>::from_chunk(chunk)) {
                let mut context = self.runtime.context(timestamp);
                let mut collector = self.emitter.collector(timestamp, out);
                self.function
                    .process_broadcast(record, &mut context, &mut collector)
                    .map_err(OperatorError::Function)?;
                self.runtime.between_calls(out)?;
            }
        } else {
            for (record, timestamp) in records(Batch::<I>::from_chunk(chunk)) {
                let mut context = ReadOnlyContext(self.runtime.context(timestamp));
                let mut collector = self.emitter.collector(timestamp, out);
                self.function
                    .process(record, &mut context, &mut collector)
                    .map_err(OperatorError::Function)?;
                self.runtime.between_calls(out)?;
            }
        }
        self.runtime.side.flush(out)?;
        self.emitter.flush(out)
    }

    fn watermark(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.runtime.advance(watermark, out)
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.function.close().map_err(OperatorError::Function)
    }

    unkeyed_state!();
}
