//! No operation is open: is one to be begun?

use weir_crd::{OperationType, Phase, StreamJobSpec};

use super::draft::Draft;
use super::settings::restore_is_asked;
use super::{Action, EventKind, awaiting, requests, retention, schedule};
use crate::conditions::{Problem, SILENCE_MAX, has_proved_itself};
use crate::observe::RunState;
use crate::revision;

pub(super) fn run(draft: &mut Draft<'_>) {
    requests::forget_what_was_passed_over(draft);
    let wanted = draft.wanted.as_ref().ok();
    // None: it breaks a rule, and what there is goes on as if nothing had been edited.
    let spec = wanted.map(|wanted| wanted.spec);
    let phase = draft.status.phase;
    if let Some(phase) = phase.filter(|phase| phase.is_terminal()) {
        return over(draft, phase, spec);
    }
    if phase == Some(Phase::Suspended) {
        at_rest(draft);
        requests::refuse_at_rest(draft, Phase::Suspended);
        if spec.is_some_and(|spec| !spec.suspend) {
            draft.begin(OperationType::Deploy, "the job is resumed");
        }
        return;
    }
    let Some(deployment) = draft.status.deployment else {
        match spec {
            Some(spec) if spec.suspend => draft.status.phase = Some(Phase::Suspended),
            Some(_) => drop(draft.begin(OperationType::Deploy, "the job is new")),
            None => {}
        }
        return;
    };
    if !look_after(draft, deployment) {
        return;
    }
    let replaced = match spec {
        Some(spec) => change(draft, spec),
        None => requests::rollback(draft),
    };
    if replaced {
        return;
    }
    requests::snapshot(draft);
    if draft.status.operation.is_some() {
        return;
    }
    if spec.is_some() {
        nothing_is_left(draft);
        schedule::run(draft);
    }
    if draft.status.operation.is_none() {
        retention::run(draft, deployment);
    }
}

/// The job has no pods, and takes no savepoints.
fn at_rest(draft: &mut Draft<'_>) {
    schedule::forget(draft);
    draft.remove_pods(&[]);
    draft.act(Action::RemoveOthers { keep: Vec::new() });
}

/// An operation that had failed was not begun again.
fn nothing_is_left(draft: &mut Draft<'_>) {
    if draft.status.retry.is_some() && !draft.waits_for_retry() {
        draft.status.retry = None;
        draft.tell(
            EventKind::Normal,
            "Recovered",
            "nothing is left to be tried again",
        );
    }
}

/// The job has ended by itself. It runs again only if a person asks for it.
fn over(draft: &mut Draft<'_>, phase: Phase, spec: Option<&StreamJobSpec>) {
    at_rest(draft);
    let rests = spec.is_some_and(|spec| spec.suspend);
    // What failed may be replaced by what ran before. The rest has come to its end.
    if phase == Phase::Failed && !rests && requests::rollback(draft) {
        return;
    }
    requests::refuse_at_rest(draft, phase);
    let Some(spec) = spec.filter(|spec| !spec.suspend) else {
        return;
    };
    let handled = &draft.status.handled;
    let whole = Some(revision(spec).whole);
    let known = [
        &draft.status.current_revision,
        &draft.status.failed_revision,
        &handled.passed_revision,
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
    if !restore_is_asked(draft) && requests::rollback(draft) {
        return true;
    }
    if draft.waits_for_retry() {
        return false;
    }
    let handled = draft.status.handled.clone();
    if restore_is_asked(draft) {
        draft.begin(OperationType::Restore, "spec.restore.nonce has changed");
        return true;
    }
    let revision = revision(spec);
    let known = [
        &draft.status.current_revision,
        &draft.status.failed_revision,
        &handled.passed_revision,
    ];
    if !known.contains(&&Some(revision.whole.clone())) {
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
