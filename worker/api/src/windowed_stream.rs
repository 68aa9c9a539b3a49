//! A keyed stream cut into windows.

use std::time::Duration;

use weir_state::{AggregateFunction, StateKey};
use weir_stream::window::{
    AggregatePane, EventTimeTrigger, ListPane, Pane, PassOn, ProcessWindowFunction,
    ProcessingTimeTrigger, ReducePane, Trigger, WindowAssigner, WindowOperator, WindowOptions,
    WindowParts,
};
use weir_stream::{Data, OutputTag};

use crate::DataStream;
use crate::keyed_stream::{KeyedStream, keyed};

/// A keyed stream cut into windows (Flink's `WindowedStream`).
pub struct WindowedStream<T, K, F, A> {
    stream: KeyedStream<T, K, F>,
    assigner: A,
    options: WindowOptions<T>,
}

impl<T, K, F, A> WindowedStream<T, K, F, A>
where
    T: Data,
    K: StateKey,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    A: WindowAssigner<T> + Sync,
{
    pub(crate) fn new(stream: KeyedStream<T, K, F>, assigner: A) -> Self {
        Self {
            stream,
            assigner,
            options: WindowOptions::default(),
        }
    }

    /// For how long after its end a window is kept, and fires again for each late record.
    #[must_use]
    pub fn allowed_lateness(mut self, lateness: Duration) -> Self {
        self.options.allowed_lateness = lateness;
        self
    }

    /// Where records go whose windows are all over; without it they are dropped and counted.
    #[must_use]
    pub fn side_output_late_data(mut self, tag: &OutputTag<T>) -> Self {
        self.options.late_output = Some(tag.clone());
        self
    }

    /// Reduces each window's records to one.
    pub fn reduce<R>(self, reduce: R) -> DataStream<T>
    where
        R: Fn(&mut T, T) + Clone + Send + Sync + 'static,
    {
        self.build("window_reduce", ReducePane(reduce), PassOn)
    }

    /// Reduces each window's records to one, then makes records of it with access to the window.
    pub fn reduce_and_process<O, R, P>(self, reduce: R, function: P) -> DataStream<O>
    where
        O: Data,
        R: Fn(&mut T, T) + Clone + Send + Sync + 'static,
        P: ProcessWindowFunction<K, A::Window, T, O> + Sync,
    {
        self.build("window_reduce", ReducePane(reduce), function)
    }

    /// Aggregates each window's records.
    pub fn aggregate<G>(self, function: G) -> DataStream<G::Out>
    where
        G: AggregateFunction<In = T> + Clone + Sync,
        G::Out: Data,
    {
        self.build("window_aggregate", AggregatePane(function), PassOn)
    }

    /// Aggregates each window's records, then makes records of the result with access to the
    /// window.
    pub fn aggregate_and_process<O, G, P>(self, function: G, process: P) -> DataStream<O>
    where
        O: Data,
        G: AggregateFunction<In = T> + Clone + Sync,
        P: ProcessWindowFunction<K, A::Window, G::Out, O> + Sync,
    {
        self.build("window_aggregate", AggregatePane(function), process)
    }

    /// Makes records of all of a window's records at once. It keeps every record: prefer reduce or
    /// aggregate where they can say the same.
    pub fn process<O, P>(self, function: P) -> DataStream<O>
    where
        O: Data,
        P: ProcessWindowFunction<K, A::Window, Vec<T>, O> + Sync,
    {
        self.build("window_process", ListPane, function)
    }

    fn build<O, P, Q>(self, kind: &str, pane: P, function: Q) -> DataStream<O>
    where
        O: Data,
        P: Pane<T> + Clone + Sync,
        P::Result: 'static,
        Q: ProcessWindowFunction<K, A::Window, P::Result, O> + Sync,
    {
        if self.assigner.is_event_time() {
            self.build_with(kind, EventTimeTrigger, pane, function)
        } else {
            self.build_with(kind, ProcessingTimeTrigger, pane, function)
        }
    }

    fn build_with<O, G, P, Q>(self, kind: &str, trigger: G, pane: P, function: Q) -> DataStream<O>
    where
        O: Data,
        G: Trigger<T, A::Window> + Sync,
        P: Pane<T> + Clone + Sync,
        P::Result: 'static,
        Q: ProcessWindowFunction<K, A::Window, P::Result, O> + Sync,
    {
        let Self {
            stream,
            assigner,
            options,
        } = self;
        let selector = stream.selector;
        keyed(stream.stream, kind, move || {
            let parts = WindowParts {
                selector: selector.clone(),
                assigner: assigner.clone(),
                trigger: trigger.clone(),
                pane: pane.clone(),
                function: function.clone(),
            };
            Box::new(WindowOperator::new(parts, options.clone()))
        })
    }
}
