//! What a TaskManager is told to run: a subtask, and where its inputs come from (Flink's
//! `TaskDeploymentDescriptor`). Neither operators nor the graph travel: the TaskManager has built
//! the same program, so it knows what the subtask consists of and whom it writes to.

use std::net::SocketAddr;

use weir_checkpoint::handle::SubtaskRestore;
use weir_graph::EdgeId;
use weir_types::{ExecutionAttemptId, SlotIndex, TaskManagerId};

/// One subtask to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDeploymentDescriptor {
    /// Which one.
    pub attempt: ExecutionAttemptId,
    /// The slot of the TaskManager that it runs in.
    pub slot: SlotIndex,
    /// One per edge that ends here, in the order of `JobGraph::input_gates`.
    pub inputs: Vec<InputGateDescriptor>,
    /// What it goes on from; none: it starts empty.
    pub restore: Option<SubtaskRestore>,
}

/// Where one edge's records come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputGateDescriptor {
    /// The edge.
    pub edge: EdgeId,
    /// By channel.
    pub producers: Vec<ProducerDescriptor>,
}

/// Where one producing subtask runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerDescriptor {
    /// Which attempt.
    pub attempt: ExecutionAttemptId,
    /// Its TaskManager; none if it is the consumer's own.
    pub remote: Option<RemoteProducer>,
}

/// Another TaskManager, as the exchange reaches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteProducer {
    /// Which life of it: another one at the same address is refused.
    pub taskmanager: TaskManagerId,
    /// Where its exchange listens.
    pub address: SocketAddr,
}
