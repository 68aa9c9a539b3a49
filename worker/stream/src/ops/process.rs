//! A user's function with its own life, side outputs and access to time, on a stream that is not
//! keyed (Flink's `ProcessFunction` and `ProcessOperator`). Timers and keyed state need a key: see
//! [`crate::ops::keyed_process`].

use std::marker::PhantomData;
use std::sync::Arc;

use weir_network::Chunk;
use weir_types::{Clock, EventTime, SystemClock, Watermark};

use crate::ops::{no_state, records};
use crate::side_output::SideOutputs;
use crate::{
    Batch, BoxError, Collector, Control, Data, Emitter, Operator, OperatorContext, OperatorError,
    Output, OutputTag,
};

/// Takes records one by one and emits any number of others.
pub trait ProcessFunction<I, O>: Clone + Send + 'static {
    /// Called once before the first record.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
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

/// What a [`ProcessFunction`] can ask and do beside emitting.
pub struct ProcessContext<'a> {
    timestamp: Option<EventTime>,
    watermark: Watermark,
    clock: &'a dyn Clock,
    side: &'a mut SideOutputs,
}

impl ProcessContext<'_> {
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

/// What the operators of unkeyed functions have in common.
pub(crate) struct ProcessRuntime {
    pub(crate) watermark: Watermark,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) side: SideOutputs,
}

impl Default for ProcessRuntime {
    fn default() -> Self {
        Self {
            watermark: Watermark::MIN,
            clock: Arc::new(SystemClock),
            side: SideOutputs::default(),
        }
    }
}

impl ProcessRuntime {
    pub(crate) fn open(&mut self, context: &OperatorContext) {
        self.clock = Arc::clone(&context.clock);
    }

    pub(crate) fn context(&mut self, timestamp: Option<EventTime>) -> ProcessContext<'_> {
        ProcessContext {
            timestamp,
            watermark: self.watermark,
            clock: &*self.clock,
            side: &mut self.side,
        }
    }

    #[inline]
    pub(crate) fn flush_if_full(&mut self, out: &mut dyn Output) -> Result<(), OperatorError> {
        if self.side.is_full() { self.side.flush(out) } else { Ok(()) }
    }

    pub(crate) fn advance(
        &mut self,
        watermark: Watermark,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.watermark = watermark;
        out.control(Control::Watermark(watermark))
    }
}

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
        self.runtime.open(context);
        self.function.open(context).map_err(OperatorError::Function)
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
                .process(record, &mut context, &mut self.emitter.collector(timestamp, out))
                .map_err(OperatorError::Function)?;
            self.runtime.flush_if_full(out)?;
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
            .end_input(&mut self.runtime.context(None), &mut self.emitter.collector(None, out))
            .map_err(OperatorError::Function)?;
        self.runtime.side.flush(out)?;
        self.emitter.flush(out)
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.function.close().map_err(OperatorError::Function)
    }

    no_state!();
}

#[cfg(test)]
mod tests;
