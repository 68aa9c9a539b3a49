//! The new deployment is there: its job is to run.

use std::time::Duration;

use weir_crd::{Operation, OperationType, Phase, Restored, Step};

use super::draft::Draft;
use super::steps::exceeds;
use super::{Action, EventKind, begin};
use crate::conditions::{Found, Problem};
use crate::observe::RunState;

/// After this long without the job's storage a person is told to look.
const STORAGE_AWAY: Duration = Duration::from_mins(15);

pub(super) fn run(draft: &mut Draft<'_>, operation: &Operation) {
    let Some(deployment) = operation.to_deployment else {
        return draft.close();
    };
    if let Some(manager) = draft
        .manager(deployment)
        .filter(|manager| manager.is_running())
    {
        return has_started(draft, operation, manager.restored, manager.epoch);
    }
    if let Some(phase) = draft.terminal(deployment) {
        let failed = phase == Phase::Failed;
        return match failed && can_roll_back(draft, operation) {
            true => roll_back(draft, "the job failed with the new revision"),
            false => draft.end(phase),
        };
    }
    let taken = draft.superseded(deployment);
    if let Some(found) = taken.or_else(|| stopped(draft, deployment)) {
        // The status knew nothing of what the storage remembers: it was lost or is of a backup.
        let next = draft.issue_above(found);
        draft.change(|operation| {
            operation.from_deployment = Some(deployment);
            operation.to_deployment = Some(next);
        });
        draft.tell(
            EventKind::Normal,
            "DeploymentAdvanced",
            format!("the job's storage knows deployment {found}: starting {next}"),
        );
        return draft.go_on(Step::Removing);
    }
    draft.ensure(deployment);
    if newer_spec(draft, operation) {
        return;
    }
    let Some(spec) = draft.policy() else {
        return;
    };
    let text = waits_for(draft, deployment);
    draft.change(|operation| operation.message.clone_from(&text));
    if storage_is_away(draft, operation, deployment, &text) || state_is_missing(draft, deployment) {
        return;
    }
    let late = exceeds(
        draft.since(&operation.step_started_at),
        spec.rollback.readiness_timeout.get(),
    );
    if !late {
        return;
    }
    if spec.rollback.enabled && can_roll_back(draft, operation) {
        return roll_back(draft, "the new revision did not run in time");
    }
    draft.problem = Some(Problem::stalled(
        "NotRunning",
        format!("the job does not run: {text}. Edit the spec, or repair what it waits for"),
    ));
}

/// The deployment, if its job was stopped: by a StreamJob of this name that was there before, or
/// from outside. It never runs again under this number.
fn stopped(draft: &Draft<'_>, deployment: i64) -> Option<i64> {
    let report = draft.report(deployment)?;
    let own = report.deployment == Some(deployment);
    let stopped = matches!(
        report.run_state,
        Some(RunState::Stopped(_) | RunState::Deleted)
    );
    (own && stopped).then_some(deployment)
}

/// The status remembers snapshots, and the storage has none: nothing is started, least of all with
/// no state.
fn state_is_missing(draft: &mut Draft<'_>, deployment: i64) -> bool {
    let leads = draft.manager(deployment).is_some();
    let report = draft.report(deployment).filter(|_| !leads);
    let Some(report) = report.filter(|report| report.state_missing) else {
        return false;
    };
    let error = report.error.clone().unwrap_or_default();
    draft.problem = Some(Problem::stalled(
        "StateMissing",
        format!(
            "the job has had checkpoints, and its storage has none any more: {error}. Bring them \
             back; or make the StreamJob anew, with another spec.stateId or an empty bucket, to \
             start with no state"
        ),
    ));
    true
}

/// No revision comes to run without its state, so none is to blame.
fn storage_is_away(
    draft: &mut Draft<'_>,
    operation: &Operation,
    deployment: i64,
    text: &str,
) -> bool {
    // One that leads has reached it since.
    let leads = draft.manager(deployment).is_some();
    let report = draft.report(deployment).filter(|_| !leads);
    if !report.is_some_and(|report| report.storage_unreachable) {
        return false;
    }
    draft.find(Found::Storage, false, "StorageUnreachable", text);
    if exceeds(draft.since(&operation.step_started_at), STORAGE_AWAY) {
        draft.problem = Some(Problem::stalled(
            "StorageUnreachable",
            format!(
                "the job can't be started without its state, and never is with none: {text}. Mend \
                 the storage, its address or its credentials"
            ),
        ));
    }
    true
}

