//! A stream of records.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

use weir_graph::{NodeId, NodeSpec, Partitioner};
use weir_state::StateKey;
use weir_stream::ops::{
    FilterOperator, FlatMapOperator, MapOperator, ProcessFunction, ProcessOperator,
    TryFilterOperator, TryFlatMapOperator, TryMapOperator, WatermarkStrategy, WatermarksOperator,
};
use weir_stream::partition::custom_router;
use weir_stream::sink::{Sink, SinkOperator};
use weir_stream::{BoxError, Collector, Data, Operator, OutputTag};

use crate::connected_streams::{BroadcastConnectedStreams, BroadcastStream, ConnectedStreams};
use crate::env::Upstream;
use crate::keyed_stream::KeyedStream;
use crate::node::{SharedEnv, node_settings};
use crate::sinks::DataStreamSink;

/// A stream of records of one type (Flink's `DataStream`).
///
/// Settings such as [`DataStream::uid`] concern the operator that makes the stream.
pub struct DataStream<T> {
    pub(crate) env: SharedEnv,
    pub(crate) node: NodeId,
    pub(crate) upstreams: Vec<Upstream>,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        Self {
            env: Rc::clone(&self.env),
            node: self.node,
            upstreams: self.upstreams.clone(),
            record: PhantomData,
        }
    }
}

impl<T: Data> DataStream<T> {
    pub(crate) fn of_node(env: SharedEnv, node: NodeId) -> Self {
        let upstream = Upstream {
            node,
            side_output: None,
            partitioner: None,
            router: None,
        };
        Self {
            env,
            node,
            upstreams: vec![upstream],
            record: PhantomData,
        }
    }

