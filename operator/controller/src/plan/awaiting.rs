//! The new deployment is there: its job is to run.

use std::cmp::Reverse;
use std::time::Duration;

use weir_crd::{
    Operation, OperationType, Phase, RestoreFrom, Restored, StartFrom, Step, StreamJobSpec,
    UpgradeMode,
};

use super::draft::{Draft, keeps_state};
use super::settings::{
    asks_storage, is_named, leaves_state, restore_is_asked, start_from, wished_start,
};
use super::steps::{exceeds, is_same_start};
use super::{Action, EventKind, begin, requests};
use crate::annotation;
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
        let failed = phase == Phase::Failed && operation.kind != OperationType::Rollback;
        return match failed && can_roll_back(draft) {
            true => roll_back(draft, "the job failed with the new revision"),
            false => draft.end(phase),
        };
    }
    let taken = draft.superseded(deployment);
    if let Some(found) = taken.or_else(|| stopped(draft, deployment)) {
        return advance(draft, operation, deployment, found);
    }
    draft.ensure(deployment);
    if is_replaced(draft, operation) {
        return;
    }
    let Some(spec) = draft.policy() else {
        return;
    };
    if begins(draft, operation, deployment, &spec) {
        return;
    }
    let text = waits_for(draft, deployment);
    draft.change(|operation| operation.message.clone_from(&text));
    if storage_is_away(draft, operation, deployment, &text)
        || state_is_missing(draft, deployment)
        || latest_is_unreadable(draft, deployment)
    {
        return;
    }
    let late = exceeds(
        draft.since(&operation.step_started_at),
        spec.rollback.readiness_timeout.get(),
    );
    if !late {
        return;
    }
    if operation.kind != OperationType::Rollback && can_roll_back(draft) {
        return roll_back(draft, "the new revision did not run in time");
    }
    let next = match stable_to_return_to(draft) {
        Some(stable) => format!(
            "repair what it waits for, or return to revision {stable} by another value of the \
             annotation {}",
            annotation::ROLLBACK_NONCE
        ),
        None => "or repair what it waits for".to_owned(),
    };
    draft.problem = Some(Problem::stalled(
        "NotRunning",
        format!("the job does not run: {text}. Edit the spec, {next}"),
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

/// The status knew nothing of what the storage remembers: it was lost, it is of a backup, or the
/// job comes from another cluster. Another deployment goes on from the newest snapshot.
///
/// That is so on purpose also where `spec.restore` names another one for a first start: a manifest
/// may still name what the job began with long ago, and all its results since then would be
/// published once more. Who means that raises the nonce.
fn advance(draft: &mut Draft<'_>, operation: &Operation, deployment: i64, found: i64) {
    let latest = draft.report(deployment).and_then(|it| it.latest.clone());
    let latest = latest.filter(|_| !leaves_state(operation));
    let next = draft.issue_above(found);
    draft.change(|operation| {
        operation.from_deployment = Some(deployment);
        operation.to_deployment = Some(next);
    });
    let mut text = format!("the job's storage knows deployment {found}: starting {next}");
    if let Some(latest) = latest {
        text.push_str(&format!(" from snapshot {}", latest.id));
        let told = operation.start_from.as_ref();
        if told.is_some_and(|told| told.from != RestoreFrom::Latest) {
            text.push_str(
                ". What spec.restore says is for a job without state: to start so all the same, \
                 raise spec.restore.nonce",
            );
        }
        draft.know(latest);
        draft.change(|operation| {
            operation.start_from = Some(StartFrom {
                from: RestoreFrom::Latest,
                path: None,
                require_state: true,
            });
        });
    }
    draft.tell(EventKind::Normal, "DeploymentAdvanced", text);
    draft.go_on(Step::Removing);
}

/// The storage was asked whether it has state of the job, and has none: so the job starts with what
/// a person names.
fn begins(
    draft: &mut Draft<'_>,
    operation: &Operation,
    deployment: i64,
    spec: &StreamJobSpec,
) -> bool {
    let told = operation.start_from.as_ref();
    let asks = told.is_some_and(|told| told.from == RestoreFrom::Latest && told.require_state);
    let named = is_named(draft, operation.kind, spec) && asks_storage(draft, operation.kind, spec);
    let leads = draft.manager(deployment).is_some();
    let report = draft.report(deployment).filter(|_| !leads);
    let missing = report.is_some_and(|report| report.state_missing);
    if !(asks && named && missing) {
        return false;
    }
    let (next, start) = (draft.issue(), wished_start(draft, spec));
    draft.change(|operation| {
        operation.from_deployment = Some(deployment);
        operation.to_deployment = Some(next);
        operation.start_from = Some(start);
    });
    draft.tell(
        EventKind::Normal,
        "DeploymentAdvanced",
        format!("the storage has no state of the job: starting {next} as spec.restore says"),
    );
    draft.go_on(Step::Removing);
    true
}

/// The job must not start without state, and the storage has none: nothing is started.
fn state_is_missing(draft: &mut Draft<'_>, deployment: i64) -> bool {
    let leads = draft.manager(deployment).is_some();
    let report = draft.report(deployment).filter(|_| !leads);
    let Some(report) = report.filter(|report| report.state_missing) else {
        return false;
    };
    let error = report.error.clone().unwrap_or_default();
    let required = draft
        .policy()
        .is_some_and(|spec| spec.restore.require_state);
    let more = match required {
        true => ", or set spec.restore.requireState to false",
        false => "",
    };
    draft.problem = Some(Problem::stalled(
        "StateMissing",
        format!(
            "the job must not start without state, and its storage has none: {error}. Bring it \
             back{more}; or name a savepoint in spec.restore.path, or say spec.restore.from: None \
             to start with no state, and raise spec.restore.nonce"
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

/// The newest snapshot is there and can't be read, whichever revision tries: a person has to name
/// another one.
pub(super) fn latest_is_unreadable(draft: &mut Draft<'_>, deployment: i64) -> bool {
    let Some(error) = not_read(draft, deployment) else {
        return false;
    };
    draft.problem = Some(unreadable(&error));
    true
}

/// Why the JobManager could not read the newest snapshot, if that is why it ended.
fn not_read(draft: &Draft<'_>, deployment: i64) -> Option<String> {
    // One that leads has read it since.
    let leads = draft.manager(deployment).is_some();
    let report = draft.report(deployment).filter(|_| !leads)?;
    let error = report.error.clone().unwrap_or_default();
    // One that was to begin with something else, and has not run yet, has not read it.
    let started = draft.status.start_from.as_ref();
    let reads = draft.status.restore.is_some()
        || started.is_none_or(|start| start.from == RestoreFrom::Latest);
    (report.state_unreadable && reads).then_some(error)
}

/// What a person can do about a newest snapshot that can't be read.
pub(super) fn unreadable(error: &str) -> Problem {
    Problem::stalled(
        "LatestUnreadable",
        format!(
            "the job's newest snapshot can't be read: {error}. Bring back what is missing; or name \
             another snapshot: set spec.restore.from to Path, spec.restore.path to its folder, and \
             raise spec.restore.nonce. What was published since then is published once more"
        ),
    )
}

/// Whether another operation takes the place of one that has not come to run.
pub(super) fn is_replaced(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let rests = draft.wanted.as_ref().is_ok_and(|it| it.spec.suspend);
    let returns = !rests && !restore_is_asked(draft) && requests::rollback(draft);
    returns || newer_spec(draft, operation)
}

/// The newest spec wins over one that has not come to run.
fn newer_spec(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let Ok(wanted) = &draft.wanted else {
        return false;
    };
    let spec = wanted.spec;
    let revision = Some(&wanted.revision.whole);
    let edited = draft.observed.job.generation != operation.target_generation;
    let asked = restore_is_asked(draft);
    if !edited && !asked {
        return false;
    }
    if spec.suspend {
        draft.close();
        draft.begin(OperationType::Suspend, "spec.suspend is true");
        return true;
    }
    let failed = draft.status.failed_revision.as_ref() == revision;
    let other = draft.status.current_revision.as_ref() != revision && !failed;
    let (kind, reason) = if asked {
        (OperationType::Restore, "spec.restore.nonce has changed")
    } else if other {
        (OperationType::Upgrade, "the spec has changed again")
    } else if !failed && starts_otherwise(draft, operation, spec) {
        (OperationType::Upgrade, "spec.restore has changed")
    } else {
        return false;
    };
    draft.close();
    draft.begin(kind, reason);
    true
}

/// Whether the job would be started in another way now: from another snapshot, as it has nothing of
/// its own yet, or although there is none.
fn starts_otherwise(draft: &Draft<'_>, operation: &Operation, spec: &StreamJobSpec) -> bool {
    let next = OperationType::Upgrade;
    let told = operation.start_from.as_ref();
    let asks = told.is_some_and(|told| told.from == RestoreFrom::Latest && told.require_state);
    let same = asks || is_same_start(told, Some(&wished_start(draft, spec)));
    if is_named(draft, next, spec) && !same {
        return true;
    }
    let deployment = operation.to_deployment;
    let report = deployment.and_then(|deployment| draft.report(deployment));
    let blocked = report.is_some_and(|report| report.state_missing);
    let start = start_from(draft, next, UpgradeMode::LastState, spec);
    blocked && !start.require_state && !spec.restore.require_state
}

/// Whether the last stable revision may return by itself.
pub(super) fn can_roll_back(draft: &Draft<'_>) -> bool {
    let enabled = draft.policy().is_some_and(|spec| spec.rollback.enabled);
    let deployment = draft.status.deployment;
    let unreadable = deployment.is_some_and(|deployment| not_read(draft, deployment).is_some());
    let current = draft.status.current_revision.as_ref();
    let wanted = current.is_some() && draft.status.handled.kept_revision.as_ref() == current;
    // Nor to one that was itself returned from.
    let failed = draft.status.failed_revision.as_ref();
    let stable = stable_to_return_to(draft).filter(|stable| Some(*stable) != failed);
    enabled && !unreadable && !wanted && stable.is_some()
}

/// The last stable revision, if that is another one than the one that runs, and is kept.
fn stable_to_return_to<'a>(draft: &'a Draft<'_>) -> Option<&'a String> {
    let stable = draft.status.stable_revision.as_ref();
    let stable = stable.filter(|stable| draft.observed.revisions.contains_key(*stable));
    stable.filter(|stable| Some(*stable) != draft.status.current_revision.as_ref())
}

pub(super) fn roll_back(draft: &mut Draft<'_>, reason: &str) {
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
    if draft.current_spec().is_some_and(keeps_state) {
        let text = "the JobManager that leads has read from it and written to it";
        draft.find(Found::Storage, true, "Reached", text);
    }
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
    let status = &draft.status;
    let needed = [
        &status.current_revision,
        &status.stable_revision,
        &status.failed_revision,
    ];
    let mut keep: Vec<_> = needed.into_iter().flatten().cloned().collect();
    let kept = draft.observed.revisions.keys();
    let mut others: Vec<_> = kept.filter(|kept| !keep.contains(kept)).collect();
    if others.len() <= limit {
        return;
    }
    let number = |revision: &String| draft.observed.numbers.get(revision).copied();
    others.sort_by_key(|revision| Reverse(number(revision)));
    keep.extend(others.into_iter().take(limit).cloned());
    draft.act(Action::DropRevisions { keep });
}
