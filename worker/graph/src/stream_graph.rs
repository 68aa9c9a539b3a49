//! The logical graph of a program: one node per operator, one edge per stream between two of them
//! (Flink's `StreamGraph`).
//!
//! A [`StreamGraph`] is always complete and checked: it comes out of [`StreamGraphBuilder::build`],
//! which fills in what the program left open (parallelism, partitioner, slot sharing group,
//! operator id) and refuses what cannot run. Node and edge ids are positions in the order in which
//! the program made them, so every process that runs the program gets the same ids.

mod builder;
mod error;
mod validate;

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{MAX_PARALLELISM_LIMIT, OperatorId};

pub use builder::{EdgeSpec, NodeSpec, StreamGraphBuilder};
pub use error::GraphError;

/// The slot sharing group of operators that name none.
pub const DEFAULT_SLOT_SHARING_GROUP: &str = "default";

/// The fewest key groups that are chosen for a vertex, so that small jobs can grow.
const DEFAULT_MAX_PARALLELISM_MIN: u32 = 128;

macro_rules! position_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub u32);

        impl $name {
            /// The position as an index into the graph's list.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

position_id! {
    /// An operator's place in the order in which the program made its operators, from 0.
    NodeId
}
position_id! {
    /// A stream's place in the order in which the program connected its operators, from 0. A
    /// stream that is not chained keeps the id as an edge of the JobGraph.
    EdgeId
}

/// Where an operator stands in the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    /// Makes records; has no input.
    Source,
    /// Has inputs and an output.
    Operator,
    /// Takes records out of the job; has no output.
    Sink,
}

/// Whether an operator may run in one thread with its neighbours, calling them directly (Flink's
/// `ChainingStrategy`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "camelCase")]
pub enum ChainingStrategy {
    /// With the one before and those after.
    #[default]
    Always,
    /// Only with those after: it starts a chain.
    Head,
    /// With none.
    Never,
}

/// Which subtasks of the consumer a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Partitioner {
    /// To the subtask with the same index.
    Forward,
    /// To the subtask that owns the record's key group.
    Hash,
    /// To all subtasks in turn.
    Rebalance,
    /// In turn to those subtasks that belong to this producer.
    Rescale,
    /// To a random subtask.
    Shuffle,
    /// To every subtask.
    Broadcast,
    /// To the first subtask.
    Global,
    /// To the subtask that a function of the program picks.
    Custom,
}

impl fmt::Display for Partitioner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::Hash => "hash",
            Self::Rebalance => "rebalance",
            Self::Rescale => "rescale",
            Self::Shuffle => "shuffle",
            Self::Broadcast => "broadcast",
            Self::Global => "global",
            Self::Custom => "custom",
        })
    }
}

/// What holds for all operators that say nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Parallelism of operators that set none.
    pub parallelism: u32,
    /// Max parallelism of operators that set none; without it, it follows from the parallelism.
    pub max_parallelism: Option<u32>,
    /// Whether operators are chained at all.
    pub chaining: bool,
    /// The longest time that records wait in an output buffer.
    pub buffer_timeout_ms: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            parallelism: 1,
            max_parallelism: None,
            chaining: true,
            buffer_timeout_ms: None,
        }
    }
}

/// One operator, all open questions answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamNode {
    /// Its place in the program.
    pub id: NodeId,
    /// What its state belongs to.
    pub operator_id: OperatorId,
    /// What a person reads: the given name, else the kind.
    pub name: String,
    /// What it does, for example `source: file` or `flat_map`.
    pub kind: String,
    /// The id that the program gave it.
    pub uid: Option<String>,
    /// Source, operator or sink.
    pub role: Role,
    /// Whether it comes to an end by itself: each source that it gets records from is bounded.
    pub bounded: bool,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// How many key groups it has.
    pub max_parallelism: u32,
    /// Whether it may be chained.
    pub chaining: ChainingStrategy,
    /// Operators of one group may share slots.
    pub slot_sharing_group: String,
    /// Subtasks of one group with the same index run in the same slot.
    pub co_location_group: Option<String>,
    /// The longest time that records wait in its output buffers.
    pub buffer_timeout_ms: Option<u64>,
    /// The row type of each input, in order of the inputs.
    pub input_types: Vec<String>,
    /// The row type of its main output.
    pub output_type: Option<String>,
    /// Whether it has keyed state.
    pub keyed: bool,
    /// Whether it is a sink that has to be told to publish when the whole job reached its end.
    pub commits: bool,
}

/// One stream between two operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamEdge {
    /// Its place in the program.
    pub id: EdgeId,
    /// The operator that writes it.
    pub source: NodeId,
    /// The operator that reads it.
    pub target: NodeId,
    /// Which of the reader's inputs it goes to, from 0. Several edges to one input are a union.
    pub target_input: u8,
    /// Which subtask a record goes to.
    pub partitioner: Partitioner,
    /// The side output that it carries; none for the main output.
    pub side_output: Option<String>,
}

/// The logical graph, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamGraph {
    /// What a person calls the job.
    pub job_name: String,
    /// What held for operators that said nothing else.
    pub settings: Settings,
    /// The operators; a node's id is its index.
    pub nodes: Vec<StreamNode>,
    /// The streams; an edge's id is its index.
    pub edges: Vec<StreamEdge>,
}

impl StreamGraph {
    /// The node with this id, which must come from this graph.
    pub fn node(&self, id: NodeId) -> &StreamNode {
        &self.nodes[id.index()]
    }

    /// The edges that end at a node, in the order of their ids.
    pub fn in_edges(&self, node: NodeId) -> impl Iterator<Item = &StreamEdge> {
        self.edges.iter().filter(move |edge| edge.target == node)
    }

    /// The edges that start at a node, in the order of their ids.
    pub fn out_edges(&self, node: NodeId) -> impl Iterator<Item = &StreamEdge> {
        self.edges.iter().filter(move |edge| edge.source == node)
    }
}

/// The number of key groups of a vertex that sets none: one and a half times its parallelism,
/// rounded up to a power of two, between 128 and 32,768 (Flink's
/// `KeyGroupRangeAssignment.computeDefaultMaxParallelism`).
///
/// So a job can grow by half before its keyed state stands in the way.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    parallelism
        .saturating_add(parallelism / 2)
        .min(MAX_PARALLELISM_LIMIT)
        .next_power_of_two()
        .clamp(DEFAULT_MAX_PARALLELISM_MIN, MAX_PARALLELISM_LIMIT)
}

#[cfg(test)]
mod tests;
