//! A stream whose records have keys.

use std::marker::PhantomData;
use std::sync::Arc;

use weir_graph::{NodeSpec, Partitioner};
use weir_state::StateKey;
use weir_stream::Data;
use weir_stream::Operator;
use weir_stream::ops::{
    AggregateFunction, AggregateOperator, KeyedProcessFunction, KeyedProcessOperator,
    ReduceOperator,
};
use weir_stream::partition::hash_router;
use weir_stream::window::WindowAssigner;

use crate::DataStream;
use crate::connected_streams::{BroadcastStream, KeyedBroadcastConnectedStreams, KeyedConnectedStreams};
use crate::windowed_stream::WindowedStream;

/// A stream whose records have keys (Flink's `KeyedStream`): what follows keeps state per key.
pub struct KeyedStream<T, K, F> {
    pub(crate) stream: DataStream<T>,
    pub(crate) selector: F,
    key: PhantomData<fn() -> K>,
}

impl<T, K, F> KeyedStream<T, K, F>
where
    T: Data,
    K: StateKey,
    F: Fn(&T) -> K + Clone + Send + Sync + 'static,
{
    pub(crate) fn new(mut stream: DataStream<T>, selector: F) -> Self {
        let route = selector.clone();
        stream.set_router(
            Partitioner::Hash,
            Arc::new(move |context| hash_router(route.clone(), context)),
        );
        Self { stream, selector, key: PhantomData }
    }

    /// Combines each record with what came before it under its key, and emits the result for
    /// every record (Flink's `reduce`).
    pub fn reduce<R>(self, reduce: R) -> DataStream<T>
    where
        R: FnMut(T, T) -> T + Clone + Send + Sync + 'static,
    {
        let selector = self.selector;
        keyed(self.stream, "reduce", move || {
            Box::new(ReduceOperator::new(selector.clone(), reduce.clone()))
        })
    }

    /// Adds each record to its key's accumulator, and emits the key's result for every record.
    pub fn aggregate<A>(self, function: A) -> DataStream<(K, A::Out)>
    where
        K: Data,
        A: AggregateFunction<In = T>,
    {
        let selector = self.selector;
        keyed(self.stream, "aggregate", move || {
            Box::new(AggregateOperator::new(selector.clone(), function.clone()))
        })
    }

    /// Records with access to their key's state, to time, timers and side outputs (Flink's
    /// `KeyedProcessFunction`).
    pub fn process<P>(self, function: P) -> DataStream<P::Out>
    where
        P: KeyedProcessFunction<Key = K, In = T>,
    {
        let selector = self.selector;
        keyed(self.stream, "keyed_process", move || {
            Box::new(KeyedProcessOperator::new(selector.clone(), function.clone()))
        })
    }

    /// Cuts each key's records into windows.
    pub fn window<A: WindowAssigner>(self, assigner: A) -> WindowedStream<T, K, F, A> {
        WindowedStream::new(self, assigner)
    }

    /// This stream and another with keys of the same type, for an operator with two inputs that
    /// share their state.
    pub fn connect<U, G>(self, other: KeyedStream<U, K, G>) -> KeyedConnectedStreams<T, U, K, F, G>
    where
        U: Data,
        G: Fn(&U) -> K + Clone + Send + Sync + 'static,
    {
        KeyedConnectedStreams::new(self, other)
    }

    /// This stream and one that every subtask sees in full.
    pub fn connect_broadcast<U: Data>(
        self,
        broadcast: BroadcastStream<U>,
    ) -> KeyedBroadcastConnectedStreams<T, U, K, F> {
        KeyedBroadcastConnectedStreams::new(self, broadcast)
    }
}

/// Adds an operator with keyed state.
pub(crate) fn keyed<T: Data, O: Data>(
    stream: DataStream<T>,
    kind: &str,
    make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
) -> DataStream<O> {
    let mut node =
        NodeSpec::operator(kind, [std::any::type_name::<T>()], std::any::type_name::<O>());
    node.keyed = true;
    let (env, node) = stream.then_node(node, make);
    DataStream::of_node(env, node)
}
