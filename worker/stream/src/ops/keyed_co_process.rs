//! A user's function over two keyed streams that share their state and timers per key (Flink's
//! `KeyedCoProcessFunction` and `KeyedCoProcessOperator`).

use std::marker::PhantomData;

use weir_network::Chunk;
use weir_state::StateKey;

use crate::keyed_runtime::{KeyedRuntime, TimeDomain, hash_of, keyed_state, user_timers};
use crate::ops::keyed_context::{Context, OpenContext};
use crate::ops::keyed_process::USER_TIMERS;
use crate::ops::{SECOND, records};
use crate::{
    Batch, BoxError, Collector, Data, Emitter, Operator, OperatorContext, OperatorError, Output,
};

/// Takes the records of two keyed streams one by one. Records of both that have the same key see
/// the same state. Which input's record comes first is not defined.
pub trait KeyedCoProcessFunction<K: StateKey, A, B, O>: Clone + Send + 'static {
    /// Called once before the first record. State is asked for here, and its handles kept.
    fn open(&mut self, context: &mut OpenContext<'_, K>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record of the first input.
    fn process_first(
        &mut self,
        record: A,
        context: &mut Context<'_, K>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Takes a record of the second input.
    fn process_second(
        &mut self,
        record: B,
        context: &mut Context<'_, K>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// A timer is due; its key is the current one. `timestamp` is the time it was registered for,
    /// in milliseconds since 1970.
    fn on_timer(
        &mut self,
        timestamp: i64,
        domain: TimeDomain,
        context: &mut Context<'_, K>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError> {
        let (_, _, _, _) = (timestamp, domain, context, out);
        Ok(())
    }

    /// Called last, also after an error.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Runs a [`KeyedCoProcessFunction`].
pub struct KeyedCoProcessOperator<K, A, B, O, S, R, F> {
    select_first: S,
    select_second: R,
    function: F,
    runtime: KeyedRuntime<K>,
    emitter: Emitter<O>,
    inputs: PhantomData<fn(A, B)>,
}

impl<K, A, B, O, S, R, F> KeyedCoProcessOperator<K, A, B, O, S, R, F>
where
    K: StateKey,
    A: Data,
    B: Data,
    O: Data,
    S: FnMut(&A) -> K,
    R: FnMut(&B) -> K,
    F: KeyedCoProcessFunction<K, A, B, O>,
{
    /// Runs `function` under the keys that the two selectors give.
    pub fn new(select_first: S, select_second: R, function: F) -> Self {
        Self {
            select_first,
            select_second,
            function,
            runtime: KeyedRuntime::default(),
            emitter: Emitter::default(),
            inputs: PhantomData,
        }
    }

    fn take_first(&mut self, batch: Batch<A>, out: &mut dyn Output) -> Result<(), OperatorError> {
        for (record, timestamp) in records(batch) {
            let key = (self.select_first)(&record);
            self.runtime
                .backend
                .set_hashed_key_ref(hash_of(&key)?, &key);
            let mut context = Context::new(&mut self.runtime, timestamp);
            let mut collector = self.emitter.collector(timestamp, out);
            self.function
                .process_first(record, &mut context, &mut collector)
                .map_err(OperatorError::Function)?;
            self.runtime.between_calls(out)?;
        }
        Ok(())
    }

    fn take_second(&mut self, batch: Batch<B>, out: &mut dyn Output) -> Result<(), OperatorError> {
        for (record, timestamp) in records(batch) {
            let key = (self.select_second)(&record);
            self.runtime
                .backend
                .set_hashed_key_ref(hash_of(&key)?, &key);
            let mut context = Context::new(&mut self.runtime, timestamp);
            let mut collector = self.emitter.collector(timestamp, out);
            self.function
                .process_second(record, &mut context, &mut collector)
                .map_err(OperatorError::Function)?;
            self.runtime.between_calls(out)?;
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        time: i64,
        domain: TimeDomain,
        out: &mut dyn Output,
    ) -> Result<(), BoxError> {
        let timestamp = domain.timestamp(time);
        let mut context = Context::new(&mut self.runtime, timestamp);
        let mut collector = self.emitter.collector(timestamp, out);
        self.function
            .on_timer(time, domain, &mut context, &mut collector)
    }
}

impl<K, A, B, O, S, R, F> Operator for KeyedCoProcessOperator<K, A, B, O, S, R, F>
where
    K: StateKey,
    A: Data,
    B: Data,
    O: Data,
    S: FnMut(&A) -> K + Send,
    R: FnMut(&B) -> K + Send,
    F: KeyedCoProcessFunction<K, A, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.runtime.open(context)?;
        self.runtime.open_timers(USER_TIMERS)?;
        let mut open = OpenContext::new(&mut self.runtime.backend, context);
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
        self.runtime.begin();
        if input == SECOND {
            self.take_second(Batch::from_chunk(chunk), out)?;
        } else {
            self.take_first(Batch::from_chunk(chunk), out)?;
        }
        self.runtime.finish(out)?;
        self.emitter.flush(out)
    }

    user_timers!();
    keyed_state!();
}

#[cfg(test)]
mod tests;
