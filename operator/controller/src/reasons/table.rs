//! The conditions and their reasons.

use super::{ConditionRow, ReasonRow};

/// Nothing is to be done.
const FINE: &str = "—";
const WAIT: &str = "Wait; `status.operation` says which step is being done";

const fn row(
    status: &'static str,
    reason: &'static str,
    meaning: &'static str,
    remedy: &'static str,
) -> ReasonRow {
    ReasonRow {
        status,
        reason,
        meaning,
        remedy,
    }
}

/// All conditions, in the order of the status.
pub const CONDITIONS: &[ConditionRow] = &[
    ConditionRow {
        kind: "Accepted",
        meaning: "The spec and the annotations can be acted on.",
        reasons: &[
            row("True", "Valid", "They are valid.", FINE),
            row(
                "False",
                "Invalid",
                "The spec breaks a rule, which the message names with its field. What runs goes on \
                 as if nothing had been edited.",
                "Edit the field that the message names",
            ),
            row(
                "False",
                "ForeignOperator",
                "Two operators are to look after the job's namespace. The first one does, and the \
                 other one leaves the job alone.",
                "Narrow the chart's `watchNamespaces` of one of them",
            ),
            row(
                "False",
                "SecretMissing",
                "A pod waits for a Secret, or for a key in one, that is not there, as its node says: \
                 the operator itself reads no Secrets. What runs goes on as if nothing had been \
                 edited.",
                "Make the Secret that the message names, or name another one in the field beside it: \
                 the pod goes on by itself within two minutes",
            ),
            row(
                "False",
                "InvalidAnnotation",
                "An annotation `weir.dev/…` has a value that makes no sense. It is passed over; the \
                 spec is acted on.",
                "`kubectl annotate` it anew, or remove it",
            ),
        ],
    },
    ConditionRow {
        kind: "Ready",
        meaning: "The job runs, with the newest spec.",
        reasons: &[
            row("True", "Running", "All subtasks run.", FINE),
            row(
                "False",
                "EarlierSpec",
                "The job runs, but not with the newest spec: that is invalid, was rolled back, or \
                 its turn has not come.",
                "See `Accepted` and `RolledBack`",
            ),
            row("False", "Pending", "Nothing has been started yet.", FINE),
            row("False", "Deploying", "The pods are being started.", WAIT),
            row(
                "False",
                "Recovering",
                "The job is being started again after a failure, or no JobManager answers.",
                "If it lasts, see `Degraded`, and `kubectl weir logs`",
            ),
            row(
                "False",
                "Upgrading",
                "Another revision takes the running one's place.",
                WAIT,
            ),
            row(
                "False",
                "RollingBack",
                "The last stable revision returns.",
                WAIT,
            ),
            row(
                "False",
                "Suspending",
                "The job is being stopped with a savepoint.",
                WAIT,
            ),
            row(
                "False",
                "Suspended",
                "`spec.suspend` is `true`.",
                "Set it to `false` to resume",
            ),
            row(
                "False",
                "Finished",
                "The job came to the end of its input. It is never started again by itself.",
                "To run it again, change the spec or raise `spec.restartNonce`",
            ),
            row(
                "False",
                "Failed",
                "The job failed for good. It is never started again by itself.",
                "Mend what `status.lastError` names, then change the spec or raise \
                 `spec.restartNonce`",
            ),
            row(
                "False",
                "Cancelled",
                "A person cancelled the job through its REST interface.",
                "To run it again, raise `spec.restartNonce`",
            ),
            row("False", "Deleting", "The StreamJob is being deleted.", WAIT),
        ],
    },
    ConditionRow {
        kind: "Progressing",
        meaning: "An operation is open; the message names its step.",
        reasons: &[
            row("False", "Idle", "No operation is open.", FINE),
            row(
                "True",
                "Deploy",
                "A job of which nothing runs is being started.",
                WAIT,
            ),
            row(
                "True",
                "Upgrade",
                "Another revision takes the running one's place.",
                WAIT,
            ),
            row("True", "Rescale", "The parallelism changes.", WAIT),
            row(
                "True",
                "Restart",
                "The same revision is being started anew.",
                WAIT,
            ),
            row(
                "True",
                "Restore",
                "The job is being started from the snapshot that was named.",
                WAIT,
            ),
            row(
                "True",
                "Rollback",
                "The last stable revision returns.",
                WAIT,
            ),
            row(
                "True",
                "Suspend",
                "The job is being stopped with a savepoint.",
                WAIT,
            ),
            row(
                "True",
                "Savepoint",
                "A savepoint is being taken; the job goes on.",
                WAIT,
            ),
            row(
                "True",
                "Checkpoint",
                "A checkpoint is being taken; the job goes on.",
                WAIT,
            ),
            row("True", "Delete", "The StreamJob is being deleted.", WAIT),
        ],
    },
    ConditionRow {
        kind: "Stable",
        meaning: "The revision that runs has proved itself: a rollback would return to it.",
        reasons: &[
            row(
                "True",
                "Proved",
                "It has run for `spec.rollback.minStable` and completed \
                 `minCheckpoints` checkpoints.",
                FINE,
            ),
            row(
                "False",
                "NotProved",
                "It has not yet, or it does not run.",
                FINE,
            ),
        ],
    },
    ConditionRow {
        kind: "Degraded",
        meaning: "The job needs attention, though the operator goes on by itself.",
        reasons: &[
            row("False", "AsExpected", "Nothing needs attention.", FINE),
            row(
                "True",
                "OperationFailed",
                "An operation failed and is tried again; the message says why and when.",
                "Mend the cause. To give the operation up, undo the edit, or set \
                 `weir.dev/abort-operation` to its id",
            ),
            row(
                "True",
                "PodRefused",
                "The API server refuses to make a pod, or another object that the job's pods need: \
                 for want of quota or of the service account, by a policy of the cluster, or because \
                 a pod template is not what a pod may be.",
                "See the message: raise the quota, make what it names, or edit the spec",
            ),
            row(
                "True",
                "PodNotRunning",
                "A pod can't be scheduled, its image can't be had, a volume of it can't be mounted, or \
                 its process keeps ending. It may be one of an upgrade that comes up beside the job, \
                 which then runs on as it was.",
                "`kubectl describe pod` of the pod that the message names",
            ),
            row(
                "True",
                "RestartLoop",
                "The job was started again `spec.health.restartThreshold` times within \
                 `restartWindow`.",
                "The message has the last failure; mend it and apply the new spec",
            ),
            row(
                "True",
                "Recovering",
                "The job is being started again after a failure, or no JobManager answers.",
                "If it lasts: `kubectl weir logs`",
            ),
            row(
                "True",
                "NoCheckpoints",
                "No checkpoint completes: a failure would make the job read much again.",
                "See `CheckpointsHealthy`",
            ),
            row(
                "True",
                "Failed",
                "The job failed for good.",
                "Mend what `status.lastError` names, then change the spec or raise \
                 `spec.restartNonce`",
            ),
        ],
    },
    ConditionRow {
        kind: "Stalled",
        meaning: "Nothing will happen until a person acts; the message says how.",
        reasons: &[
            row("False", "AsExpected", "Nothing waits for a person.", FINE),
            row(
                "True",
                "NotRunning",
                "A revision does not come to run, and there is none to return to, or none returns \
                 by itself: `spec.rollback.enabled` is `false`, or a person gave the rollback up.",
                "Edit the spec, or repair what the message names; `kubectl weir rollback` returns \
                 to a revision that is kept",
            ),
            row(
                "True",
                "ForeignOwner",
                "A newer deployment than this StreamJob's has the job's state: another StreamJob \
                 uses the same `spec.stateId`, or this one's status is of a backup.",
                "Remove the other one, then raise `spec.restartNonce`",
            ),
            row(
                "True",
                "RevisionMissing",
                "The spec that the operation leads to is not kept any more.",
                "Edit the spec to what is to run, and set `weir.dev/abort-operation` to the \
                 operation's id",
            ),
            row(
                "True",
                "StateMissing",
                "The status remembers checkpoints, or `spec.restore.requireState` is `true`, and the \
                 job's storage has none: they were deleted, or it is another bucket. Nothing is \
                 started with no state.",
                "Bring them back; or name a savepoint in `spec.restore.path`, or say \
                 `spec.restore.from: None`, and raise `spec.restore.nonce`",
            ),
            row(
                "True",
                "LatestUnreadable",
                "The newest snapshot, or what names it, is there and can't be read: objects of it \
                 were lost or damaged. No revision is to blame, so none is rolled back, and the \
                 job never goes back by itself to an older one: its results would be published \
                 again.",
                "Bring back what the message names; or name another snapshot: `spec.restore.from: \
                 Path`, its folder in `spec.restore.path`, and another `spec.restore.nonce`",
            ),
            row(
                "True",
                "StorageUnreachable",
                "The job is to be started, and its storage could not be reached for a quarter of an \
                 hour. It is never started without its state.",
                "Mend the storage, its address or its credentials: the message has the cause",
            ),
            row(
                "True",
                "RollbackWouldRewind",
                "The last stable revision can't go on from the newest snapshot, and an older one \
                 would publish results again.",
                "Edit the spec to a revision that can, or name an older snapshot in `spec.restore` \
                 and raise `spec.restore.nonce`; `weir.dev/abort-operation` keeps what runs",
            ),
            row(
                "True",
                "StatusTampered",
                "The status names another deployment than the one that runs, and what that was made \
                 from is not kept any more. The job is left alone.",
                "Put `status.deployment` right with `kubectl edit --subresource=status`",
            ),
            row(
                "True",
                "StatusUnreadable",
                "A newer operator, or a person, wrote into the status what this operator does not \
                 know. The job is left alone.",
                "Install the newer operator again, or put the field right with `kubectl edit \
                 --subresource=status`",
            ),
            row(
                "True",
                "SavepointRequired",
                "The StreamJob is being deleted, `spec.onDelete.savepoint` is `Required`, and there \
                 is no savepoint. The job goes on, and it is tried again.",
                "Mend what keeps the job from taking one, or set `weir.dev/force-delete` to `true`: \
                 the checkpoints stay",
            ),
        ],
    },
    ConditionRow {
        kind: "CheckpointsHealthy",
        meaning: "Checkpoints complete in time. There is no such condition where checkpoints are \
                  off, or the job is not to run.",
        reasons: &[
            row(
                "True",
                "Progress",
                "The newest one is younger than \
                 `spec.health.checkpointProgressWindow`.",
                FINE,
            ),
            row(
                "False",
                "NoProgress",
                "None has completed for that long.",
                "`kubectl weir logs` of the JobManager; the storage; back-pressure; \
                 `spec.checkpoint.timeout`",
            ),
            row(
                "Unknown",
                "NoJobManager",
                "No JobManager answers.",
                "If it lasts, see `Degraded`",
            ),
        ],
    },
    ConditionRow {
        kind: "StorageReachable",
        meaning: "The job's storage could be used when it was last looked at. There is no such \
                  condition before that, and none where nobody will look again: the job rests, or \
                  takes no checkpoints.",
        reasons: &[
            row(
                "True",
                "Reached",
                "A JobManager has read from it and written to it.",
                FINE,
            ),
            row(
                "False",
                "StorageUnreachable",
                "A new JobManager can't reach it, or may not. The operation waits, and the job runs \
                 on as it was.",
                "Mend the storage, its address or its credentials: the message has the cause. A \
                 newer spec takes the operation's place",
            ),
            row(
                "False",
                "CheckpointsNotStored",
                "The storage has not taken the running job's newest checkpoint: it can't be reached, \
                 does not let the job write, or is full. The message has the first checkpoint that \
                 failed so, and its cause. The job runs on, as far as \
                 `spec.checkpoint.tolerableFailures` lets it.",
                "Mend the storage, its address or its credentials. It is `True` again once a \
                 checkpoint has completed",
            ),
        ],
    },
    ConditionRow {
        kind: "StateCompatible",
        meaning: "The newest spec can take over the job's state, as was found out before the \
                  running job is stopped for it.",
        reasons: &[
            row(
                "True",
                "Compatible",
                "The new JobManager has checked the newest snapshot against its program, or the \
                 spec that could not take over is undone: the newest one is what runs.",
                FINE,
            ),
            row(
                "False",
                "StateIncompatible",
                "The new revision can't go on from the state, or refuses its own arguments. The job \
                 runs on as it was, and the revision is not tried again.",
                "Edit the spec as the message says: for example give an operator its former uid, or \
                 set `spec.job.allowNonRestoredState`",
            ),
        ],
    },
    ConditionRow {
        kind: "RolledBack",
        meaning: "The newest spec was tried and replaced by the last stable one. There is no such \
                  condition before the first rollback.",
        reasons: &[
            row(
                "True",
                "RolledBack",
                "It did not run, or did not prove itself in time; the message says which.",
                "Mend the spec and apply it: the revision that failed is not tried again",
            ),
            row("False", "Superseded", "A newer spec runs.", FINE),
        ],
    },
    ConditionRow {
        kind: "Suspended",
        meaning: "The job is stopped with a savepoint and has no pods.",
        reasons: &[
            row(
                "True",
                "Suspended",
                "`spec.suspend` is `true`.",
                "Set it to `false` to resume",
            ),
            row("False", "NotSuspended", "It is not.", FINE),
        ],
    },
    ConditionRow {
        kind: "ReconciliationPaused",
        meaning: "The operator leaves the job's pods and objects alone.",
        reasons: &[
            row(
                "True",
                "Paused",
                "The annotation `weir.dev/paused` is `true`.",
                "Remove it to go on",
            ),
            row("False", "NotPaused", "It is not.", FINE),
        ],
    },
    ConditionRow {
        kind: "SavepointInProgress",
        meaning: "A savepoint or checkpoint that was asked for is being taken.",
        reasons: &[
            row(
                "True",
                "InProgress",
                "The message names its operation.",
                WAIT,
            ),
            row("False", "None", "There is none.", FINE),
        ],
    },
];
