//! Two streams of different types for one operator.

use weir_graph::NodeSpec;
use weir_stream::ops::{CoFlatMapOperator, CoMapOperator, CoProcessFunction, CoProcessOperator};
use weir_stream::{Collector, Data, Operator};

use crate::DataStream;

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
