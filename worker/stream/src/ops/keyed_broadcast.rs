//! A keyed stream beside one whose every record goes to every subtask (Flink's
//! `KeyedBroadcastProcessFunction` and `CoBroadcastWithKeyedOperator`).
//!
//! The keyed side has state and timers per key and may look at broadcast state; the broadcast
//! side has no key and may change it.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use weir_network::Chunk;
use weir_state::{
    BroadcastState, KeyedBackend, KeyedContext, OperatorStateBackend, StateError, StateKey,
    StateValue,
};

use crate::keyed_runtime::{KeyedRuntime, TimeDomain, hash_of, user_timers};
use crate::operator_state;
use crate::ops::broadcast::ReadOnlyBroadcastState;
use crate::ops::keyed_context::{Context, OpenContext};
use crate::ops::keyed_process::USER_TIMERS;
use crate::ops::process::ProcessContext;
use crate::ops::{SECOND, records};
use crate::{
    Batch, BoxError, Collector, Data, Emitter, Operator, OperatorContext, OperatorError,
    OperatorSnapshot, Output, SnapshotRequest,
};

/// Takes the records of a keyed stream and, as second input, of a broadcast one.
pub trait KeyedBroadcastProcessFunction<K: StateKey, I, B, O>: Clone + Send + 'static {
    /// Called once before the first record. State is asked for here, and its handles kept.
    fn open(&mut self, context: &mut KeyedBroadcastOpenContext<'_, K>) -> Result<(), BoxError> {
        let _nothing_to_open = context;
        Ok(())
    }

    /// Takes a record of the keyed stream. It may read broadcast state.
    fn process(
        &mut self,
        record: I,
        context: &mut KeyedReadOnlyContext<'_, K>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// Takes a record of the broadcast stream. It may change broadcast state.
    fn process_broadcast(
        &mut self,
        record: B,
        context: &mut ProcessContext<'_>,
        out: &mut Collector<'_, O>,
    ) -> Result<(), BoxError>;

    /// A timer is due; its key is the current one. `timestamp` is the time it was registered for,
    /// in milliseconds since 1970.
    fn on_timer(
        &mut self,
        timestamp: i64,
        domain: TimeDomain,
        context: &mut KeyedReadOnlyContext<'_, K>,
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

/// What the function can ask for before the first record: that of [`OpenContext`], and broadcast
/// state.
pub struct KeyedBroadcastOpenContext<'a, K> {
    keyed: OpenContext<'a, K>,
    state: &'a mut OperatorStateBackend,
}

impl<K: StateKey> KeyedBroadcastOpenContext<'_, K> {
    /// A map that every subtask keeps the same.
    pub fn broadcast_state<U: StateKey, V: StateValue>(
        &mut self,
        name: &str,
    ) -> Result<BroadcastState<U, V>, StateError> {
        self.state.broadcast_state(name)
    }
}

impl<'a, K> Deref for KeyedBroadcastOpenContext<'a, K> {
    type Target = OpenContext<'a, K>;

    fn deref(&self) -> &OpenContext<'a, K> {
        &self.keyed
    }
}

impl<K> DerefMut for KeyedBroadcastOpenContext<'_, K> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.keyed
    }
}

/// What the keyed side can ask and do: that of [`Context`], and looking at broadcast state.
pub struct KeyedReadOnlyContext<'a, K> {
    keyed: Context<'a, K>,
    state: &'a mut OperatorStateBackend,
}

impl<K> KeyedReadOnlyContext<'_, K> {
    /// Broadcast state, for looking at.
    pub fn broadcast<U: StateKey, V: StateValue>(
        &mut self,
        state: BroadcastState<U, V>,
    ) -> ReadOnlyBroadcastState<'_, U, V> {
        ReadOnlyBroadcastState::new(state, self.state)
    }
}

impl<'a, K> Deref for KeyedReadOnlyContext<'a, K> {
    type Target = Context<'a, K>;

    fn deref(&self) -> &Context<'a, K> {
        &self.keyed
    }
}

