//! Two streams of different types for one operator.

use weir_graph::NodeSpec;
use weir_state::StateKey;
use weir_stream::ops::{
    BroadcastProcessFunction, BroadcastProcessOperator, CoFlatMapOperator, CoMapOperator,
    CoProcessFunction, CoProcessOperator, KeyedBroadcastProcessFunction,
    KeyedBroadcastProcessOperator, KeyedCoProcessFunction, KeyedCoProcessOperator,
};
use weir_stream::{Collector, Data, Operator};

use crate::{DataStream, KeyedStream};

/// Two streams for one operator (Flink's `ConnectedStreams`).
pub struct ConnectedStreams<A, B> {
    first: DataStream<A>,
    second: DataStream<B>,
}

impl<A: Data, B: Data> ConnectedStreams<A, B> {
    pub(crate) fn new(first: DataStream<A>, second: DataStream<B>) -> Self {
        Self { first, second }
    }

    /// One record for each, by one function for each stream.
    pub fn map<O, F, G>(self, first: F, second: G) -> DataStream<O>
    where
        O: Data,
        F: FnMut(A) -> O + Clone + Send + Sync + 'static,
        G: FnMut(B) -> O + Clone + Send + Sync + 'static,
    {
        two_inputs(self.first, self.second, "co_map", false, move || {
            Box::new(CoMapOperator::new(first.clone(), second.clone()))
        })
    }

    /// Any number of records for each, by one function for each stream.
    pub fn flat_map<O, F, G>(self, first: F, second: G) -> DataStream<O>
    where
        O: Data,
        F: FnMut(A, &mut Collector<'_, O>) + Clone + Send + Sync + 'static,
        G: FnMut(B, &mut Collector<'_, O>) + Clone + Send + Sync + 'static,
    {
        two_inputs(self.first, self.second, "co_flat_map", false, move || {
            Box::new(CoFlatMapOperator::new(first.clone(), second.clone()))
        })
    }

    /// Records of both streams with access to time and side outputs (Flink's
    /// `CoProcessFunction`).
    pub fn process<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: CoProcessFunction<A, B, O> + Sync,
    {
        two_inputs(self.first, self.second, "co_process", false, move || {
            Box::new(CoProcessOperator::new(function.clone()))
        })
    }
}

/// Two streams with keys of the same type, for one operator that keeps state per key.
pub struct KeyedConnectedStreams<A, B, K, F, G> {
    pub(crate) first: KeyedStream<A, K, F>,
    pub(crate) second: KeyedStream<B, K, G>,
}

impl<A, B, K, F, G> KeyedConnectedStreams<A, B, K, F, G>
where
    A: Data,
    B: Data,
    K: StateKey,
    F: Fn(&A) -> K + Clone + Send + Sync + 'static,
    G: Fn(&B) -> K + Clone + Send + Sync + 'static,
{
    /// Records of both streams with access to their key's state and timers (Flink's
    /// `KeyedCoProcessFunction`).
    pub fn process<O, P>(self, function: P) -> DataStream<O>
    where
        O: Data,
        P: KeyedCoProcessFunction<K, A, B, O> + Sync,
    {
        let (first, second) = (self.first.selector, self.second.selector);
        let streams = (self.first.stream, self.second.stream);
        two_inputs(streams.0, streams.1, "keyed_co_process", true, move || {
            let (first, second) = (first.clone(), second.clone());
            Box::new(KeyedCoProcessOperator::new(first, second, function.clone()))
        })
    }
}

/// A stream that every subtask of the next operator sees in full (Flink's `BroadcastStream`).
pub struct BroadcastStream<B> {
    stream: DataStream<B>,
}

impl<B: Data> BroadcastStream<B> {
    /// Expects a stream that is spread by broadcast.
    pub(crate) fn new(stream: DataStream<B>) -> Self {
        Self { stream }
    }
}

/// A stream and one that every subtask sees in full.
pub struct BroadcastConnectedStreams<A, B> {
    pub(crate) first: DataStream<A>,
    pub(crate) broadcast: BroadcastStream<B>,
}

impl<A: Data, B: Data> BroadcastConnectedStreams<A, B> {
    /// Records of both; those of the second may change broadcast state, those of the first read
    /// it (Flink's `BroadcastProcessFunction`).
    pub fn process<O, P>(self, function: P) -> DataStream<O>
    where
        O: Data,
        P: BroadcastProcessFunction<A, B, O> + Sync,
    {
        two_inputs(
            self.first,
            self.broadcast.stream,
            "broadcast_process",
            false,
            move || Box::new(BroadcastProcessOperator::new(function.clone())),
        )
    }
}

/// A keyed stream and one that every subtask sees in full.
pub struct KeyedBroadcastStreams<A, B, K, F> {
    pub(crate) keyed: KeyedStream<A, K, F>,
    pub(crate) broadcast: BroadcastStream<B>,
}

impl<A, B, K, F> KeyedBroadcastStreams<A, B, K, F>
where
    A: Data,
    B: Data,
    K: StateKey,
    F: Fn(&A) -> K + Clone + Send + Sync + 'static,
{
    /// As [`BroadcastConnectedStreams::process`], with state and timers for the first stream's
    /// keys (Flink's `KeyedBroadcastProcessFunction`).
    pub fn process<O, P>(self, function: P) -> DataStream<O>
    where
        O: Data,
        P: KeyedBroadcastProcessFunction<K, A, B, O> + Sync,
    {
        let (selector, first) = (self.keyed.selector, self.keyed.stream);
        two_inputs(
            first,
            self.broadcast.stream,
            "keyed_broadcast_process",
            true,
            move || {
                Box::new(KeyedBroadcastProcessOperator::new(
                    selector.clone(),
                    function.clone(),
                ))
            },
        )
    }
}

/// Adds an operator with two inputs.
pub(crate) fn two_inputs<A: Data, B: Data, O: Data>(
    first: DataStream<A>,
    second: DataStream<B>,
    kind: &str,
    keyed: bool,
    make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
) -> DataStream<O> {
    let inputs = [std::any::type_name::<A>(), std::any::type_name::<B>()];
    let mut node = NodeSpec::operator(kind, inputs, std::any::type_name::<O>());
    node.keyed = keyed;
    let (env, node) = first.then_node(node, make);
    env.borrow_mut().connect::<B>(&second.upstreams, node, 1);
    DataStream::of_node(env, node)
}
