//! A user's function with its own life, side outputs and access to time, on a stream that is not
//! keyed (Flink's `ProcessFunction` and `ProcessOperator`). Timers and keyed state need a key: see
//! [`crate::ops::keyed_process`].

use std::marker::PhantomData;
use std::sync::Arc;

use weir_network::{CancelToken, Chunk};
use weir_state::{
    BroadcastState, OperatorListState, OperatorStateBackend, OperatorStateContext, StateError,
    StateKey, StateValue,
};
use weir_types::{Clock, EventTime, SystemClock, Watermark};

use crate::keyed_runtime::{KeyedRuntime, check};
use crate::operator_state;
use crate::ops::records;
use crate::side_output::SideOutputs;
use crate::{
    Batch, BoxError, Collector, Control, Data, Emitter, Operator, OperatorContext, OperatorError,
    OperatorSnapshot, Output, OutputTag,
};

/// Takes records one by one and emits any number of others.
pub trait ProcessFunction<I, O>: Clone + Send + 'static {
    /// Called once before the first record. State is asked for here, and its handles kept.
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record.
    fn process(
        &mut self,
        record: I,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Called after the last record, if nothing failed: what is still held back can go out.
    fn end_input(
        &mut self,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError> {
        let (_, _) = (context, out);
        Ok(())
    }

    /// Called last, also after an error.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// What a function without keys can ask for before the first record: operator state, and where it
/// runs.
pub struct ProcessOpenContext<'a> {
    state: &'a mut OperatorStateBackend,
    operator: &'a OperatorContext,
}

impl ProcessOpenContext<'_> {
    /// Where the function runs.
    pub fn operator(&self) -> &OperatorContext {
        self.operator
    }

    /// A list whose elements are dealt out when the parallelism changes.
    pub fn list_state<V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<OperatorListState<V>, StateError> {
        self.state.list_state(name)
    }

    /// A list that every subtask gets as a whole after a restore.
    pub fn union_list_state<V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<OperatorListState<V>, StateError> {
        self.state.union_list_state(name)
    }

    /// A map that every subtask keeps the same.
    pub fn broadcast_state<U: StateKey, V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<BroadcastState<U, V>, StateError> {
        self.state.broadcast_state(name)
    }
}

/// What a function without keys can ask and do beside emitting. Handles of operator state take it
/// to reach their state.
pub struct ProcessContext<'a> {
    timestamp: Option<EventTime>,
    watermark: Watermark,
    clock: &'a dyn Clock,
    side: &'a mut SideOutputs,
    pub(crate) state: &'a mut OperatorStateBackend,
}

impl<'a> ProcessContext<'a> {
    /// For the side of a keyed operator that has no keys.
    pub(crate) fn of_keyed<K>(
        runtime: &'a mut KeyedRuntime<K>,
        state: &'a mut OperatorStateBackend,
        timestamp: Option<EventTime>,
    ) -> Self {
        let KeyedRuntime {
            watermark,
            clock,
            side,
            ..
        } = runtime;
        Self {
            timestamp,
            watermark: *watermark,
            clock: &**clock,
            side,
            state,
        }
    }

    /// The event time of the record.
    pub fn timestamp(&self) -> Option<EventTime> {
        self.timestamp
    }

    /// No record at or before this time is still to come.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// The wall clock in milliseconds since 1970.
    pub fn processing_time(&self) -> i64 {
        self.clock.unix_ms()
    }

    /// Emits a record, with the event time of the current one, to a side output.
    pub fn side_output<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        self.side.push(tag, record, self.timestamp);
    }
}

impl OperatorStateContext for ProcessContext<'_> {
    fn operator_state(&mut self) -> &mut OperatorStateBackend {
        self.state
    }
}

/// What the operators of unkeyed functions have in common.
pub(crate) struct ProcessRuntime {
    watermark: Watermark,
    clock: Arc<dyn Clock>,
    pub(crate) side: SideOutputs,
    cancel: CancelToken,
    state: OperatorStateBackend,
}