/// The newest spec wins over one that has not come to run.
fn newer_spec(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let Ok(wanted) = &draft.wanted else {
        return false;
    };
    let edited = draft.observed.job.generation != operation.target_generation;
    if !edited {
        return false;
    }
    let current = draft.status.current_revision.as_ref();
    if wanted.spec.suspend {
        draft.close();
        draft.begin(OperationType::Suspend, "spec.suspend is true");
        return true;
    }
    let failed = draft.status.failed_revision.as_ref();
    let other = current != Some(&wanted.revision.whole) && failed != Some(&wanted.revision.whole);
    if other {
        draft.close();
        draft.begin(OperationType::Upgrade, "the spec has changed again");
    }
    other
}

pub(super) fn can_roll_back(draft: &Draft<'_>, operation: &Operation) -> bool {
    let stable = draft.status.stable_revision.as_ref();
    let kept = stable.is_some_and(|stable| draft.observed.revisions.contains_key(stable));
    let current = draft.status.current_revision.as_ref();
    let wanted = current.is_some() && draft.status.handled.kept_revision.as_ref() == current;
    kept && !wanted && stable != current && operation.kind != OperationType::Rollback
}

fn roll_back(draft: &mut Draft<'_>, reason: &str) {
    let Some(stable) = draft.status.stable_revision.clone() else {
        return;
    };
    draft.close();
    draft.fail(
        "RollingBack",
        format!("{reason}: returning to revision {stable}"),
    );
    begin::rollback(draft, stable, reason);
}

/// What keeps the job from running, as far as can be seen.
pub(super) fn waits_for(draft: &Draft<'_>, deployment: i64) -> String {
    let mut pods = draft.observed.pods.iter();
    let troubled = pods.find_map(|pod| {
        let own = pod.deployment == deployment;
        draft.trouble(pod).filter(|_| own)
    });
    if let Some(text) = troubled {
        return text;
    }
    match draft.manager(deployment) {
        None => {
            let report = draft.report(deployment);
            match report.and_then(|report| report.error.as_ref()) {
                Some(error) => format!("the JobManager: {error}"),
                None => "no JobManager leads yet".to_owned(),
            }
        }
        Some(manager) => {
            let (all, running) = manager.tasks;
            let failure = manager.last_failure.as_ref();
            let waiting = manager.waiting_for.as_ref().or(failure);
            let waiting = waiting.map_or_else(String::new, |text| format!(": {text}"));
            format!(
                "the job is {}, {running} of {all} subtasks run{waiting}",
                manager.state
            )
        }
    }
}

/// The new job runs.
fn has_started(draft: &mut Draft<'_>, operation: &Operation, from: Option<i64>, epoch: i64) {
    let now = draft.now();
    draft.status.restore = Some(Restored {
        path: operation
            .snapshot_path
            .clone()
            .filter(|_| from == operation.snapshot_id),
        checkpoint_id: from,
        epoch: Some(epoch),
        at: now.clone(),
    });
    draft.status.running_since = Some(now.clone());
    draft.status.retry = None;
    if operation.kind == OperationType::Rollback {
        draft.status.rollback = Some(weir_crd::RolledBack {
            from_revision: draft.status.failed_revision.clone().unwrap_or_default(),
            to_revision: draft.status.current_revision.clone().unwrap_or_default(),
            reason: operation.reason.clone(),
            at: now,
        });
    } else if !failed_is_wanted(draft) {
        draft.status.failed_revision = None;
    }
    let kind = operation.kind;
    let text = match from {
        Some(id) => format!("{kind:?}: the job runs, from snapshot {id}"),
        None => format!("{kind:?}: the job runs, with no state before"),
    };
    draft.tell(EventKind::Normal, "Running", text);
    draft.close();
    prune(draft);
}

/// Whether the spec still asks for the revision that failed, and that is not the one that has come
/// to run.
fn failed_is_wanted(draft: &Draft<'_>) -> bool {
    let failed = draft.status.failed_revision.as_ref();
    let wanted = draft.wanted.as_ref().ok().map(|w| &w.revision.whole);
    failed.is_some() && failed == wanted && failed != draft.status.current_revision.as_ref()
}

/// Specs that no rollback can lead to any more are forgotten.
fn prune(draft: &mut Draft<'_>) {
    let limit = draft.policy().map_or(5, |spec| spec.rollback.history_limit);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if draft.observed.revisions.len() <= limit + 2 {
        return;
    }
    let status = &draft.status;
    let keep = [
        &status.current_revision,
        &status.stable_revision,
        &status.failed_revision,
    ];
    let keep: Vec<_> = keep.into_iter().flatten().cloned().collect();
    draft.act(Action::DropRevisions { keep });
}
