//! No operation is open: is one to be begun?

use weir_crd::{OperationType, Phase, SnapshotState, StreamJobSpec};

use super::draft::{Draft, keeps_state};
use super::settings::restore_is_asked;
use super::{Action, EventKind, awaiting, retention, schedule, snapshots};
use crate::conditions::{Problem, SILENCE_MAX, has_proved_itself};
use crate::observe::RunState;
use crate::{names, revision};

/// Why a job without a storage takes no snapshot.
const WITHOUT_STORAGE: &str = "the job keeps no checkpoints: set spec.storage, and ask again with \
                               another nonce once the job runs with it";

pub(super) fn run(draft: &mut Draft<'_>) {
    let Ok(wanted) = &draft.wanted else {
        // What runs goes on as if nothing had been edited.
        if let Some(deployment) = active(draft) {
            look_after(draft, deployment);
        }
        return;
    };
    let spec = wanted.spec;
    let phase = draft.status.phase;
    if phase.is_some_and(Phase::is_terminal) {
        return over(draft, spec);
    }
    if phase == Some(Phase::Suspended) {
        schedule::forget(draft);
        draft.remove_pods(&[]);
        draft.act(Action::RemoveOthers { keep: Vec::new() });
        if !spec.suspend {
            draft.begin(OperationType::Deploy, "the job is resumed");
        }
        return;
    }
    let Some(deployment) = draft.status.deployment else {
        if spec.suspend {
            draft.status.phase = Some(Phase::Suspended);
        } else {
            draft.begin(OperationType::Deploy, "the job is new");
        }
        return;
    };
    if !look_after(draft, deployment) {
        return;
    }
    if change(draft, spec) {
        return;
    }
    snapshots(draft);
    if draft.status.operation.is_none() {
        schedule::run(draft);
    }
    if draft.status.operation.is_none() {
        retention::run(draft, deployment);
    }
}

/// The deployment that is to run.
fn active(draft: &Draft<'_>) -> Option<i64> {
    let rests = |phase: Phase| phase.is_terminal() || phase == Phase::Suspended;
    let deployment = draft.status.deployment;
    deployment.filter(|_| !draft.status.phase.is_some_and(rests))
}

/// The job has ended by itself. It runs again only if a person asks for it.
fn over(draft: &mut Draft<'_>, spec: &StreamJobSpec) {
    schedule::forget(draft);
    draft.remove_pods(&[]);
    draft.act(Action::RemoveOthers { keep: Vec::new() });
    if spec.suspend {
        return;
    }
    // What failed may be replaced by what ran before. The rest has come to its end.
    if draft.status.phase == Some(Phase::Failed) && asked_rollback(draft) {
        return;
    }
    let handled = &draft.status.handled;
    let whole = Some(revision(spec).whole);
    let known = [
        &draft.status.current_revision,
        &draft.status.failed_revision,
    ];
    let asked = if !known.contains(&&whole) {
        Some("the spec has changed")
    } else if spec.restart_nonce != handled.restart {
        Some("spec.restartNonce has changed")
    } else if restore_is_asked(draft) {
        Some("spec.restore.nonce has changed")
    } else {
        None
    };
    if let Some(reason) = asked {
        draft.begin(OperationType::Deploy, reason);
        return;
    }
    let ended = draft.status.ended_at.clone().unwrap_or_default();
    let expired = spec.ttl_after_finished.is_some_and(|ttl| {
        i64::try_from(ttl.get().as_millis()).is_ok_and(|ttl| draft.since(&ended) >= ttl)
    });
    if expired {
        draft.act(Action::DeleteJob);
    }
}

/// Looks after the job that runs. False if that is all that can be done.
fn look_after(draft: &mut Draft<'_>, deployment: i64) -> bool {
    if let Some(phase) = draft.terminal(deployment) {
        match phase == Phase::Failed && is_unanswered(draft) && awaiting::can_roll_back(draft) {
            true => awaiting::roll_back(draft, "the new revision failed before it was stable"),
            false => draft.end(phase),
        }
        return false;
    }
    if let Some(found) = draft.superseded(deployment) {
        draft.problem = Some(Problem::stalled(
            "ForeignOwner",
            format!(
                "deployment {found} has the job's state, this is {deployment}: another StreamJob \
                 uses the same spec.stateId, or this one's status is of a backup. Remove the \
                 other one, then raise spec.restartNonce"
            ),
        ));
        return draft.wanted.is_ok();
    }
    let stopped = draft
        .report(deployment)
        .is_some_and(|report| matches!(report.run_state, Some(RunState::Stopped(_))));
    if stopped && draft.wanted.is_ok() {
        // It was to be stopped, and that was given up too late.
        draft.begin(OperationType::Deploy, "the job was stopped from outside");
        return false;
    }
    draft.ensure(deployment);
    // A container that died of it once keeps its report: what has run since says otherwise, even if
    // it does not answer for a moment.
    if draft.status.running_since.is_none() || draft.observed.silent_for >= SILENCE_MAX {
        awaiting::latest_is_unreadable(draft, deployment);
    }
    true
}

/// Whether a person has not said yet what is to become of a revision that has failed: by another
/// spec, a snapshot to begin with, a revision to return to, or that the job is to rest.
fn is_unanswered(draft: &Draft<'_>) -> bool {
    let current = draft.status.current_revision.as_ref();
    let edited = draft
        .wanted
        .as_ref()
        .is_ok_and(|wanted| wanted.spec.suspend || Some(&wanted.revision.whole) != current);
    let asked = draft.requests.rollback.as_ref();
    let returns = asked.is_some() && asked != draft.status.handled.rollback.as_ref();
    !edited && !returns && !restore_is_asked(draft)
}

