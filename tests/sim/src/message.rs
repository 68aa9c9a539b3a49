//! What processes send each other, and what they send themselves for later.

use weir_checkpoint::coordinator::{SnapshotRequest, Then};
use weir_checkpoint::handle::{SubtaskRestore, SubtaskState};
use weir_checkpoint::metadata::CheckpointMetadata;
use weir_checkpoint::pointer::{Pointer, ReadResult, SwapResult};
use weir_types::{CheckpointBarrier, CheckpointId, Epoch, ExecutionAttemptId};

use crate::world::Collecting;

/// To a JobManager.
#[derive(Clone, Debug)]
pub(crate) enum ToJm {
    /// Election, heartbeats and whatever waits for time to pass.
    Tick,
    /// The coordinator asked to be woken.
    Wake,
    Swapped(SwapResult),
    Read(ReadResult, bool),
    Loaded(Option<Box<CheckpointMetadata>>),
    MetadataWritten(CheckpointId, Result<(), String>),
    /// It is the turn of a region's enumerator to say what it keeps.
    Enumerator(CheckpointId, usize),
    /// What it has said.
    Enumerated(CheckpointId, usize, Vec<u8>),
    Request(SnapshotRequest),
    /// A person wants the job to end here and now.
    Cancel,
    Register {
        tm: usize,
        reg: u64,
    },
    Heartbeat {
        tm: usize,
        reg: u64,
    },
    /// A call to a TaskManager got lost.
    CallLost {
        tm: usize,
        reg: u64,
    },
    Task {
        reg: u64,
        tm: usize,
        attempt: ExecutionAttemptId,
        told: FromTask,
    },
    /// It goes on deleting what nothing needs.
    Collect(Collecting),
}

/// What a task tells the JobManager.
#[derive(Clone, Debug)]
pub(crate) enum FromTask {
    Deployed,
    Failed,
    Acknowledged(CheckpointId, Box<SubtaskState>),
    Declined(CheckpointId),
    NeedsSplit,
    InputDone,
    Committed(CheckpointId),
    /// It has come to its end.
    Finished,
}

/// To a TaskManager.
#[derive(Clone, Debug)]
pub(crate) enum ToTm {
    Tick,
    Registered,
    Ping,
    Deploy(Box<Deployment>),
    /// All are deployed: read.
    Go(ExecutionAttemptId),
    /// Of this and older attempts of a region in the epoch.
    Cancel {
        region: usize,
        attempt: u32,
    },
    Trigger {
        attempt: ExecutionAttemptId,
        barrier: CheckpointBarrier,
        then: Then,
    },
    Abort {
        attempt: ExecutionAttemptId,
        id: CheckpointId,
    },
    Complete {
        attempt: ExecutionAttemptId,
        id: CheckpointId,
        /// The job is over after it.
        last: bool,
    },
    Assign {
        attempt: ExecutionAttemptId,
        split: Option<u8>,
    },
}

/// All that a task needs.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) attempt: ExecutionAttemptId,
    /// Of the source, the count and the sink.
    pub(crate) parallelism: [u32; 3],
    pub(crate) restore: Option<SubtaskRestore>,
    /// It only commits what it is restored from.
    pub(crate) only_commits: bool,
}

/// What happens at a moment.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    ToJm {
        jm: usize,
        life: u32,
        message: ToJm,
    },
    ToTm {
        tm: usize,
        life: u32,
        /// Who sends it, and the registration that it is for; none: the process itself.
        from: Option<(usize, Epoch, u64)>,
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
    /// A task that was cancelled has noticed it.
    Cancelled(ExecutionAttemptId),
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
