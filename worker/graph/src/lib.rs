//! StreamGraph, chaining, JobGraph and ExecutionGraph: pure translation from a program to subtasks.
//!
//! The steps are types, so that a later one cannot be taken early:
//!
//! ```text
//! StreamGraphBuilder --build()--> StreamGraph --> JobGraph --> ExecutionGraph
//! (what was written)   checks     (what is meant)  chains       (what runs, and how it is doing)
//! ```
//!
//! Nothing here knows how a vertex runs, who runs it, a wire format or a clock: time is an argument
//! and every function gives the same result for the same input, in every process.

#![warn(missing_docs)]

mod stream_graph;

mod operator_id;

mod chaining;
mod job_graph;

mod distribution;
mod region;

mod slot;

mod execution_state;
mod job_status;

mod execution_graph;

mod explain;
mod fingerprint;

#[cfg(test)]
mod fixtures;

pub use chaining::is_chainable;
pub use distribution::{
    DistributionPattern, InputChannelSpec, InputGateSpec, ResultPartitionSpec, SubpartitionSpec,
};
pub use execution_graph::{
    ExecutionGraph, ExecutionOptions, ExecutionVertex, FailureEntry, FailureHistory, FailureRecord,
    Update, UpdateError,
};
pub use execution_state::ExecutionState;
pub use explain::{ExplainedEdge, ExplainedOperator, ExplainedVertex, Explanation, explain};
pub use fingerprint::{Fingerprint, PartHash, diff_graphs, diff_maps, fingerprint};
pub use job_graph::{
    ChainedInput, ChainedOperator, ExecutionVertexId, JobEdge, JobGraph, JobVertex,
};
pub use job_status::JobStatus;
pub use region::PipelinedRegion;
pub use slot::{
    FreeSlot, SlotAssignment, SlotRequest, SlotShortage, assign_requests, assign_slots,
};
pub use stream_graph::{
    ChainingStrategy, DEFAULT_SLOT_SHARING_GROUP, EdgeId, EdgeSpec, GraphError, NodeId, NodeSpec,
    Partitioner, Role, Settings, StreamEdge, StreamGraph, StreamGraphBuilder, StreamNode,
    default_max_parallelism,
};
