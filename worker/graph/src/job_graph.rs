//! The graph of what is deployed: one vertex per chain, one edge per stream between two chains
//! (Flink's `JobGraph`, made by `StreamingJobGraphGenerator`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{OperatorId, SubtaskIndex, VertexId};

use crate::chaining::{Chain, chains};
use crate::distribution::DistributionPattern;
use crate::stream_graph::{EdgeId, NodeId, Partitioner, Role, StreamGraph};

/// One subtask's place in the job, whatever its attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutionVertexId {
    /// The vertex.
    pub vertex: VertexId,
    /// Its place among the vertex's subtasks.
    pub subtask: SubtaskIndex,
}

impl fmt::Display for ExecutionVertexId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.vertex, self.subtask)
    }
}

/// The graph of what is deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobGraph {
    /// What a person calls the job.
    pub job_name: String,
    /// The vertices in topological order; among those that could come next, the one whose head
    /// the program made first.
    pub vertices: Vec<JobVertex>,
    /// The edges in the order in which the program made them.
    pub edges: Vec<JobEdge>,
}

/// One chain of operators, run by as many threads as it has parallelism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobVertex {
    /// The id of the operator at the head.
    pub id: VertexId,
    /// The operators' names with arrows.
    pub name: String,
    /// The head first, then each operator behind the one that feeds it.
    pub operators: Vec<ChainedOperator>,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups it has.
    pub max_parallelism: u32,
    /// Vertices of one group may share slots.
    pub slot_sharing_group: String,
    /// Subtasks of one group with the same index run in the same slot.
    pub co_location_group: Option<String>,
    /// Whether it comes to an end by itself: all sources that feed it are bounded.
    pub bounded: bool,
    /// Whether it holds a sink that has to be told to publish when the whole job reached its end.
    pub commits: bool,
}

impl JobVertex {
    /// The operator that alone may have inputs from other vertices.
    pub fn head(&self) -> &ChainedOperator {
        &self.operators[0]
    }

    /// The operator of this chain that stands for a node of the program.
    pub fn operator(&self, node: NodeId) -> Option<&ChainedOperator> {
        self.operators.iter().find(|operator| operator.node == node)
    }

    /// Whether it reads from the world instead of from other vertices.
    pub fn is_source(&self) -> bool {
        self.head().role == Role::Source
    }

    /// Its subtasks.
    pub fn subtasks(&self) -> impl Iterator<Item = ExecutionVertexId> + use<> {
        let vertex = self.id;
        (0..self.parallelism).map(move |index| ExecutionVertexId {
            vertex,
            subtask: SubtaskIndex(index),
        })
    }
}

/// An operator in its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainedOperator {
    /// Its place in the program: what its factory is found by.
    pub node: NodeId,
    /// What its state belongs to.
    pub operator_id: OperatorId,
    /// What a person reads.
    pub name: String,
    /// What it does.
    pub kind: String,
    /// The id that the program gave it.
    pub uid: Option<String>,
    /// Source, operator or sink.
    pub role: Role,
    /// What feeds it; none for the head.
    pub input: Option<ChainedInput>,
    /// The row type of each input, in order of the inputs.
    pub input_types: Vec<String>,
    /// The row type of its main output.
    pub output_type: Option<String>,
    /// Whether it has keyed state.
    pub keyed: bool,
    /// Whether it has to be told to publish when the whole job reached its end.
    pub commits: bool,
}

/// What feeds an operator from within its chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainedInput {
    /// The stream of the program.
    pub edge: EdgeId,
    /// The operator of the same chain that calls this one.
    pub from: NodeId,
    /// The side output that it takes; none for the main output.
    pub side_output: Option<String>,
}

/// A stream between two vertices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEdge {
    /// The id of the program's stream.
    pub id: EdgeId,
    /// The vertex that writes it.
    pub source: VertexId,
    /// The operator of that vertex that writes it.
    pub source_node: NodeId,
    /// The vertex that reads it.
    pub target: VertexId,
    /// The operator of that vertex that reads it: its head.
    pub target_node: NodeId,
    /// Which of the head's inputs it goes to.
    pub target_input: u8,
    /// Which subtask a record goes to.
    pub partitioner: Partitioner,
    /// The side output that it carries; none for the main output.
    pub side_output: Option<String>,
    /// Which subtasks are connected at all.
    pub pattern: DistributionPattern,
    /// The longest time that records wait in the output buffer.
    pub buffer_timeout_ms: Option<u64>,
}

