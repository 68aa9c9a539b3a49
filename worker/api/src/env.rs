//! The environment in which a program is built.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use weir_graph::{
    EdgeSpec, GraphError, NodeId, NodeSpec, Partitioner, Settings, StreamGraph, StreamGraphBuilder,
};
use weir_stream::factory::{Factories, OperatorFactory, RouterFactory};
use weir_stream::partition::spread_router;
use weir_stream::source::{ReaderSource, Source};
use weir_stream::{BatchCodec, Data, Operator};

use crate::DataStream;
use crate::node::SharedEnv;

/// What a job's manifest says about the graph as a whole.
#[derive(Clone, Debug)]
pub struct EnvSettings {
    /// The job's name.
    pub job_name: String,
    /// Parallelism of every operator that names none.
    pub parallelism: u32,
    /// Number of key groups of every operator that names none; by default derived from its
    /// parallelism.
    pub max_parallelism: Option<u32>,
    /// The job's configuration: sinks find in it how a bucket is reached.
    pub configuration: BTreeMap<String, String>,
}

impl Default for EnvSettings {
    fn default() -> Self {
        Self {
            job_name: "job".to_owned(),
            parallelism: 1,
            max_parallelism: None,
            configuration: BTreeMap::new(),
        }
    }
}

/// What building a program gives: its graph, and the factories by the graph's ids.
#[derive(Clone)]
pub struct BuiltProgram {
    /// What happens.
    pub graph: StreamGraph,
    /// How each process makes its operators.
    pub factories: Factories,
}

pub(crate) struct Inner {
    graph: StreamGraphBuilder,
    factories: Factories,
    configuration: BTreeMap<String, String>,
}

/// Builds one program's graph (Flink's `StreamExecutionEnvironment`).
pub struct StreamEnv {
    inner: SharedEnv,
}

impl StreamEnv {
    /// An environment without any operator.
    pub fn new(settings: &EnvSettings) -> Self {
        let graph = StreamGraphBuilder::new(
            settings.job_name.clone(),
            Settings {
                parallelism: settings.parallelism,
                max_parallelism: settings.max_parallelism,
                ..Settings::default()
            },
        );
        let inner = Inner {
            graph,
            factories: Factories::default(),
            configuration: settings.configuration.clone(),
        };
        Self {
            inner: Rc::new(RefCell::new(inner)),
        }
    }

    /// Reads from a source.
    pub fn from_source<S: Source>(&mut self, source: S) -> DataStream<S::Out> {
        let mut inner = self.inner.borrow_mut();
        let kind = format!("source: {}", source.kind());
        let mut node = NodeSpec::source(kind, std::any::type_name::<S::Out>());
        node.bounded = source.bounded();
        node.non_parallel = source.non_parallel();
        let id = inner.graph.add_node(node);
        let (readers, enumerators) = (source.clone(), source);
        inner.factories.sources.insert(
            id,
            Arc::new(move || Box::new(ReaderSource::new(readers.make_reader()))),
        );
        inner.factories.enumerators.insert(
            id,
            Arc::new(move |context| enumerators.make_enumerator(context)),
        );
        drop(inner);
        DataStream::of_node(Rc::clone(&self.inner), id)
    }

    /// Ends the building: checks the graph.
    pub fn build(self) -> Result<BuiltProgram, GraphError> {
        let inner = self.inner.borrow();
        let graph = inner.graph.clone().build()?;
        Ok(BuiltProgram {
            graph,
            factories: inner.factories.clone(),
        })
    }
}

/// One way into a node: from where, how the records are spread, and by what.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) node: NodeId,
    pub(crate) side_output: Option<String>,
    pub(crate) partitioner: Option<Partitioner>,
    pub(crate) router: Option<RouterFactory>,
}

impl Inner {
    pub(crate) fn node_mut(&mut self, node: NodeId) -> &mut NodeSpec {
        self.graph.node_mut(node)
    }

    /// Adds an operator.
    pub(crate) fn add_operator(
        &mut self,
        node: NodeSpec,
        make: impl Fn() -> Box<dyn Operator> + Send + Sync + 'static,
    ) -> NodeId {
        let id = self.graph.add_node(node);
        let make: OperatorFactory = Arc::new(make);
        self.factories.operators.insert(id, make);
        id
    }

    /// Leads streams of `T` into one input of a node.
    pub(crate) fn connect<T: Data>(&mut self, from: &[Upstream], to: NodeId, input: u8) {
        for upstream in from {
            let edge = self.graph.add_edge(EdgeSpec {
                source: upstream.node,
                target: to,
                target_input: input,
                partitioner: upstream.partitioner,
                side_output: upstream.side_output.clone(),
            });
            self.factories
                .codecs
                .insert(edge, Arc::new(BatchCodec::<T>::default()));
            self.factories
                .spreaders
                .insert(edge, Arc::new(spread_router::<T>));
            if let Some(router) = &upstream.router {
                self.factories.routers.insert(edge, Arc::clone(router));
            }
        }
    }

    pub(crate) fn configuration(&self) -> &BTreeMap<String, String> {
        &self.configuration
    }

    pub(crate) fn factories_mut(&mut self) -> &mut Factories {
        &mut self.factories
    }
}
