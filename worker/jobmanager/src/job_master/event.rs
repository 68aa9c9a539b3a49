//! What goes into a JobMaster and what comes out.

use weir_checkpoint::coordinator::PointerOutcome;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::Pointer;
use weir_graph::NodeId;
use weir_rpc::{
    Collected, ConnectionId, Fenced, JobResult, Registration, SplitResponse, TaskExecutorCommand,
    TaskManagerMessage,
};
use weir_stream::source::SplitBytes;
use weir_types::{CheckpointId, ExecutionAttemptId, Fault, SubtaskIndex, Timestamp};

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    /// For measuring.
    pub(crate) at: Timestamp,
    /// For people.
    pub(crate) unix_ms: i64,
}

/// Something that has to succeed before anything is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Preparation {
    /// The source's enumerator exists.
    Source(NodeId),
    /// The sink can be written to.
    Sink(NodeId),
}

impl Preparation {
    pub(crate) fn is_source(self) -> bool {
        matches!(self, Self::Source(_))
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// Time has passed.
    Tick,
    /// A TaskManager asks to be taken in.
    Register {
        connection: ConnectionId,
        registration: Registration,
    },
    /// A TaskManager says something.
    Message {
        connection: ConnectionId,
        message: Box<Fenced<TaskManagerMessage>>,
    },
    /// A connection is gone.
    Disconnected {
        connection: ConnectionId,
        reason: String,
    },
    /// A preparation is done.
    Prepared {
        what: Preparation,
        result: Result<(), Fault>,
    },
    /// An enumerator has answered.
    SplitFound {
        attempt: ExecutionAttemptId,
        node: NodeId,
        /// Which life of the enumerator: it may have been made anew since.
        life: u32,
        response: Result<SplitResponse, Fault>,
    },
    /// An enumerator has told what it keeps.
    EnumeratorState {
        id: CheckpointId,
        node: NodeId,
        result: Result<Vec<u8>, String>,
    },
    /// The store has the metadata of a checkpoint, or not: its SHA-256 and size.
    MetadataWritten {
        id: CheckpointId,
        result: Result<(String, u64), String>,
    },
    /// A pointer write has ended for certain.
    PointerWritten {
        nonce: u128,
        outcome: PointerOutcome,
    },
    /// What no checkpoint needs any more was deleted, or could not be.
    Collected(Collected),
    /// The checkpoints of the cancelled job are gone.
    Cleared,
    /// What had been published of the job that did not finish is gone again, or cannot be removed.
    Withdrawn,
    /// Somebody wants the job to stop.
    Cancel,
    /// The process is told to end: as `Cancel`, but the checkpoints stay in any case.
    CancelAndKeep,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Action {
    /// Make the source's enumerator, or check the sink.
    Prepare(Preparation),
    /// Make the source's enumerator, in place of the one before if there is one, with the state
    /// that it goes on from.
    PrepareSource {
        node: NodeId,
        restore: Option<Vec<u8>>,
    },
    /// Ask an enumerator what it keeps.
    SnapshotEnumerator { id: CheckpointId, node: NodeId },
    /// Splits that these readers had must be handed out again.
    AddSplitsBack {
        node: NodeId,
        splits: Vec<(SubtaskIndex, SplitBytes)>,
    },
    /// Store the metadata of a checkpoint.
    WriteMetadata {
        path: String,
        metadata: Box<CheckpointMetadata>,
    },
    /// Move the pointer.
    WritePointer(Box<Pointer>),
    /// Delete the checkpoints, none of which the pointer keeps.
    ClearCheckpoints,
    /// Take a TaskManager in.
    Accept { connection: ConnectionId },
    /// Turn a TaskManager away for good.
    Refuse {
        connection: ConnectionId,
        reason: String,
    },
    /// Turn a TaskManager away, as the job has ended.
    TurnAway {
        connection: ConnectionId,
        result: JobResult,
    },
    /// Take back what these attempts have published, by sink.
    Withdraw(Vec<(NodeId, Vec<ExecutionAttemptId>)>),
    /// Send a command.
    Tell {
        connection: ConnectionId,
        command: Fenced<TaskExecutorCommand>,
    },
    /// Close a connection, after what was sent.
    HangUp { connection: ConnectionId },
    /// Ask a source's enumerator.
    FindSplit {
        node: NodeId,
        attempt: ExecutionAttemptId,
    },
    /// Tell people.
    Say(String),
    /// Write down, for whoever looks for a fault in the engine.
    Note(String),
    /// The job is over. Comes once, and last.
    End(JobResult),
}
