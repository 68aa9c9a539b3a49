//! What a subtask is told when it is deployed.

use std::net::SocketAddr;
use std::sync::Arc;

use weir_checkpoint::align::AlignMode;
use weir_checkpoint::coordinator::SnapshotFailure;
use weir_checkpoint::handle::{SnapshotMetrics, SubtaskRestore, SubtaskState};
use weir_graph::{EdgeId, JobGraph, NodeId, StreamGraph};
use weir_network::Exchange;
use weir_state::StateBackendFactory;
use weir_storage::{ObjectStore, StoreError};
use weir_stream::factory::Factories;
use weir_types::{CheckpointId, Clock, ExecutionAttemptId, Fault, TaskManagerId};

use crate::copies::LocalCopies;

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
    /// What it goes on from; none: it starts empty.
    pub restore: Option<SubtaskRestore>,
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

/// Who hears of what a subtask does. Called on the subtask's thread and on that of its uploader;
/// must not block.
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

    /// All input is processed, and the subtask waits for [`crate::TaskHandle::commit`]: for the
    /// last checkpoint's, or, without checkpoints, for the final one of its sinks.
    fn end_of_input(&self, attempt: ExecutionAttemptId);

    /// The subtask's part of a checkpoint is stored.
    fn acknowledged(
        &self,
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        state: SubtaskState,
        metrics: SnapshotMetrics,
    );

    /// The subtask could not take or store its part of a checkpoint. It runs on.
    fn declined(&self, attempt: ExecutionAttemptId, id: CheckpointId, why: SnapshotFailure);

    /// The subtask's sinks have made visible all that was prepared up to a checkpoint. Only
    /// subtasks with a sink that commits say so.
    fn committed(&self, attempt: ExecutionAttemptId, id: CheckpointId);
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
    /// What the keyed state of its slot lies on.
    pub state_backend: Arc<dyn StateBackendFactory>,
    /// How it takes part in checkpoints; none: the job has none.
    pub checkpoints: Option<Arc<TaskCheckpoints>>,
}

/// Opens the store, and the folder in it, that a restored checkpoint's objects lie in.
pub type OpenBase = Arc<dyn Fn(&str) -> Result<Arc<dyn ObjectStore>, StoreError> + Send + Sync>;

/// How the subtasks of a job take part in its checkpoints.
#[derive(Clone)]
pub struct TaskCheckpoints {
    /// The job's state folder.
    pub store: Arc<dyn ObjectStore>,
    /// Opens [`SubtaskRestore::base`].
    pub open_base: OpenBase,
    /// Whether inputs wait for each other's barriers.
    pub mode: AlignMode,
    /// Whether keyed state is compressed.
    pub compress: bool,
    /// Whether a checkpoint holds only what changed since the last one.
    pub incremental: bool,
    /// After so many incremental ones there is a full one, so that a restore reads few files.
    pub full_every: u32,
    /// Up to how many bytes are put into the acknowledgement instead of an object.
    pub inline_max: usize,
    /// Up to how many bytes of a database's new files are, too, those of one operator together.
    pub inline_files_max: usize,
    /// Copies on the local disk that save reading the store; none: there are none.
    pub copies: Option<Arc<LocalCopies>>,
}

impl TaskCheckpoints {
    /// Full and aligned, into this store. No other store is restored from.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        let own = Arc::clone(&store);
        Self {
            store,
            open_base: Arc::new(move |_| Ok(Arc::clone(&own))),
            mode: AlignMode::ExactlyOnce,
            compress: false,
            incremental: false,
            full_every: 10,
            inline_max: 16 << 10,
            inline_files_max: 0,
            copies: None,
        }
    }

    /// The same for each of so many subtasks. The metadata has what all of them acknowledge, so the
    /// more there are the less each may.
    pub(crate) fn of_each(&self, parallelism: u32) -> Self {
        const ALL: usize = 4 << 20;
        const EACH: usize = 256 << 10;
        let parallelism = usize::try_from(parallelism).unwrap_or(usize::MAX).max(1);
        Self {
            inline_files_max: (ALL / parallelism).min(EACH),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_storage::MemoryStore;

    use super::*;

    #[test]
    fn the_more_subtasks_there_are_the_less_each_puts_into_the_metadata() {
        let one = TaskCheckpoints::new(Arc::new(MemoryStore::new()));
        let each = |parallelism| one.of_each(parallelism).inline_files_max;
        assert_eq!(each(1), each(16));
        assert_eq!(each(1), 256 << 10);
        for parallelism in [16, 100, 10_000] {
            assert!(each(parallelism) * parallelism as usize <= 4 << 20);
            assert!(each(parallelism) > 0);
        }
    }
}
