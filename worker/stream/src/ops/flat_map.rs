//! One record in, any number out (Flink's `StreamFlatMap`).

use std::marker::PhantomData;

use weir_network::{CancelToken, Chunk};

use crate::keyed_runtime::check;
use crate::ops::{records, stateless};
use crate::{Batch, BoxError, Collector, Data, Emitter, Operator, OperatorError, Output};

/// Applies a function that emits any number of records for each.
pub struct FlatMapOperator<I, O, F> {
    function: F,
    cancel: CancelToken,
    emitter: Emitter<O>,
    input: PhantomData<fn(I)>,
}

impl<I, O: Data, F: FnMut(I, &mut Collector<'_, O>)> FlatMapOperator<I, O, F> {
    /// Applies `function` to each record.
    pub fn new(function: F) -> Self {
        Self {
            function,
            cancel: CancelToken::default(),
            emitter: Emitter::default(),
            input: PhantomData,
        }
    }
}

impl<I, O, F> Operator for FlatMapOperator<I, O, F>
where
    I: Data,
    O: Data,
    F: FnMut(I, &mut Collector<'_, O>) + Send,
{
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        for (record, timestamp) in records(Batch::<I>::from_chunk(chunk)) {
            check(&self.cancel)?;
            (self.function)(record, &mut self.emitter.collector(timestamp, out));
        }
        self.emitter.flush(out)
    }

    stateless!();
}

/// Applies a function that emits any number of records for each, and may fail. The first failure
/// ends the subtask.
pub struct TryFlatMapOperator<I, O, F> {
    function: F,
    cancel: CancelToken,
    emitter: Emitter<O>,
    input: PhantomData<fn(I)>,
}

impl<I, O, F> TryFlatMapOperator<I, O, F>
where
    O: Data,
    F: FnMut(I, &mut Collector<'_, O>) -> Result<(), BoxError>,
{
    /// Applies `function` to each record.
    pub fn new(function: F) -> Self {
        Self {
            function,
            cancel: CancelToken::default(),
            emitter: Emitter::default(),
            input: PhantomData,
        }
    }
}

impl<I, O, F> Operator for TryFlatMapOperator<I, O, F>
where
    I: Data,
    O: Data,
    F: FnMut(I, &mut Collector<'_, O>) -> Result<(), BoxError> + Send,
{
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        for (record, timestamp) in records(Batch::<I>::from_chunk(chunk)) {
            check(&self.cancel)?;
            (self.function)(record, &mut self.emitter.collector(timestamp, out))
                .map_err(OperatorError::Function)?;
        }
        self.emitter.flush(out)
    }

    stateless!();
}