impl<K> DerefMut for KeyedReadOnlyContext<'_, K> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.keyed
    }
}

impl<K: StateKey> KeyedContext for KeyedReadOnlyContext<'_, K> {
    type Key = K;

    #[inline]
    fn keyed(&mut self) -> &mut KeyedBackend<K> {
        self.keyed.keyed()
    }
}

/// Runs a [`KeyedBroadcastProcessFunction`]. Its second input is the broadcast one.
pub struct KeyedBroadcastProcessOperator<K, I, B, O, S, F> {
    selector: S,
    function: F,
    runtime: KeyedRuntime<K>,
    state: OperatorStateBackend,
    emitter: Emitter<O>,
    inputs: PhantomData<fn(I, B)>,
}

impl<K, I, B, O, S, F> KeyedBroadcastProcessOperator<K, I, B, O, S, F>
where
    K: StateKey,
    I: Data,
    B: Data,
    O: Data,
    S: FnMut(&I) -> K,
    F: KeyedBroadcastProcessFunction<K, I, B, O>,
{
    /// Runs `function`, its first input under the key that `selector` gives each record.
    pub fn new(selector: S, function: F) -> Self {
        Self {
            selector,
            function,
            runtime: KeyedRuntime::default(),
            state: OperatorStateBackend::new(),
            emitter: Emitter::default(),
            inputs: PhantomData,
        }
    }

    fn take_keyed(&mut self, batch: Batch<I>, out: &mut dyn Output) -> Result<(), OperatorError> {
        for (record, timestamp) in records(batch) {
            let key = (self.selector)(&record);
            self.runtime
                .backend
                .set_hashed_key_ref(hash_of(&key)?, &key);
            let keyed = Context::new(&mut self.runtime, timestamp);
            let mut context = KeyedReadOnlyContext {
                keyed,
                state: &mut self.state,
            };
            let mut collector = self.emitter.collector(timestamp, out);
            self.function
                .process(record, &mut context, &mut collector)
                .map_err(OperatorError::Function)?;
            self.runtime.between_calls(out)?;
        }
        Ok(())
    }

    fn take_broadcast(
        &mut self,
        batch: Batch<B>,
        out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        for (record, timestamp) in records(batch) {
            let mut context =
                ProcessContext::of_keyed(&mut self.runtime, &mut self.state, timestamp);
            let mut collector = self.emitter.collector(timestamp, out);
            self.function
                .process_broadcast(record, &mut context, &mut collector)
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
        let keyed = Context::new(&mut self.runtime, timestamp);
        let mut context = KeyedReadOnlyContext {
            keyed,
            state: &mut self.state,
        };
        let mut collector = self.emitter.collector(timestamp, out);
        self.function
            .on_timer(time, domain, &mut context, &mut collector)
    }
}

impl<K, I, B, O, S, F> Operator for KeyedBroadcastProcessOperator<K, I, B, O, S, F>
where
    K: StateKey,
    I: Data,
    B: Data,
    O: Data,
    S: FnMut(&I) -> K + Send,
    F: KeyedBroadcastProcessFunction<K, I, B, O>,
{
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.runtime.open(context)?;
        self.runtime.open_timers(USER_TIMERS)?;
        let keyed = OpenContext::new(&mut self.runtime.backend, context);
        let mut open = KeyedBroadcastOpenContext {
            keyed,
            state: &mut self.state,
        };
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
            self.take_broadcast(Batch::from_chunk(chunk), out)?;
        } else {
            self.take_keyed(Batch::from_chunk(chunk), out)?;
        }
        self.runtime.finish(out)?;
        self.emitter.flush(out)
    }

    user_timers!();

    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        let mut snapshot = OperatorSnapshot::default();
        operator_state::write(&self.state, &mut snapshot)?;
        self.runtime.snapshot_begin(request)?;
        Ok(snapshot)
    }

    crate::keyed_runtime::keyed_steps!();

    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
        self.state = operator_state::read(&snapshots)?;
        self.runtime.restore(snapshots);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
