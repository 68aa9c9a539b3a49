//! A user's function with its own life and side outputs over two inputs that are not keyed
//! (Flink's `CoProcessFunction` and `CoProcessOperator`).

use std::marker::PhantomData;

use weir_network::Chunk;
use weir_types::Watermark;

use crate::ops::process::{ProcessContext, ProcessOpenContext, ProcessRuntime, unkeyed_state};
use crate::ops::{SECOND, records};
use crate::{
    Batch, BoxError, Collector, Data, Emitter, Operator, OperatorContext, OperatorError, Output,
};

/// Takes records of two inputs one by one and emits any number of others. Which input's record
/// comes first is not defined.
pub trait CoProcessFunction<A, B, O>: Clone + Send + 'static {
    /// Called once before the first record. State is asked for here, and its handles kept.
    fn open(&mut self, context: &mut ProcessOpenContext<'_>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record of the first input.
    fn process_first(
        &mut self,
        record: A,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Takes a record of the second input.
    fn process_second(
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

/// Runs a [`CoProcessFunction`].
pub struct CoProcessOperator<A, B, O, F> {
    function: F,
    runtime: ProcessRuntime,
    emitter: Emitter<O>,
    inputs: PhantomData<fn(A, B)>,
}

impl<A: Data, B: Data, O: Data, F: CoProcessFunction<A, B, O>> CoProcessOperator<A, B, O, F> {
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

impl<A, B, O, F> Operator for CoProcessOperator<A, B, O, F>
where
    A: Data,
    B: Data,
    O: Data,
    F: CoProcessFunction<A, B, O>,
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
                    .process_second(record, &mut context, &mut collector)
                    .map_err(OperatorError::Function)?;
                self.runtime.between_calls(out)?;
            }
        } else {
            for (record, timestamp) in records(Batch::<A>::from_chunk(chunk)) {
                let mut context = self.runtime.context(timestamp);
                let mut collector = self.emitter.collector(timestamp, out);
                self.function
                    .process_first(record, &mut context, &mut collector)
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

#[cfg(test)]
mod tests;
