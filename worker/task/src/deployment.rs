//! What a subtask is told when it is deployed.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_graph::{EdgeId, JobGraph, NodeId, StreamGraph};
use weir_network::Exchange;
use weir_stream::factory::Factories;
use weir_types::{Clock, ExecutionAttemptId, Fault, TaskManagerId};

pub use weir_graph::ExecutionState;

/// A job's program as each process builds it for itself: graphs travel only as a fingerprint,
/// closures never.
pub struct Program {
    /// What the program says.
    pub graph: StreamGraph,
    /// The same, chained.
    pub job_graph: JobGraph,
    /// How operators are made.
    pub factories: Factories,
}

/// One attempt to run one subtask. What it consists of and whom it writes to follows from the
/// program; only where its producers run is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDeployment {
    /// Who it is.
    pub attempt: ExecutionAttemptId,
    /// For each edge that ends at its vertex, in the order of `JobGraph::input_gates`.
    pub inputs: Vec<InputDeployment>,
}

/// Where one edge's records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDeployment {
    /// The edge.
    pub edge: EdgeId,
    /// By channel index.
    pub producers: Vec<ProducerLocation>,
}

/// Where one producer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerLocation {
    /// Which attempt of the producer.
    pub attempt: ExecutionAttemptId,
    /// Its TaskManager and that one's data address; `None` in the same process.
    pub remote: Option<(TaskManagerId, SocketAddr)>,
}

/// Who hears of what a subtask does. Called on the subtask's thread; must not block.
pub trait TaskEvents: Send + Sync {
    /// The subtask's state has changed; a fault comes with `Failed`.
    fn state_changed(
        &self,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        fault: Option<Fault>,
    );

    /// A source of the subtask has nothing to read: answer with
    /// [`crate::TaskHandle::split_answer`].
    fn request_split(&self, attempt: ExecutionAttemptId, node: NodeId);

    /// All input is processed, and a sink waits for [`crate::TaskHandle::commit`].
    fn end_of_input(&self, attempt: ExecutionAttemptId);
}

/// What a subtask finds in its process.
#[derive(Clone)]
pub struct TaskEnvironment {
    /// Connects it with its neighbours.
    pub exchange: Exchange,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Who hears of it.
    pub events: Arc<dyn TaskEvents>,
    /// How much an input channel may hold.
    pub channel_window_bytes: Option<usize>,
}
