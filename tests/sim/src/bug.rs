//! Bugs of well-known systems, planted one at a time into the simulator's wiring, to show that the
//! simulator finds their kind.

/// A planted bug. `docs/reliability.md` tells where each comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A snapshot that cannot be read just now is passed over, and an older one restored.
    UnreadableIgnored,
    /// A leader that steps down while the job restarts cleans up the pointer, as if it was over.
    PointerCleaned,
    /// A task deletes what it uploaded for a checkpoint when that is given up or it is cancelled.
    TaskDiscards,
    /// The collector deletes what nothing refers to at once, without a grace period.
    NoGrace,
    /// Splits are handed out between the enumerator's snapshot and the readers' trigger.
    SplitsNotHeld,
    /// After a failure, splits that were handed out since the restored checkpoint stay with readers
    /// that are gone.
    SplitsNotGivenBack,
    /// A job that is over is led again after a change of leadership.
    Reanimated,
    /// A commit that fails is logged, and counts as done.
    CommitErrorSwallowed,
    /// Names of results hold no epoch and attempt, and start anew with each.
    NamesReused,
    /// A savepoint counts as the base of the next incremental checkpoint.
    SavepointAsBase,
    /// A subtask without new bytes leaves its older files out of the checkpoint.
    NoNewBytesNoState,
    /// The last record is not flushed before the sink prepares.
    NotFlushed,
    /// Committing again writes the results again.
    CommitNotIdempotent,
    /// Prepared results that no restored snapshot holds are left lying about.
    Lingering,
    /// A request that is repeated begins a second savepoint.
    RequestRepeated,
    /// A write of the pointer whose answer is lost, and which a read does not show, counts as
    /// failed.
    InDoubtIsFailed,
    /// What a task says, and what is said to it, counts by its subtask, whatever its attempt.
    AnyAttempt,
    /// The same, whatever its epoch.
    AnyEpoch,
    /// A channel is known by its two subtasks, whatever their attempts.
    AnyChannel,
    /// A write of the pointer that was called off is repeated, however old its checkpoint is.
    RewrittenLate,
    /// Dirty entries of a checkpoint that was given up are not part of the next.
    AbortedDirtyLost,
    /// Prepared results are committed when the checkpoint is acknowledged, before the pointer.
    CommitTooEarly,
    /// A region that fails while the job is drained starts again alone: it reads on, and what the
    /// others had not read when they were ended stays unread.
    DrainedApart,
    /// A region that fails when the last checkpoint is complete starts again alone, and waits for
    /// ever for others, which have finished, to take part in the next one.
    FinishedLeftBehind,
    /// Time-outs are measured by the wall clock, which may jump.
    WallClock,
    /// What is old by the wall clock is deleted, whatever is under way.
    AgeAlone,
    /// Savepoints are deleted with the checkpoints of a job that is cancelled.
    SavepointsCleared,
}

/// All of them.
pub const BUGS: [Bug; 27] = [
    Bug::UnreadableIgnored,
    Bug::PointerCleaned,
    Bug::TaskDiscards,
    Bug::NoGrace,
    Bug::SplitsNotHeld,
    Bug::SplitsNotGivenBack,
    Bug::Reanimated,
    Bug::CommitErrorSwallowed,
    Bug::NamesReused,
    Bug::SavepointAsBase,
    Bug::NoNewBytesNoState,
    Bug::NotFlushed,
    Bug::CommitNotIdempotent,
    Bug::Lingering,
    Bug::RequestRepeated,
    Bug::InDoubtIsFailed,
    Bug::AnyAttempt,
    Bug::AnyEpoch,
    Bug::AnyChannel,
    Bug::RewrittenLate,
    Bug::AbortedDirtyLost,
    Bug::CommitTooEarly,
    Bug::DrainedApart,
    Bug::FinishedLeftBehind,
    Bug::WallClock,
    Bug::AgeAlone,
    Bug::SavepointsCleared,
];
