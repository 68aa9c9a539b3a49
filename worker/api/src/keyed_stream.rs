//! A stream whose records have keys.

use std::marker::PhantomData;
use std::sync::Arc;

use weir_graph::{NodeSpec, Partitioner};
use weir_state::{AggregateFunction, StateKey};
use weir_stream::ops::{
    AggregateOperator, KeyedProcessFunction, KeyedProcessOperator, ReduceOperator,
};
use weir_stream::partition::hash_router;
use weir_stream::window::WindowAssigner;
use weir_stream::{Data, Operator};

use crate::DataStream;
use crate::connected_streams::{BroadcastStream, KeyedBroadcastStreams, KeyedConnectedStreams};
use crate::windowed_stream::WindowedStream;

/// A stream whose records have keys (Flink's `KeyedStream`): what follows keeps state per key.
/// `F` is the type of the function that tells a record's key.
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
        Self {
            stream,
            selector,
            key: PhantomData,
        }
    }

    /// The records as a plain stream that is spread by key: for operators that keep no state.
    pub fn into_stream(self) -> DataStream<T> {
        self.stream
    }

    /// Reduces each record into what came before it under its key, and emits the running value
    /// for every record (Flink's `reduce`). A key's first record is its first value.
    pub fn reduce<R>(self, reduce: R) -> DataStream<T>
    where
        R: Fn(&mut T, T) + Clone + Send + Sync + 'static,
    {
        let selector = self.selector;
        keyed(self.stream, "reduce", move || {
            Box::new(ReduceOperator::new(selector.clone(), reduce.clone()))
        })
    }

    /// Adds each record to its key's accumulator, and emits key and result for every record.
    pub fn aggregate<A>(self, function: A) -> DataStream<(K, A::Out)>
    where
        K: Data,
        A: AggregateFunction<In = T> + Clone + Sync,
        A::Out: Data,
    {
        let selector = self.selector;
        keyed(self.stream, "aggregate", move || {
            let emit = |key: &K, result| (key.clone(), result);
            Box::new(AggregateOperator::new(
                selector.clone(),
                function.clone(),
                emit,
            ))
        })
    }

    /// Records with access to their key's state, to time, timers and side outputs (Flink's
    /// `KeyedProcessFunction`).
    pub fn process<O, P>(self, function: P) -> DataStream<O>
    where
        O: Data,
        P: KeyedProcessFunction<K, T, O> + Sync,
    {
        let selector = self.selector;
        keyed(self.stream, "keyed_process", move || {
            Box::new(KeyedProcessOperator::new(
                selector.clone(),
                function.clone(),
            ))
        })
    }

    /// Cuts each key's records into windows.
    pub fn window<A>(self, assigner: A) -> WindowedStream<T, K, F, A>
    where
        A: WindowAssigner<T> + Sync,
    {
        WindowedStream::new(self, assigner)
    }

    /// This stream and another with keys of the same type, for one operator that keeps state per
    /// key.
    pub fn connect<U, G>(self, other: KeyedStream<U, K, G>) -> KeyedConnectedStreams<T, U, K, F, G>
    where
        U: Data,
        G: Fn(&U) -> K + Clone + Send + Sync + 'static,
    {
        KeyedConnectedStreams {
            first: self,
            second: other,
        }
    }

    /// This stream and one that every subtask sees in full.
    pub fn connect_broadcast<U: Data>(
        self,
        broadcast: BroadcastStream<U>,
    ) -> KeyedBroadcastStreams<T, U, K, F> {
        KeyedBroadcastStreams {
            keyed: self,
            broadcast,
        }
    }
}

/// Adds an operator with keyed state.
pub(crate) fn keyed<T: Data, O: Data>(
    stream: DataStream<T>,
    kind: &str,
    make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
) -> DataStream<O> {
    let mut node = NodeSpec::operator(
        kind,
        [std::any::type_name::<T>()],
        std::any::type_name::<O>(),
    );
    node.keyed = true;
    let (env, node) = stream.then_node(node, make);
    DataStream::of_node(env, node)
}