impl JobGraph {
    /// Chains the operators of a program.
    pub fn from_stream_graph(graph: &StreamGraph) -> Self {
        let chains = chains(graph);
        let mut vertex_of_node = BTreeMap::new();
        for chain in &chains {
            let id = vertex_id(graph, chain);
            vertex_of_node.extend(chain.operators.iter().map(|&(node, _)| (node, id)));
        }
        let edges: Vec<JobEdge> = graph
            .edges
            .iter()
            .filter(|edge| vertex_of_node[&edge.source] != vertex_of_node[&edge.target])
            .map(|edge| JobEdge {
                id: edge.id,
                source: vertex_of_node[&edge.source],
                source_node: edge.source,
                target: vertex_of_node[&edge.target],
                target_node: edge.target,
                target_input: edge.target_input,
                partitioner: edge.partitioner,
                side_output: edge.side_output.clone(),
                pattern: DistributionPattern::of(edge.partitioner),
                buffer_timeout_ms: graph.node(edge.source).buffer_timeout_ms,
            })
            .collect();
        let vertices = chains
            .iter()
            .map(|chain| job_vertex(graph, chain))
            .collect();
        let vertices = topological(vertices, &edges);
        assert_eq!(
            vertices.len(),
            chains.len(),
            "chains of a graph without cycles have none"
        );
        Self {
            job_name: graph.job_name.clone(),
            vertices,
            edges,
        }
    }

    /// The vertex with this id.
    pub fn vertex(&self, id: VertexId) -> Option<&JobVertex> {
        self.vertices.iter().find(|vertex| vertex.id == id)
    }

    /// The vertex that holds a node of the program.
    pub fn vertex_of_node(&self, node: NodeId) -> Option<&JobVertex> {
        self.vertices
            .iter()
            .find(|vertex| vertex.operator(node).is_some())
    }

    /// The edge with this id, if that stream is not chained.
    pub fn edge(&self, id: EdgeId) -> Option<&JobEdge> {
        self.edges.iter().find(|edge| edge.id == id)
    }

    /// The edges that end at a vertex, by input and then in the order of their ids.
    pub fn inputs(&self, vertex: VertexId) -> Vec<&JobEdge> {
        let mut edges: Vec<_> = self
            .edges
            .iter()
            .filter(|edge| edge.target == vertex)
            .collect();
        edges.sort_by_key(|edge| (edge.target_input, edge.id));
        edges
    }

    /// The edges that start at a vertex, in the order of their ids.
    pub fn outputs(&self, vertex: VertexId) -> Vec<&JobEdge> {
        self.edges
            .iter()
            .filter(|edge| edge.source == vertex)
            .collect()
    }

    /// Whether the job comes to an end by itself.
    pub fn is_bounded(&self) -> bool {
        self.vertices.iter().all(|vertex| vertex.bounded)
    }

    /// How many subtasks all vertices have.
    pub fn subtask_count(&self) -> usize {
        self.vertices
            .iter()
            .map(|vertex| vertex.parallelism as usize)
            .sum()
    }
}

fn vertex_id(graph: &StreamGraph, chain: &Chain<'_>) -> VertexId {
    let (head, _) = chain.operators[0];
    VertexId(graph.node(head).operator_id.0)
}

fn job_vertex(graph: &StreamGraph, chain: &Chain<'_>) -> JobVertex {
    let operators: Vec<ChainedOperator> = chain
        .operators
        .iter()
        .map(|&(id, edge)| {
            let node = graph.node(id);
            ChainedOperator {
                node: id,
                operator_id: node.operator_id,
                name: node.name.clone(),
                kind: node.kind.clone(),
                uid: node.uid.clone(),
                role: node.role,
                input: edge.map(|edge| ChainedInput {
                    edge: edge.id,
                    from: edge.source,
                    side_output: edge.side_output.clone(),
                }),
                input_types: node.input_types.clone(),
                output_type: node.output_type.clone(),
                keyed: node.keyed,
                commits: node.commits,
            }
        })
        .collect();
    let head = graph.node(operators[0].node);
    JobVertex {
        id: vertex_id(graph, chain),
        name: chain.name.clone(),
        parallelism: head.parallelism,
        max_parallelism: head.max_parallelism,
        slot_sharing_group: head.slot_sharing_group.clone(),
        co_location_group: head.co_location_group.clone(),
        bounded: head.bounded,
        commits: operators.iter().any(|operator| operator.commits),
        operators,
    }
}

fn topological(vertices: Vec<JobVertex>, edges: &[JobEdge]) -> Vec<JobVertex> {
    let mut missing: BTreeMap<VertexId, usize> = vertices.iter().map(|v| (v.id, 0)).collect();
    for edge in edges {
        *missing.entry(edge.target).or_default() += 1;
    }
    let heads: BTreeMap<VertexId, NodeId> = vertices
        .iter()
        .map(|vertex| (vertex.id, vertex.head().node))
        .collect();
    let mut waiting: BTreeMap<NodeId, JobVertex> = vertices
        .into_iter()
        .map(|vertex| (vertex.head().node, vertex))
        .collect();
    let mut ready: BTreeSet<NodeId> = missing
        .iter()
        .filter(|&(_, &count)| count == 0)
        .map(|(id, _)| heads[id])
        .collect();
    let mut order = Vec::with_capacity(waiting.len());
    while let Some(head) = ready.pop_first() {
        let Some(vertex) = waiting.remove(&head) else {
            continue;
        };
        for edge in edges.iter().filter(|edge| edge.source == vertex.id) {
            let count = missing.entry(edge.target).or_default();
            *count -= 1;
            if *count == 0 {
                ready.insert(heads[&edge.target]);
            }
        }
        order.push(vertex);
    }
    order
}

#[cfg(test)]
mod tests;