/// Begins an operation that replaces the running job, if there is a reason.
fn change(draft: &mut Draft<'_>, spec: &StreamJobSpec) -> bool {
    if spec.suspend {
        draft.begin(OperationType::Suspend, "spec.suspend is true");
        return true;
    }
    if draft.waits_for_retry() {
        return true;
    }
    let handled = draft.status.handled.clone();
    if restore_is_asked(draft) {
        draft.begin(OperationType::Restore, "spec.restore.nonce has changed");
        return true;
    }
    if asked_rollback(draft) {
        return true;
    }
    let revision = revision(spec);
    let current = draft.status.current_revision.as_deref();
    let failed = draft.status.failed_revision.as_deref();
    if current != Some(&revision.whole) && failed != Some(&revision.whole) {
        let shape = draft.current_spec().map(|now| crate::revision(now).shape);
        match shape.as_ref() == Some(&revision.shape) {
            true => draft.begin(OperationType::Rescale, "the parallelism has changed"),
            false => draft.begin(OperationType::Upgrade, "the spec has changed"),
        };
        return true;
    }
    if spec.restart_nonce != handled.restart {
        draft.status.handled.restart = spec.restart_nonce;
        draft.begin(OperationType::Restart, "spec.restartNonce has changed");
        // The revision that runs, not one that has failed.
        let current = draft.status.current_revision.clone();
        draft.change(|operation| operation.target_revision = current);
        return true;
    }
    unstable(draft, spec)
}

/// Returns to an earlier revision if a person asks for it, once for each nonce, in place of the
/// operation that is open.
pub(super) fn asked_rollback(draft: &mut Draft<'_>) -> bool {
    let handled = draft.status.handled.rollback.as_ref();
    let asked = draft.requests.rollback.as_ref();
    let Some(nonce) = asked.filter(|nonce| handled != Some(*nonce)).cloned() else {
        return false;
    };
    draft.status.handled.rollback = Some(nonce);
    let to = draft.requests.rollback_to.clone();
    let to = to.or_else(|| draft.status.stable_revision.clone());
    let current = draft.status.current_revision.clone();
    match to {
        Some(to) if draft.observed.revisions.contains_key(&to) && Some(&to) != current.as_ref() => {
            draft.close();
            rollback(draft, to, "a person asked for it");
            true
        }
        _ => {
            let kept: Vec<_> = draft.observed.revisions.keys().cloned().collect();
            let text = format!(
                "there is no other stable revision to return to; name one with the annotation \
                 weir.dev/rollback-to. Kept are: {}",
                kept.join(", ")
            );
            draft.fail("RollbackRefused", text);
            false
        }
    }
}

/// Returns to a revision. What it replaces is not tried again.
pub(super) fn rollback(draft: &mut Draft<'_>, to: String, reason: &str) {
    draft
        .status
        .failed_revision
        .clone_from(&draft.status.current_revision);
    draft.begin(OperationType::Rollback, reason);
    draft.status.update_revision = Some(to.clone());
    draft.change(|operation| operation.target_revision = Some(to));
}

/// A revision that has not become stable in time is replaced by the last one that was.
fn unstable(draft: &mut Draft<'_>, spec: &StreamJobSpec) -> bool {
    // No revision is to blame for what waits for a person.
    if draft.problem.is_some() || !awaiting::can_roll_back(draft) {
        return false;
    }
    let Some(restore) = &draft.status.restore else {
        return false;
    };
    let runs = draft
        .status
        .deployment
        .zip(draft.status.running_since.as_ref());
    if runs.is_some_and(|(deployment, since)| has_proved_itself(draft, deployment, since)) {
        return false;
    }
    let bounds = &spec.rollback;
    let checkpoints = spec.checkpoint.interval.get() * bounds.min_checkpoints;
    let time = bounds.readiness_timeout.get() + bounds.min_stable.get() + checkpoints;
    let late = i64::try_from(time.as_millis()).is_ok_and(|time| draft.since(&restore.at) > time);
    if late {
        awaiting::roll_back(draft, "the new revision did not become stable in time");
    }
    late
}

/// Savepoints and checkpoints that a person asks for.
fn snapshots(draft: &mut Draft<'_>) {
    let handled = draft.status.handled.clone();
    for (kind, word, asked, handled) in [
        (
            OperationType::Savepoint,
            "savepoint",
            draft.requests.savepoint.clone(),
            handled.savepoint,
        ),
        (
            OperationType::Checkpoint,
            "checkpoint",
            draft.requests.checkpoint.clone(),
            handled.checkpoint,
        ),
    ] {
        let Some(nonce) = asked.filter(|nonce| Some(nonce) != handled.as_ref()) else {
            continue;
        };
        let last = draft
            .status
            .savepoint
            .as_ref()
            .and_then(|s| s.last.as_ref());
        let retried = last.is_some_and(|last| {
            last.nonce.as_ref() == Some(&nonce) && last.state == SnapshotState::Failed
        });
        if retried {
            continue;
        }
        if draft.current_spec().is_some_and(|spec| !keeps_state(spec)) {
            snapshots::refuse(draft, kind, nonce, WITHOUT_STORAGE);
            continue;
        }
        draft.begin(
            kind,
            &format!("the annotation weir.dev/{word}-nonce is {nonce}"),
        );
        let id = names::snapshot(word, &nonce);
        draft.change(|operation| {
            operation.id = id;
            operation.nonce = Some(nonce);
        });
        return;
    }
    if draft.status.retry.is_some() && !draft.waits_for_retry() {
        draft.status.retry = None;
        draft.tell(
            EventKind::Normal,
            "Recovered",
            "nothing is left to be tried again",
        );
    }
}
