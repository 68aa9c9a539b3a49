//! One record in, one record out (Flink's `StreamMap`).

use std::marker::PhantomData;

use weir_network::{CancelToken, Chunk};

use crate::ops::{emit_rows, map_rows, stateless};
use crate::{Batch, BoxError, Data, Operator, OperatorError, Output};

/// Applies a function to each record.
pub struct MapOperator<I, O, F> {
    function: F,
    cancel: CancelToken,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F: FnMut(I) -> O> MapOperator<I, O, F> {
    /// Applies `function` to each record.
    pub fn new(function: F) -> Self {
        Self {
            function,
            cancel: CancelToken::default(),
            types: PhantomData,
        }
    }
}

impl<I: Data, O: Data, F: FnMut(I) -> O + Send> Operator for MapOperator<I, O, F> {
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = Batch::<I>::from_chunk(chunk).into_parts();
        let rows = map_rows(rows, &self.cancel, |row| Ok((self.function)(row)))?;
        emit_rows(rows, timestamps, out)
    }

    stateless!();
}

/// Applies a function that may fail to each record. The first failure ends the subtask.
pub struct TryMapOperator<I, O, F> {
    function: F,
    cancel: CancelToken,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O, F: FnMut(I) -> Result<O, BoxError>> TryMapOperator<I, O, F> {
    /// Applies `function` to each record.
    pub fn new(function: F) -> Self {
        Self {
            function,
            cancel: CancelToken::default(),
            types: PhantomData,
        }
    }
}

impl<I, O, F> Operator for TryMapOperator<I, O, F>
where
    I: Data,
    O: Data,
    F: FnMut(I) -> Result<O, BoxError> + Send,
{
    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = Batch::<I>::from_chunk(chunk).into_parts();
        let rows = map_rows(rows, &self.cancel, |row| {
            (self.function)(row).map_err(OperatorError::Function)
        })?;
        emit_rows(rows, timestamps, out)
    }

    stateless!();
}
