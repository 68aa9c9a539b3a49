//! What goes into a JobMaster and what comes out.

use std::sync::Arc;

use weir_checkpoint::coordinator::{PointerOutcome, SnapshotFailure};
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
pub struct Now {
    /// For measuring.
    pub at: Timestamp,
    /// For people.
    pub unix_ms: i64,
}

/// Something that has to succeed before anything is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preparation {
    /// The source's enumerator exists.
    Source(NodeId),
    /// The sink can be written to.
    Sink(NodeId),
}

impl Preparation {
    pub(crate) fn is_source(self) -> bool {
        matches!(self, Self::Source(_))
    }

    #[cfg(test)]
    pub(crate) fn node(self) -> NodeId {
        match self {
            Self::Source(node) | Self::Sink(node) => node,
        }
    }
}

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A TaskManager asks to be taken in.
    Register {
        /// Which it will have if it is taken in.
        connection: ConnectionId,
        /// What it says about itself.
        registration: Registration,
    },
    /// A TaskManager says something.
    Message {
        /// Through which connection.
        connection: ConnectionId,
        /// What.
        message: Box<Fenced<TaskManagerMessage>>,
    },
    /// A connection is gone.
    Disconnected {
        /// Which one.
        connection: ConnectionId,
        /// Why, for people.
        reason: String,
    },
    /// A preparation is done, or what was prepared has failed since.
    Prepared {
        /// Which one.
        what: Preparation,
        /// Of an enumerator, which life of it: it may have been made anew since. Else 0.
        life: u32,
        /// Whether it succeeded.
        result: Result<(), Fault>,
    },
    /// An enumerator has answered.
    SplitFound {
        /// The reader that asked.
        attempt: ExecutionAttemptId,
        /// The source.
        node: NodeId,
        /// Which life of the enumerator: it may have been made anew since.
        life: u32,
        /// What it has found.
        response: Result<SplitResponse, Fault>,
    },
    /// An enumerator has told what it keeps.
    EnumeratorState {
        /// For which checkpoint.
        id: CheckpointId,
        /// The source.
        node: NodeId,
        /// What it keeps.
        result: Result<Vec<u8>, String>,
    },
    /// The store has the metadata of a checkpoint, or not.
    MetadataWritten {
        /// Of which checkpoint.
        id: CheckpointId,
        /// SHA-256 and size, or why not.
        result: Result<(String, u64), SnapshotFailure>,
    },
    /// A pointer write has ended for certain.
    PointerWritten {
        /// Of the content that was to be written.
        nonce: u128,
        /// How it ended.
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
pub enum Action {
    /// Make the source's enumerator, or check the sink.
    Prepare(Preparation),
    /// Make the source's enumerator, in place of the one before if there is one, with the state
    /// that it goes on from.
    PrepareSource {
        /// The source.
        node: NodeId,
        /// What it goes on from; none: from the beginning.
        restore: Option<Vec<u8>>,
    },
    /// Ask an enumerator what it keeps.
    SnapshotEnumerator {
        /// For which checkpoint.
        id: CheckpointId,
        /// The source.
        node: NodeId,
    },
    /// Splits that these readers had must be handed out again.
    AddSplitsBack {
        /// The source.
        node: NodeId,
        /// Each with the reader that had it.
        splits: Vec<(SubtaskIndex, SplitBytes)>,
    },
    /// Store the metadata of a checkpoint.
    WriteMetadata {
        /// The checkpoint's folder.
        path: String,
        /// What goes into it.
        metadata: Arc<CheckpointMetadata>,
    },
    /// Move the pointer.
    WritePointer(Box<Pointer>),
    /// Delete the checkpoints, none of which the pointer keeps.
    ClearCheckpoints,
    /// Take a TaskManager in.
    Accept {
        /// The one that it asked through.
        connection: ConnectionId,
    },
    /// Turn a TaskManager away for good.
    Refuse {
        /// The one that it asked through.
        connection: ConnectionId,
        /// Why, for people.
        reason: String,
    },
    /// Turn a TaskManager away, as the job has ended.
    TurnAway {
        /// The one that it asked through.
        connection: ConnectionId,
        /// How it has ended.
        result: JobResult,
    },
    /// Take back what these attempts have published, by sink.
    Withdraw(Vec<(NodeId, Vec<ExecutionAttemptId>)>),
    /// Send a command.
    Tell {
        /// To whom.
        connection: ConnectionId,
        /// Which one.
        command: Fenced<TaskExecutorCommand>,
    },
    /// Close a connection, after what was sent.
    HangUp {
        /// Which one.
        connection: ConnectionId,
    },
    /// Ask a source's enumerator.
    FindSplit {
        /// The source.
        node: NodeId,
        /// The reader that the split is for.
        attempt: ExecutionAttemptId,
    },
    /// Tell people.
    Say(String),
    /// Write down, for whoever looks for a fault in the engine.
    Note(String),
    /// The job is over. Comes once, and last.
    End(JobResult),
}
