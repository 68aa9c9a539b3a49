//! Collects what a program says, and answers what it left open.
//!
//! The program may change a node after it was added (`stream.map(..).uid(..).set_parallelism(..)`),
//! so nothing is checked before [`StreamGraphBuilder::build`]. It then resolves in the order of
//! Flink's `StreamGraphGenerator`: parallelism, partitioners, slot sharing groups, operator ids.

use serde::{Deserialize, Serialize};
use weir_types::OperatorId;

use crate::operator_id::operator_ids;

use super::{
    ChainingStrategy, DEFAULT_SLOT_SHARING_GROUP, EdgeId, GraphError, NodeId, Partitioner, Role,
    Settings, StreamEdge, StreamGraph, StreamNode, default_max_parallelism, validate,
};

/// An operator as the program describes it; what it leaves open is filled in later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// What a person reads; starts as the kind.
    pub name: String,
    /// What it does, for example `source: file` or `flat_map`.
    pub kind: String,
    /// The id that its state belongs to; without it, one follows from the topology.
    pub uid: Option<String>,
    /// Source, operator or sink.
    pub role: Role,
    /// For a source: whether it comes to an end by itself.
    pub bounded: bool,
    /// How many subtasks; unset: the job's.
    pub parallelism: Option<u32>,
    /// How many key groups; unset: the job's, else what follows from the parallelism.
    pub max_parallelism: Option<u32>,
    /// Whether it has to be alone, as a socket source or a window over all keys.
    pub non_parallel: bool,
    /// Whether it may be chained.
    pub chaining: ChainingStrategy,
    /// Which operators it may share slots with; unset: that of its inputs, if they agree.
    pub slot_sharing_group: Option<String>,
    /// Which operators its subtasks must lie together with.
    pub co_location_group: Option<String>,
    /// The longest time that records wait in its output buffers; unset: the job's.
    pub buffer_timeout_ms: Option<u64>,
    /// The row type of each input; their number is the number of inputs.
    pub input_types: Vec<String>,
    /// The row type of the main output.
    pub output_type: Option<String>,
    /// Whether it has keyed state.
    pub keyed: bool,
    /// Whether it is a sink that has to be told to publish when the whole job reached its end.
    pub commits: bool,
}

impl NodeSpec {
    /// A source; unbounded unless [`NodeSpec::bounded`] is set.
    pub fn source(kind: impl Into<String>, output_type: impl Into<String>) -> Self {
        Self::new(
            Role::Source,
            kind.into(),
            Vec::new(),
            Some(output_type.into()),
        )
    }

    /// An operator with one input for each type.
    pub fn operator<T: Into<String>>(
        kind: impl Into<String>,
        input_types: impl IntoIterator<Item = T>,
        output_type: impl Into<String>,
    ) -> Self {
        let input_types = input_types.into_iter().map(Into::into).collect();
        Self::new(
            Role::Operator,
            kind.into(),
            input_types,
            Some(output_type.into()),
        )
    }

    /// A sink.
    pub fn sink(kind: impl Into<String>, input_type: impl Into<String>) -> Self {
        Self::new(Role::Sink, kind.into(), vec![input_type.into()], None)
    }

    fn new(
        role: Role,
        kind: String,
        input_types: Vec<String>,
        output_type: Option<String>,
    ) -> Self {
        Self {
            name: kind.clone(),
            kind,
            uid: None,
            role,
            bounded: false,
            parallelism: None,
            max_parallelism: None,
            non_parallel: false,
            chaining: ChainingStrategy::Always,
            slot_sharing_group: None,
            co_location_group: None,
            buffer_timeout_ms: None,
            input_types,
            output_type,
            keyed: false,
            commits: false,
        }
    }
}

/// A stream between two operators as the program describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeSpec {
    /// The operator that writes it.
    pub source: NodeId,
    /// The operator that reads it.
    pub target: NodeId,
    /// Which of the reader's inputs it goes to, from 0.
    pub target_input: u8,
    /// Unset: forward between equal parallelisms, else rebalance.
    pub partitioner: Option<Partitioner>,
    /// The side output that it carries; none for the main output.
    pub side_output: Option<String>,
}

impl EdgeSpec {
    /// The main output of `source` to the first input of `target`, partitioner open.
    pub fn new(source: NodeId, target: NodeId) -> Self {
        Self {
            source,
            target,
            target_input: 0,
            partitioner: None,
            side_output: None,
        }
    }

    /// The same with a partitioner.
    #[must_use]
    pub fn partitioned(mut self, partitioner: Partitioner) -> Self {
        self.partitioner = Some(partitioner);
        self
    }

    /// The same to another input.
    #[must_use]
    pub fn to_input(mut self, input: u8) -> Self {
        self.target_input = input;
        self
    }

    /// The same from a side output.
    #[must_use]
    pub fn from_side_output(mut self, tag: impl Into<String>) -> Self {
        self.side_output = Some(tag.into());
        self
    }
}

/// Collects a program's operators and streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamGraphBuilder {
    pub(super) job_name: String,
    pub(super) settings: Settings,
    pub(super) nodes: Vec<NodeSpec>,
    pub(super) edges: Vec<EdgeSpec>,
}

impl StreamGraphBuilder {
    /// A graph without operators.
    pub fn new(job_name: impl Into<String>, settings: Settings) -> Self {
        Self {
            job_name: job_name.into(),
            settings,
            nodes: Vec::new(),
            edges: Vec::new(),
        }
    }

