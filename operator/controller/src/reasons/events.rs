//! The reasons of events.

use super::EventRow;

const fn event(reason: &'static str, kind: &'static str, meaning: &'static str) -> EventRow {
    EventRow {
        reason,
        kind,
        meaning,
    }
}

/// All reasons of events.
pub const EVENTS: &[EventRow] = &[
    event(
        "OperationStarted",
        "Normal",
        "An operation was begun; the message says which, and why.",
    ),
    event(
        "OperationAborted",
        "Warning",
        "An operation was given up, as `weir.dev/abort-operation` asked.",
    ),
    event(
        "OperationSuperseded",
        "Normal",
        "An operation that had stopped nothing yet gives way to a newer spec, or to a person who wants what runs.",
    ),
    event(
        "StrategyChanged",
        "Warning",
        "There is no room for old and new pods at once: the operation goes on without, or without \
         all, new pods beside the old ones.",
    ),
    event(
        "NotWarmedUp",
        "Warning",
        "New pods did not come up in time. The job runs on as it was, and the operation is tried \
         again.",
    ),
    event(
        "ForeignOperator",
        "Normal, Warning",
        "Another operator looks after the job, and this one leaves it alone; or that one is gone, and \
         this one takes over.",
    ),
    event(
        "StatusTampered",
        "Warning",
        "Somebody has changed the status so that it contradicts the pods. It was put right.",
    ),
    event(
        "Running",
        "Normal",
        "An operation has led to a running job; the message names the snapshot that it started from.",
    ),
    event("Stable", "Normal", "The revision has proved itself."),
    event(
        "Suspended",
        "Normal",
        "The job is stopped with a savepoint and has no pods.",
    ),
    event(
        "JobEnded",
        "Normal, Warning",
        "The job has finished, failed or was cancelled. It is never started again by itself.",
    ),
    event(
        "JobRestarted",
        "Warning",
        "The job was started again after a failure, which the message names.",
    ),
    event(
        "PhaseChanged",
        "Normal, Warning",
        "The job's phase has changed by itself: it recovers, or runs again.",
    ),
    event(
        "SnapshotCompleted",
        "Normal",
        "A savepoint or checkpoint that was asked for is complete; the message has its folder.",
    ),
    event(
        "SnapshotFailed",
        "Warning",
        "A savepoint or checkpoint that was asked for was given up, or refused, as to a job at rest; the message says why. What runs goes on.",
    ),
    event(
        "SavepointFailed",
        "Warning",
        "There is no savepoint to stop the job with; it goes on, and it is tried again.",
    ),
    event("Recovered", "Normal", "Nothing is left to be tried again."),
    event(
        "RollingBack",
        "Warning",
        "The new revision failed: the last stable one returns.",
    ),
    event(
        "RollbackRefused",
        "Warning",
        "The rollback that was asked for leads nowhere, or the job is at rest; the message says which. It is not made up for.",
    ),
    event(
        "DeploymentAdvanced",
        "Normal",
        "The job's storage knows more of the job than the status, or less: another deployment goes on \
         from its newest snapshot, whatever `spec.restore` says of a first start, or starts as that \
         says where there is none.",
    ),
    event(
        "StateDeleted",
        "Normal",
        "The job's checkpoints were deleted, as `spec.onDelete.state` asks for.",
    ),
    event(
        "StateLeft",
        "Warning",
        "The job's checkpoints could not be deleted in time: the StreamJob goes, they stay.",
    ),
    event(
        "SpecRefused",
        "Warning",
        "`Accepted` has become `False`: the spec, or an annotation, is not acted on, or a Secret that \
         it names is not there.",
    ),
    event("Degraded", "Warning", "`Degraded` has become `True`."),
    event(
        "Stalled",
        "Warning",
        "`Stalled` has become `True`: a person has to act.",
    ),
    event(
        "CheckpointsUnhealthy",
        "Warning",
        "`CheckpointsHealthy` has become `False`.",
    ),
    event(
        "StorageUnreachable",
        "Warning",
        "`StorageReachable` has become `False`.",
    ),
    event(
        "StateIncompatible",
        "Warning",
        "`StateCompatible` has become `False`.",
    ),
    event(
        "Paused",
        "Warning",
        "`ReconciliationPaused` has become `True`.",
    ),
    event(
        "ConditionCleared",
        "Normal",
        "One of the last seven is as it should be again.",
    ),
];
