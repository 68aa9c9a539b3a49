//! What processes send each other, and what they send themselves for later. Between JobManager and
//! TaskManager these are the product's own messages.

use weir_checkpoint::coordinator::SnapshotRequest;
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{OperationId, Pointer, ReadResult, SwapResult};
use weir_graph::NodeId;
use weir_jobmanager::job_master;
use weir_rpc::{ConnectionId, Fenced, Registration, TaskExecutorCommand, TaskManagerMessage};
use weir_types::{CheckpointId, Epoch, ExecutionAttemptId};

use crate::graph::Parallelism;
use crate::jobmanager;
use crate::store::Row;
use crate::world::Collecting;

/// To a JobManager.
#[derive(Debug)]
pub(crate) enum ToJm {
    /// Election, heartbeats and whatever waits for time to pass.
    Tick,
    /// The JobMaster asked to be woken.
    Wake,
    /// It goes on with what it was about to do when it was stopped.
    GoOn,
    Swapped(SwapResult),
    Read(ReadResult, bool),
    Loaded(Option<Box<CheckpointMetadata>>),
    MetadataWritten(CheckpointId, Result<(), String>),
    /// It is the turn of an enumerator, in one of its lives.
    Enumerator(NodeId, u32),
    /// One of its own threads has found something out.
    Report(Box<job_master::Event>),
    Request(SnapshotRequest),
    /// A person wants the savepoint of an operation no more.
    Forget(OperationId),
    /// A person wants the job to end here and now.
    Cancel,
    /// A TaskManager asks to be taken in.
    Register(ConnectionId, Box<Registration>),
    /// A TaskManager says something, in the epoch that it knows.
    Said(ConnectionId, Epoch, Box<TaskManagerMessage>),
    Disconnected(ConnectionId),
    /// It goes on deleting what nothing needs.
    Collect(jobmanager::Collecting),
}

/// How a TaskManager that asked to be taken in is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is taken in: the epoch, and the program.
    Accepted(Epoch, Parallelism),
    Refused(String),
    JobEnded,
}

/// To a TaskManager.
#[derive(Clone, Debug)]
pub(crate) enum ToTm {
    Tick,
    Answer(ConnectionId, Answer),
    Command(ConnectionId, Box<Fenced<TaskExecutorCommand>>),
    Disconnected(ConnectionId),
}

/// What happens at a moment.
#[derive(Debug)]
pub(crate) enum Event {
    ToJm {
        jm: usize,
        life: u32,
        message: ToJm,
    },
    ToTm {
        tm: usize,
        life: u32,
        message: ToTm,
    },
    /// A task's turn.
    Step(ExecutionAttemptId),
    /// A task's snapshot is stored, or not.
    Stored {
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        ok: bool,
    },
    /// An object arrives at the store whose writer was killed meanwhile.
    Put {
        path: String,
        rows: Vec<Row>,
    },
    /// A task that was cancelled has noticed it.
    Cancelled(ExecutionAttemptId),
    /// A task notices that one that it reads from is gone.
    Broken(ExecutionAttemptId),
    /// A person's collector goes on.
    Collect(Collecting),
    /// A write of the pointer arrives at the store.
    Swap {
        expected: Option<String>,
        content: Box<Pointer>,
        /// Who is told, when the answer gets through.
        tell: Option<(usize, u32)>,
    },
    Fault(usize),
    Restart {
        jm: bool,
        index: usize,
        life: u32,
    },
    /// People ask for what they wait for.
    Client,
}
