//! A user's function over a keyed stream, with state and timers per key (Flink's
//! `KeyedProcessFunction` and `KeyedProcessOperator`).

use std::marker::PhantomData;

use weir_network::Chunk;
use weir_state::StateKey;

use crate::keyed_runtime::{KeyedRuntime, TimeDomain, hash_of, keyed_state, user_timers};
use crate::ops::keyed_context::{Context, OpenContext};
use crate::ops::records;
use crate::{
    Batch, BoxError, Collector, Data, Emitter, Operator, OperatorContext, OperatorError, Output,
};

/// The name of the timers that a user's function registers, which snapshots carry.
pub(crate) const USER_TIMERS: &str = "user-timers";

/// Takes the records of a keyed stream one by one, with state and timers for their key.
pub trait KeyedProcessFunction<K: StateKey, I, O>: Clone + Send + 'static {
    /// Called once before the first record. State is asked for here, and its handles kept.
    fn open(&mut self, context: &mut OpenContext<'_, K>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record.
    fn process(
        &mut self,
        record: I,
        context: &mut Context<'_, K>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// A timer that [`Self::process`] registered is due; its key is the current one. `timestamp`
    /// is the time it was registered for, in milliseconds since 1970.
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

/// Runs a [`KeyedProcessFunction`].
pub struct KeyedProcessOperator<K, I, O, S, F> {
    selector: S,
    function: F,
    runtime: KeyedRuntime<K>,
    emitter: Emitter<O>,
    input: PhantomData<fn(I)>,
}

impl<K, I, O, S, F> KeyedProcessOperator<K, I, O, S, F>
where
    K: StateKey,
    I: Data,
    O: Data,
    S: FnMut(&I) -> K,
    F: KeyedProcessFunction<K, I, O>,
{
    /// Runs `function` under the key that `selector` gives each record.
    pub fn new(selector: S, function: F) -> Self {
        Self {
            selector,
            function,
            runtime: KeyedRuntime::default(),
            emitter: Emitter::default(),
            input: PhantomData,
        }
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

impl<K, I, O, S, F> Operator for KeyedProcessOperator<K, I, O, S, F>
where
    K: StateKey,
    I: Data,
    O: Data,
    S: FnMut(&I) -> K + Send,
    F: KeyedProcessFunction<K, I, O>,
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
        _input: usize,
        chunk: Box<dyn Chunk>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.runtime.begin();
        for (record, timestamp) in records(Batch::<I>::from_chunk(chunk)) {
            let key = (self.selector)(&record);
            self.runtime
                .backend
                .set_hashed_key_ref(hash_of(&key)?, &key);
            let mut context = Context::new(&mut self.runtime, timestamp);
            self.function
                .process(
                    record,
                    &mut context,
                    &mut self.emitter.collector(timestamp, out),
                )
                .map_err(OperatorError::Function)?;
            self.runtime.between_calls(out)?;
        }
        self.runtime.finish(out)?;
        self.emitter.flush(out)
    }

    user_timers!();
    keyed_state!();
}

#[cfg(test)]
mod tests;