    /// What holds for all operators that say nothing else.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// What a person calls the job.
    pub fn set_job_name(&mut self, job_name: impl Into<String>) {
        self.job_name = job_name.into();
    }

    /// Adds an operator.
    pub fn add_node(&mut self, node: NodeSpec) -> NodeId {
        let id = NodeId(position(self.nodes.len()));
        self.nodes.push(node);
        id
    }

    /// Adds a stream. Whether its ends exist is checked by [`StreamGraphBuilder::build`].
    pub fn add_edge(&mut self, edge: EdgeSpec) -> EdgeId {
        let id = EdgeId(position(self.edges.len()));
        self.edges.push(edge);
        id
    }

    /// The operator with this id, which must come from this builder.
    pub fn node(&self, id: NodeId) -> &NodeSpec {
        &self.nodes[id.index()]
    }

    /// The operator with this id, which must come from this builder, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut NodeSpec {
        &mut self.nodes[id.index()]
    }

    /// Fills in what is open, and checks the whole.
    pub fn build(self) -> Result<StreamGraph, GraphError> {
        let order = validate::shape(&self)?;
        validate::settings(&self.settings)?;
        let Self {
            job_name,
            settings,
            nodes: specs,
            edges,
        } = self;
        let mut nodes = Vec::with_capacity(specs.len());
        for (position, spec) in specs.into_iter().enumerate() {
            nodes.push(resolve_node(position, spec, &settings)?);
        }
        let edges = resolve_edges(edges, &nodes)?;
        let mut graph = StreamGraph {
            job_name,
            settings,
            nodes,
            edges,
        };
        inherit(&mut graph, &order);
        validate::co_location(&graph)?;
        for (node, id) in operator_ids(&graph, &order)?.into_iter().enumerate() {
            graph.nodes[node].operator_id = id;
        }
        Ok(graph)
    }
}

pub(super) fn position(len: usize) -> u32 {
    u32::try_from(len).expect("a program makes fewer than 2^32 operators")
}

/// Answers what concerns the node alone. The slot sharing group stays empty if open, and only
/// sources know whether they are bounded: [`inherit`] does the rest.
fn resolve_node(
    position: usize,
    spec: NodeSpec,
    settings: &Settings,
) -> Result<StreamNode, GraphError> {
    let unset = if spec.non_parallel {
        1
    } else {
        settings.parallelism
    };
    let parallelism = spec.parallelism.unwrap_or(unset);
    let max_parallelism = spec
        .max_parallelism
        .or(settings.max_parallelism)
        .unwrap_or_else(|| default_max_parallelism(parallelism));
    validate::parallelism(&spec, parallelism, max_parallelism)?;
    Ok(StreamNode {
        id: NodeId(self::position(position)),
        operator_id: OperatorId(0),
        name: spec.name,
        kind: spec.kind,
        uid: spec.uid,
        role: spec.role,
        bounded: spec.bounded,
        parallelism,
        max_parallelism,
        chaining: spec.chaining,
        slot_sharing_group: spec.slot_sharing_group.unwrap_or_default(),
        co_location_group: spec.co_location_group,
        buffer_timeout_ms: spec.buffer_timeout_ms.or(settings.buffer_timeout_ms),
        input_types: spec.input_types,
        output_type: spec.output_type,
        keyed: spec.keyed,
        commits: spec.commits,
    })
}

fn resolve_edges(
    specs: Vec<EdgeSpec>,
    nodes: &[StreamNode],
) -> Result<Vec<StreamEdge>, GraphError> {
    let mut edges = Vec::with_capacity(specs.len());
    for (position, spec) in specs.into_iter().enumerate() {
        let (source, target) = (&nodes[spec.source.index()], &nodes[spec.target.index()]);
        let equal = source.parallelism == target.parallelism;
        let open = if equal {
            Partitioner::Forward
        } else {
            Partitioner::Rebalance
        };
        let partitioner = spec.partitioner.unwrap_or(open);
        if partitioner == Partitioner::Forward && !equal {
            return Err(GraphError::ForwardParallelism {
                source_name: source.name.clone(),
                source_parallelism: source.parallelism,
                target: target.name.clone(),
                target_parallelism: target.parallelism,
            });
        }
        edges.push(StreamEdge {
            id: EdgeId(self::position(position)),
            source: spec.source,
            target: spec.target,
            target_input: spec.target_input,
            partitioner,
            side_output: spec.side_output,
        });
    }
    Ok(edges)
}

/// Passes on along the streams: the slot sharing group, where all inputs agree, and whether the
/// operator comes to an end by itself.
fn inherit(graph: &mut StreamGraph, order: &[NodeId]) {
    for &id in order {
        let inputs: Vec<NodeId> = graph.in_edges(id).map(|edge| edge.source).collect();
        let bounded = match graph.node(id).role {
            Role::Source => graph.node(id).bounded,
            _ => inputs.iter().all(|&input| graph.node(input).bounded),
        };
        let mut groups = inputs
            .iter()
            .map(|&input| &graph.node(input).slot_sharing_group);
        let group = match groups.next() {
            Some(first) if groups.all(|group| group == first) => first.clone(),
            _ => DEFAULT_SLOT_SHARING_GROUP.to_owned(),
        };
        let node = &mut graph.nodes[id.index()];
        node.bounded = bounded;
        if node.slot_sharing_group.is_empty() {
            node.slot_sharing_group = group;
        }
    }
}
