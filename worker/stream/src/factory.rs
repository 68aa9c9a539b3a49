//! How a process makes its own operators: the executable half of a program.
//!
//! Closures never travel. Each process builds the same graph from the same program and arguments,
//! and beside it these factories, by the ids of the graph's nodes and edges.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_graph::{EdgeId, NodeId};
use weir_network::{Router, SharedCodec};
use weir_types::ExecutionAttemptId;

use crate::source::{AnySource, SplitEnumerator};
use crate::{BoxError, Operator};

/// Makes one subtask's instance of an operator.
pub type OperatorFactory = Arc<dyn Fn() -> Box<dyn Operator> + Send + Sync>;

/// Makes one subtask's reader of a source.
pub type SourceFactory = Arc<dyn Fn() -> Box<dyn AnySource> + Send + Sync>;

/// Makes the one enumerator of a source, on the JobManager. May do I/O.
pub type EnumeratorFactory =
    Arc<dyn Fn(&EnumeratorContext) -> Result<Box<dyn SplitEnumerator>, BoxError> + Send + Sync>;

/// Makes the router of one producing subtask on one edge.
pub type RouterFactory = Arc<dyn Fn(&RouterContext) -> Box<dyn Router> + Send + Sync>;

/// Runs once on the JobManager before anything is deployed, and is told whether the job goes on
/// from a checkpoint. May do I/O.
pub type SinkCheck = Arc<dyn Fn(bool) -> Result<(), BoxError> + Send + Sync>;

/// Takes back what these attempts have made visible of a job without checkpoints that did not
/// finish. Runs on the JobManager. May do I/O.
pub type SinkWithdrawal = Arc<dyn Fn(&[ExecutionAttemptId]) -> Result<(), BoxError> + Send + Sync>;

/// What an enumerator is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct EnumeratorContext {
    /// How many readers there are.
    pub parallelism: u32,
    /// Its state is restored next: what it would find out now is replaced by that.
    pub restored: bool,
}

/// Makes the router of one producing subtask on an edge that spreads records evenly.
pub type SpreaderFactory = Arc<dyn Fn(Spread, &RouterContext) -> Box<dyn Router> + Send + Sync>;

/// How records are spread that belong to no subtask in particular.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// In turn, from this channel on (modulo their number).
    InTurn(u64),
    /// At random, from this seed.
    Random(u64),
}

/// What a router is told when it is made.
#[derive(Clone, Copy, Debug)]
pub struct RouterContext {
    /// The producing subtask.
    pub subtask: u32,
    /// How many channels it writes to.
    pub channels: usize,
    /// How many consuming subtasks there are in all.
    pub consumers: u32,
    /// The consumer's number of key groups.
    pub max_parallelism: u32,
}

/// The factories of one program, beside its `StreamGraph`.
#[derive(Clone, Default)]
pub struct Factories {
    /// By operator node (sinks included).
    pub operators: BTreeMap<NodeId, OperatorFactory>,
    /// By source node.
    pub sources: BTreeMap<NodeId, SourceFactory>,
    /// By source node.
    pub enumerators: BTreeMap<NodeId, EnumeratorFactory>,
    /// By sink node, for those that check something before the job starts.
    pub sink_checks: BTreeMap<NodeId, SinkCheck>,
    /// By sink node, for those that commit.
    pub sink_withdrawals: BTreeMap<NodeId, SinkWithdrawal>,
    /// By edge, for those whose router is typed (key-by, custom). The others need none.
    pub routers: BTreeMap<EdgeId, RouterFactory>,
    /// By edge, for those that may turn out to rebalance, rescale or shuffle.
    pub spreaders: BTreeMap<EdgeId, SpreaderFactory>,
    /// By edge.
    pub codecs: BTreeMap<EdgeId, SharedCodec>,
}
