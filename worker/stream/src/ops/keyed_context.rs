//! What a user's function over a keyed stream can ask and do.

use weir_state::{
    AggregateFunction, AggregatingState, KeyedBackend, KeyedContext, ListState, MapState,
    ReducingState, StateDescriptor, StateError, StateKey, StateValue, TimerService, ValueState,
};
use weir_types::{Clock, EventTime, Watermark};

use crate::keyed_runtime::KeyedRuntime;
use crate::side_output::SideOutputs;
use crate::{Data, OperatorContext, OutputTag};

/// What a function can ask for before the first record: its state, and where it runs.
pub struct OpenContext<'a, K> {
    backend: &'a mut KeyedBackend<K>,
    operator: &'a OperatorContext,
}

impl<'a, K: StateKey> OpenContext<'a, K> {
    pub(crate) fn new(backend: &'a mut KeyedBackend<K>, operator: &'a OperatorContext) -> Self {
        Self { backend, operator }
    }

    /// Where the function runs.
    pub fn operator(&self) -> &OperatorContext {
        self.operator
    }

    /// One value per key, under a name that is unique in the operator.
    pub fn value_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<ValueState<V>, StateError> {
        self.backend.value_state(descriptor)
    }

    /// A list per key.
    pub fn list_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<ListState<V>, StateError> {
        self.backend.list_state(descriptor)
    }

    /// A map per key.
    pub fn map_state<U: StateKey, V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
    ) -> Result<MapState<U, V>, StateError> {
        self.backend.map_state(descriptor)
    }

    /// One value per key that others are reduced into.
    pub fn reducing_state<V: StateValue>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        reduce: impl Fn(&mut V, V) + Send + 'static,
    ) -> Result<ReducingState<V>, StateError> {
        self.backend.reducing_state(descriptor, reduce)
    }

    /// One accumulator per key.
    pub fn aggregating_state<A: AggregateFunction>(
        &mut self,
        descriptor: impl Into<StateDescriptor>,
        function: A,
    ) -> Result<AggregatingState<A>, StateError> {
        self.backend.aggregating_state(descriptor, function)
    }
}

/// What a function can ask and do for a record or timer beside emitting. State handles take it to
/// reach the state of the current key.
pub struct Context<'a, K> {
    backend: &'a mut KeyedBackend<K>,
    timers: TimerService,
    timestamp: Option<EventTime>,
    watermark: Watermark,
    clock: &'a dyn Clock,
    side: &'a mut SideOutputs,
}

impl<'a, K: StateKey> Context<'a, K> {
    #[inline]
    pub(crate) fn new(runtime: &'a mut KeyedRuntime<K>, timestamp: Option<EventTime>) -> Self {
        Self {
            timers: runtime.timers(),
            backend: &mut runtime.backend,
            timestamp,
            watermark: runtime.watermark,
            clock: &*runtime.clock,
            side: &mut runtime.side,
        }
    }

    /// The key of the record or timer.
    pub fn current_key(&self) -> &K {
        self.backend
            .current_key()
            .expect("a record or timer has set its key")
    }

    /// The event time of the record, or of the event-time timer.
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

    /// Asks for a call when the watermark passes `time`; at the next watermark if it already has.
    /// Asking twice for the same key and time is asking once.
    pub fn register_event_time_timer(&mut self, time: EventTime) -> Result<(), StateError> {
        self.timers
            .register_event_time_timer(self.backend, &(), time)
            .map(drop)
    }

    /// Takes the request back.
    pub fn delete_event_time_timer(&mut self, time: EventTime) -> Result<(), StateError> {
        self.timers
            .delete_event_time_timer(self.backend, &(), time)
            .map(drop)
    }

    /// Asks for a call when the wall clock passes `time_ms` (milliseconds since 1970).
    pub fn register_processing_time_timer(&mut self, time_ms: i64) -> Result<(), StateError> {
        self.timers
            .register_processing_time_timer(self.backend, &(), time_ms)
            .map(drop)
    }

    /// Takes the request back.
    pub fn delete_processing_time_timer(&mut self, time_ms: i64) -> Result<(), StateError> {
        self.timers
            .delete_processing_time_timer(self.backend, &(), time_ms)
            .map(drop)
    }

    /// Emits a record, with the event time of the current record or timer, to a side output.
    pub fn side_output<T: Data>(&mut self, tag: &OutputTag<T>, record: T) {
        self.side.push(tag, record, self.timestamp);
    }
}

impl<K: StateKey> KeyedContext for Context<'_, K> {
    type Key = K;

    #[inline]
    fn keyed(&mut self) -> &mut KeyedBackend<K> {
        self.backend
    }
}