impl Default for ProcessRuntime {
    fn default() -> Self {
        Self {
            watermark: Watermark::MIN,
            clock: Arc::new(SystemClock),
            side: SideOutputs::default(),
            cancel: CancelToken::default(),
            state: OperatorStateBackend::new(),
        }
    }
}

impl ProcessRuntime {
    /// Takes over what the context holds, and gives what the function opens with.
    pub(crate) fn open<'a>(&'a mut self, context: &'a OperatorContext) -> ProcessOpenContext<'a> {
        self.clock = Arc::clone(&context.clock);
        self.cancel = context.cancel.clone();
        ProcessOpenContext {
            state: &mut self.state,
            operator: context,
        }
    }

    pub(crate) fn context(&mut self, timestamp: Option<EventTime>) -> ProcessContext<'_> {
        ProcessContext {
            timestamp,
            watermark: self.watermark,
            clock: &*self.clock,
            side: &mut self.side,
            state: &mut self.state,
        }
    }

    /// To be called between two calls of a user's function: ends the operator if it is cancelled,
    /// and passes on side records if there are many.
    #[inline]
    pub(crate) fn between_calls(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        check(&self.cancel)?;
        if self.side.is_full() {
            self.side.flush(out)
        } else {
            Ok(())
        }
    }

    pub(crate) fn advance(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.watermark = watermark;
        out.control(Control::Watermark(watermark))
    }

    pub(crate) fn snapshot(&self) -> Result<OperatorSnapshot, OperatorError> {
        let mut snapshot = OperatorSnapshot::default();
        operator_state::write(&self.state, &mut snapshot)?;
        Ok(snapshot)
    }

    pub(crate) fn restore(&mut self, snapshots: &[OperatorSnapshot]) -> Result<(), OperatorError> {
        self.state = operator_state::read(snapshots)?;
        Ok(())
    }
}

/// The methods by which an operator that has a [`ProcessRuntime`] in its field `runtime` takes
/// part in checkpoints.
macro_rules! unkeyed_state {
    () => {
        fn snapshot_begin(
            &mut self,
            _request: $crate::SnapshotRequest,
        ) -> Result<$crate::OperatorSnapshot, $crate::OperatorError> {
            self.runtime.snapshot()
        }

        fn restore(
            &mut self,
            snapshots: Vec<$crate::OperatorSnapshot>,
        ) -> Result<(), $crate::OperatorError> {
            self.runtime.restore(&snapshots)
        }
    };
}
pub(crate) use unkeyed_state;

/// Runs a [`ProcessFunction`].
pub struct ProcessOperator<I, O, F> {
    function: F,
    runtime: ProcessRuntime,
    emitter: Emitter<O>,
    input: PhantomData<fn(I)>,
}

impl<I: Data, O: Data, F: ProcessFunction<I, O>> ProcessOperator<I, O, F> {
    /// Runs `function`.
    pub fn new(function: F) -> Self {
        Self {
            function,
            runtime: ProcessRuntime::default(),
            emitter: Emitter::default(),
            input: PhantomData,
        }
    }
}

impl<I: Data, O: Data, F: ProcessFunction<I, O>> Operator for ProcessOperator<I, O, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        let mut open = self.runtime.open(context);
        self.function
            .open(&mut open)
            .map_err(OperatorError::Function)
    }

    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        for (record, timestamp) in records(Batch::<I>::from_chunk(chunk)) {
            let mut context = self.runtime.context(timestamp);
            self.function
                .process(
                    record,
                    &mut context,
                    &mut self.emitter.collector(timestamp, out),
                )
                .map_err(OperatorError::Function)?;
            self.runtime.between_calls(out)?;
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

    fn end_input(&mut self, _input: usize, out: &mut dyn Output) -> Result<(), OperatorError> {
        self.function
            .end_input(
                &mut self.runtime.context(None),
                &mut self.emitter.collector(None, out),
            )
            .map_err(OperatorError::Function)?;
        self.runtime.side.flush(out)?;
        self.emitter.flush(out)
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.function.close().map_err(OperatorError::Function)
    }

    unkeyed_state!();
}

#[cfg(test)]
mod tests;
