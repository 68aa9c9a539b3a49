//! Two inputs of different types, one function for each (Flink's `CoStreamMap` and
//! `CoStreamFlatMap`).

use std::marker::PhantomData;

use weir_network::{CancelToken, Chunk};

use crate::keyed_runtime::check;
use crate::ops::{SECOND, emit_rows, map_rows, records, stateless};
use crate::{Batch, Collector, Data, Emitter, Operator, OperatorError, Output};

/// Applies one function to each record of the first input, another to each of the second.
pub struct CoMapOperator<A, B, O, F, G> {
    first: F,
    second: G,
    cancel: CancelToken,
    types: PhantomData<fn(A, B) -> O>,
}

impl<A, B, O, F, G> CoMapOperator<A, B, O, F, G>
where
    F: FnMut(A) -> O,
    G: FnMut(B) -> O,
{
    /// Applies `first` to records of the first input and `second` to those of the second.
    pub fn new(first: F, second: G) -> Self {
        Self {
            first,
            second,
            cancel: CancelToken::default(),
            types: PhantomData,
        }
    }
}

impl<A, B, O, F, G> Operator for CoMapOperator<A, B, O, F, G>
where
    A: Data,
    B: Data,
    O: Data,
    F: FnMut(A) -> O + Send,
    G: FnMut(B) -> O + Send,
{
    fn process(
        &mut self,
        input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        let (rows, timestamps) = if input == SECOND {
            let (rows, timestamps) = Batch::<B>::from_chunk(chunk).into_parts();
            let second = |row| Ok((self.second)(row));
            (map_rows(rows, &self.cancel, second)?, timestamps)
        } else {
            let (rows, timestamps) = Batch::<A>::from_chunk(chunk).into_parts();
            let first = |row| Ok((self.first)(row));
            (map_rows(rows, &self.cancel, first)?, timestamps)
        };
        emit_rows(rows, timestamps, out)
    }

    stateless!();
}

/// Applies one function that emits any number of records to each record of the first input,
/// another to each of the second.
pub struct CoFlatMapOperator<A, B, O, F, G> {
    first: F,
    second: G,
    cancel: CancelToken,
    emitter: Emitter<O>,
    inputs: PhantomData<fn(A, B)>,
}

impl<A, B, O, F, G> CoFlatMapOperator<A, B, O, F, G>
where
    O: Data,
    F: FnMut(A, &mut Collector<'_, O>),
    G: FnMut(B, &mut Collector<'_, O>),
{
    /// Applies `first` to records of the first input and `second` to those of the second.
    pub fn new(first: F, second: G) -> Self {
        Self {
            first,
            second,
            cancel: CancelToken::default(),
            emitter: Emitter::default(),
            inputs: PhantomData,
        }
    }
}

impl<A, B, O, F, G> Operator for CoFlatMapOperator<A, B, O, F, G>
where
    A: Data,
    B: Data,
    O: Data,
    F: FnMut(A, &mut Collector<'_, O>) + Send,
    G: FnMut(B, &mut Collector<'_, O>) + Send,
{
    fn process(
        &mut self,
        input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        if input == SECOND {
            for (record, timestamp) in records(Batch::<B>::from_chunk(chunk)) {
                check(&self.cancel)?;
                (self.second)(record, &mut self.emitter.collector(timestamp, out));
            }
        } else {
            for (record, timestamp) in records(Batch::<A>::from_chunk(chunk)) {
                check(&self.cancel)?;
                (self.first)(record, &mut self.emitter.collector(timestamp, out));
            }
        }
        self.emitter.flush(out)
    }

    stateless!();
}