    node_settings!(#[must_use]);

    /// One record for each (Flink's `map`).
    pub fn map<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: FnMut(T) -> O + Clone + Send + Sync + 'static,
    {
        self.then("map", move || Box::new(MapOperator::new(function.clone())))
    }

    /// One record for each; an error fails the job.
    pub fn try_map<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: FnMut(T) -> Result<O, BoxError> + Clone + Send + Sync + 'static,
    {
        self.then("map", move || {
            Box::new(TryMapOperator::new(function.clone()))
        })
    }

    /// Any number of records for each (Flink's `flatMap`).
    pub fn flat_map<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: FnMut(T, &mut Collector<'_, O>) + Clone + Send + Sync + 'static,
    {
        self.then("flat_map", move || {
            Box::new(FlatMapOperator::new(function.clone()))
        })
    }

    /// Any number of records for each; an error fails the job.
    pub fn try_flat_map<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: FnMut(T, &mut Collector<'_, O>) -> Result<(), BoxError> + Clone + Send + Sync + 'static,
    {
        self.then("flat_map", move || {
            Box::new(TryFlatMapOperator::new(function.clone()))
        })
    }

    /// The records for which the function is true.
    #[must_use]
    pub fn filter<F>(self, function: F) -> Self
    where
        F: FnMut(&T) -> bool + Clone + Send + Sync + 'static,
    {
        self.then("filter", move || {
            Box::new(FilterOperator::new(function.clone()))
        })
    }

    /// The records for which the function is true; an error fails the job.
    #[must_use]
    pub fn try_filter<F>(self, function: F) -> Self
    where
        F: FnMut(&T) -> Result<bool, BoxError> + Clone + Send + Sync + 'static,
    {
        self.then("filter", move || {
            Box::new(TryFilterOperator::new(function.clone()))
        })
    }

    /// Records with access to time and side outputs (Flink's `process` on a stream without keys).
    pub fn process<O, F>(self, function: F) -> DataStream<O>
    where
        O: Data,
        F: ProcessFunction<T, O> + Sync,
    {
        self.then("process", move || {
            Box::new(ProcessOperator::new(function.clone()))
        })
    }

    /// Gives the records event times, and the stream watermarks.
    #[must_use]
    pub fn assign_timestamps_and_watermarks(self, strategy: WatermarkStrategy<T>) -> Self {
        self.then("timestamps", move || {
            Box::new(WatermarksOperator::new(strategy.clone()))
        })
    }

    /// Groups the records by a key: records with equal keys meet in one subtask, and state and
    /// timers belong to a key.
    pub fn key_by<K, F>(self, selector: F) -> KeyedStream<T, K, F>
    where
        K: StateKey,
        F: Fn(&T) -> K + Clone + Send + Sync + 'static,
    {
        KeyedStream::new(self, selector)
    }

    /// The records of this stream and others of the same type, in no particular order.
    #[must_use]
    pub fn union(mut self, others: impl IntoIterator<Item = Self>) -> Self {
        for other in others {
            self.upstreams.extend(other.upstreams);
        }
        self
    }

    /// This stream and one of another type, for an operator with two inputs.
    pub fn connect<U: Data>(self, other: DataStream<U>) -> ConnectedStreams<T, U> {
        ConnectedStreams::new(self, other)
    }

    /// This stream and one that every subtask sees in full.
    pub fn connect_broadcast<U: Data>(
        self,
        broadcast: BroadcastStream<U>,
    ) -> BroadcastConnectedStreams<T, U> {
        BroadcastConnectedStreams {
            first: self,
            broadcast,
        }
    }

    /// What an operator put into a side output.
    pub fn side_output<O: Data>(&self, tag: &OutputTag<O>) -> DataStream<O> {
        let mut stream = DataStream::<O>::of_node(Rc::clone(&self.env), self.node);
        stream.upstreams[0].side_output = Some(tag.name().to_owned());
        stream
    }

    /// Every record to every subtask.
    #[must_use]
    pub fn broadcast(self) -> Self {
        self.partitioned(Partitioner::Broadcast)
    }

    /// Every record to every subtask of an operator that keeps broadcast state.
    pub fn broadcast_state(self) -> BroadcastStream<T> {
        BroadcastStream::new(self.broadcast())
    }

    /// To all subtasks in turn.
    #[must_use]
    pub fn rebalance(self) -> Self {
        self.partitioned(Partitioner::Rebalance)
    }

    /// To the subtasks near by, in turn.
    #[must_use]
    pub fn rescale(self) -> Self {
        self.partitioned(Partitioner::Rescale)
    }

    /// To random subtasks.
    #[must_use]
    pub fn shuffle(self) -> Self {
        self.partitioned(Partitioner::Shuffle)
    }

    /// To the first subtask.
    #[must_use]
    pub fn global(self) -> Self {
        self.partitioned(Partitioner::Global)
    }

    /// To the subtask with the same index; both operators need the same parallelism.
    #[must_use]
    pub fn forward(self) -> Self {
        self.partitioned(Partitioner::Forward)
    }

    /// To the subtask that the function chooses from `0..n`, given a record and `n`.
    #[must_use]
    pub fn partition_custom<F>(mut self, choose: F) -> Self
    where
        F: FnMut(&T, usize) -> usize + Clone + Send + Sync + 'static,
    {
        self.set_router(
            Partitioner::Custom,
            Arc::new(move |context| custom_router(choose.clone(), context)),
        );
        self
    }

    /// Ends the stream in a sink.
    pub fn sink_to<S: Sink<In = T>>(self, mut sink: S) -> DataStreamSink {
        sink.configure(self.env.borrow().configuration());
        let mut node = NodeSpec::sink(format!("sink: {}", sink.kind()), std::any::type_name::<T>());
        node.commits = sink.commits();
        let (writers, checked, withdrawn) = (sink.clone(), sink.clone(), sink);
        let (env, node) = self.then_node(node, move || {
            Box::new(SinkOperator::new(writers.make_writer()))
        });
        let mut inner = env.borrow_mut();
        let factories = inner.factories_mut();
        factories
            .sink_checks
            .insert(node, Arc::new(move |restored| checked.check(restored)));
        if withdrawn.commits() {
            factories
                .sink_withdrawals
                .insert(node, Arc::new(move |attempts| withdrawn.withdraw(attempts)));
        }
        drop(inner);
        DataStreamSink { env, node }
    }

    /// Adds an operator of one's own.
    pub fn transform<O, F>(self, kind: &str, make: F) -> DataStream<O>
    where
        O: Data,
        F: Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    {
        self.then(kind, make)
    }

    pub(crate) fn set_router(
        &mut self,
        partitioner: Partitioner,
        router: weir_stream::factory::RouterFactory,
    ) {
        for upstream in &mut self.upstreams {
            upstream.partitioner = Some(partitioner);
            upstream.router = Some(Arc::clone(&router));
        }
    }

    fn partitioned(mut self, partitioner: Partitioner) -> Self {
        for upstream in &mut self.upstreams {
            upstream.partitioner = Some(partitioner);
            upstream.router = None;
        }
        self
    }

    pub(crate) fn then<O, F>(self, kind: &str, make: F) -> DataStream<O>
    where
        O: Data,
        F: Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    {
        let node = NodeSpec::operator(
            kind,
            [std::any::type_name::<T>()],
            std::any::type_name::<O>(),
        );
        let (env, node) = self.then_node(node, make);
        DataStream::of_node(env, node)
    }

    pub(crate) fn then_node<F>(self, node: NodeSpec, make: F) -> (SharedEnv, NodeId)
    where
        F: Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    {
        let mut inner = self.env.borrow_mut();
        let node = inner.add_operator(node, make);
        inner.connect::<T>(&self.upstreams, node, 0);
        drop(inner);
        (self.env, node)
    }
}
