//! An operation is open: do its step, or go on to the next.
//!
//! Each step either acts, again and again, or finds that what it was for has happened, and then
//! goes on. What an operation has recorded (its snapshot, its deployment) is never thought over; of
//! a spec that changes meanwhile only the revision to start is taken, and only until it starts.

use std::time::Duration;

use weir_crd::{
    Operation, OperationType, Phase, RestoreFrom, Restored, StartFrom, Step, StreamJobSpec,
    UpgradeFallback, UpgradeMode, UpgradeStrategy,
};

use super::draft::{Draft, keeps_state};
use super::snapshots::record;
use super::{Action, EventKind, begin, snapshots};
use crate::conditions::Problem;
use crate::observe::RunState;

pub(super) fn run(draft: &mut Draft<'_>, operation: &Operation) {
    let wants_abort = draft.requests.abort.as_deref() == Some(operation.id.as_str());
    if wants_abort && abort(draft, operation) {
        return;
    }
    match operation.step {
        Step::Accepted => accepted(draft, operation),
        Step::Snapshot => snapshots::take(draft, operation),
        Step::Stopping => stopping(draft, operation),
        Step::Removing => removing(draft, operation),
        Step::Starting => starting(draft, operation),
        Step::AwaitRunning => await_running(draft, operation),
    }
}

/// Gives an operation up, where the old job still runs untouched.
fn abort(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let safe = matches!(operation.step, Step::Accepted | Step::Snapshot);
    if !safe {
        let text = format!(
            "operation {} is past the point where it could be given up: it goes on",
            operation.id
        );
        draft.change(|operation| operation.message = text);
        return false;
    }
    match operation.kind {
        OperationType::Savepoint => draft.status.handled.savepoint.clone_from(&operation.nonce),
        OperationType::Checkpoint => draft.status.handled.checkpoint.clone_from(&operation.nonce),
        OperationType::Upgrade | OperationType::Rescale => {
            // Not tried again until the spec changes.
            draft
                .status
                .failed_revision
                .clone_from(&operation.target_revision);
        }
        _ => {}
    }
    draft.close();
    draft.tell(
        EventKind::Warning,
        "OperationAborted",
        format!("operation {} was given up, as a person asked", operation.id),
    );
    true
}

fn accepted(draft: &mut Draft<'_>, operation: &Operation) {
    if let Some(deployment) = operation.from_deployment {
        // The old job goes on until it is stopped.
        let is_over = draft.status.phase.is_some_and(Phase::is_terminal);
        if operation.kind != OperationType::Deploy && !is_over {
            draft.ensure(deployment);
        }
    }
    match operation.kind {
        OperationType::Savepoint | OperationType::Checkpoint => return draft.go_on(Step::Snapshot),
        OperationType::Suspend | OperationType::Delete => {
            return match can_stop(draft) {
                true => draft.go_on(Step::Stopping),
                false => draft.go_on(Step::Removing),
            };
        }
        _ => {}
    }
    let Some((revision, spec)) = target(draft, operation) else {
        return;
    };
    let (requested, effective) = draft.mode(&spec);
    let next = match operation.kind {
        OperationType::Deploy | OperationType::Restore => Step::Removing,
        OperationType::Rollback => Step::Removing,
        OperationType::Rescale if effective != UpgradeMode::Stateless => Step::Snapshot,
        _ if effective == UpgradeMode::Savepoint => Step::Stopping,
        _ => Step::Removing,
    };
    let effective = match (operation.kind, effective) {
        // State is kept where it is not the user who throws it away.
        (OperationType::Deploy | OperationType::Rollback | OperationType::Rescale, _)
        | (OperationType::Restore, UpgradeMode::Savepoint) => UpgradeMode::LastState,
        (_, mode) => mode,
    };
    draft.change(|operation| {
        operation.target_revision = Some(revision);
        operation.requested_mode = Some(requested);
        operation.effective_mode = Some(effective);
        operation.effective_strategy = Some(UpgradeStrategy::Recreate);
    });
    draft.go_on(next);
}

/// Whether the job could take a savepoint: it keeps state, and has run.
fn can_stop(draft: &Draft<'_>) -> bool {
    let keeps = draft.current_spec().is_some_and(keeps_state);
    keeps && draft.status.restore.is_some() && draft.status.deployment.is_some()
}

/// The revision that the operation leads to, and its spec, which must be kept before anything is
/// started from it. Until something is, the newest spec is what is wanted.
fn target(draft: &mut Draft<'_>, operation: &Operation) -> Option<(String, StreamJobSpec)> {
    let mut revision = operation.target_revision.clone();
    let follows = !matches!(
        operation.kind,
        OperationType::Rollback | OperationType::Restart
    );
    if let (Ok(wanted), true) = (&draft.wanted, follows) {
        revision = Some(wanted.revision.whole.clone());
    }
    let revision = revision?;
    if let Some(spec) = draft.observed.revisions.get(&revision) {
        return Some((revision, spec.clone()));
    }
    let is_wanted = draft
        .wanted
        .as_ref()
        .is_ok_and(|wanted| wanted.revision.whole == revision);
    if is_wanted {
        draft.act(Action::KeepRevision { revision });
        return None;
    }
    draft.problem = Some(Problem::stalled(
        "RevisionMissing",
        format!(
            "revision {revision} is not kept any more: edit the spec to what is to run, and give \
             this operation up with the annotation weir.dev/abort-operation={}",
            operation.id
        ),
    ));
    None
}

/// The job takes its last savepoint and stops.
fn stopping(draft: &mut Draft<'_>, operation: &Operation) {
    let Some(deployment) = operation.from_deployment else {
        return draft.go_on(Step::Removing);
    };
    draft.ensure(deployment);
    if operation.kind != OperationType::Suspend && operation.kind != OperationType::Delete {
        retarget(draft, operation);
    }
    let report = draft.report(deployment).cloned();
    match report.as_ref().and_then(|report| report.run_state.as_ref()) {
        Some(RunState::Stopped(_)) => {
            // By this operation or another: nothing runs any more, and the newest is recorded.
            let latest = report.and_then(|report| report.latest);
            draft.change(|operation| {
                operation.snapshot_id = latest.as_ref().map(|latest| latest.id);
                operation.snapshot_path = latest.as_ref().map(|latest| latest.path.clone());
            });
            if let Some(latest) = latest {
                record(draft, operation, Ok(latest));
            }
            return draft.go_on(Step::Removing);
        }
        Some(RunState::Failed) if operation.kind != OperationType::Delete => {
            let cause = "the job failed while it was to stop".to_owned();
            return fall_back(draft, operation, cause);
        }
        Some(RunState::Finished | RunState::Failed | RunState::Cancelled) => {
            if let Some(phase) = draft.terminal(deployment) {
                return draft.end(phase);
            }
        }
        _ => {}
    }
    if let Some(found) = draft.superseded(deployment) {
        let cause = format!("deployment {found} has the job");
        return fall_back(draft, operation, cause);
    }
    let spec = draft.policy();
    let timeout = match (operation.kind, &spec) {
        (OperationType::Delete, Some(spec)) => spec.on_delete.timeout.get(),
        (_, Some(spec)) => spec.upgrade.savepoint_timeout.get(),
        (_, None) => Duration::from_mins(10),
    };
    if exceeds(draft.since(&operation.step_started_at), timeout) {
        let cause = format!("it took longer than {}s", timeout.as_secs());
        return fall_back(draft, operation, cause);
    }
    let manager = draft.manager(deployment);
    let failed = manager
        .and_then(|manager| manager.operation.as_ref())
        .filter(|view| view.name == operation.id)
        .and_then(|view| view.failed.clone());
    if let Some(cause) = failed {
        return fall_back(draft, operation, cause);
    }
    let drain = spec.is_some_and(|spec| spec.upgrade.drain);
    draft.act(Action::Stop {
        operation: operation.id.clone(),
        drain,
    });
}

/// There is no savepoint to stop with.
fn fall_back(draft: &mut Draft<'_>, operation: &Operation, cause: String) {
    let fallback = draft
        .policy()
        .map_or(UpgradeFallback::None, |spec| spec.upgrade.fallback);
    record(draft, operation, Err(cause.clone()));
    let may = operation.kind == OperationType::Delete || fallback == UpgradeFallback::LastState;
    if !may {
        return draft.give_up(
            "SavepointFailed",
            format!(
                "the savepoint failed: {cause}. The job goes on as it was; it is tried again. Set \
                 spec.upgrade.fallback to LastState to go on from the newest checkpoint"
            ),
        );
    }
    draft.change(|operation| operation.effective_mode = Some(UpgradeMode::LastState));
    draft.go_on(Step::Removing);
}

/// A newer spec takes the place of the one that the operation was begun for; nothing else of the
/// operation changes.
fn retarget(draft: &mut Draft<'_>, operation: &Operation) {
    let Some((revision, _)) = target(draft, operation) else {
        return;
    };
    if operation.target_revision.as_ref() != Some(&revision) {
        draft.status.update_revision = Some(revision.clone());
        let generation = draft.observed.job.generation;
        draft.change(|operation| {
            operation.target_revision = Some(revision);
            operation.target_generation = generation;
        });
    }
}

/// The old pods go.
fn removing(draft: &mut Draft<'_>, operation: &Operation) {
    draft.act(Action::RemoveOthers { keep: None });
    let left = draft.remove_pods(None);
    if operation.to_deployment.is_some() {
        retarget(draft, operation);
    }
    if left {
        let text = "the old pods are being removed".to_owned();
        return draft.change(|operation| operation.message = text);
    }
    match operation.kind {
        OperationType::Suspend => {
            draft.close();
            draft.status.phase = Some(Phase::Suspended);
            draft.status.running_since = None;
            draft.status.retry = None;
            draft.tell(
                EventKind::Normal,
                "Suspended",
                "the job is stopped and has no pods",
            );
            return;
        }
        OperationType::Delete => return draft.close(),
        _ => {}
    }
    let Some((revision, spec)) = target(draft, operation) else {
        return;
    };
    let handled = &mut draft.status.handled;
    let first = operation.from_deployment.is_none();
    // Recorded with the step that acts on them, before it does.
    if first || operation.kind == OperationType::Restore {
        handled.restore = spec.restore.nonce;
    }
    if matches!(
        operation.kind,
        OperationType::Deploy | OperationType::Upgrade
    ) {
        handled.restart = spec.restart_nonce;
    }
    draft.status.start_from = Some(start_from(operation, &spec, first));
    draft.status.deployment = operation.to_deployment;
    draft.status.current_revision = Some(revision);
    draft.status.restore = None;
    draft.status.running_since = None;
    draft.status.ended_at = None;
    draft.go_on(Step::Starting);
}

/// What the first processes of the new deployment start from.
fn start_from(operation: &Operation, spec: &StreamJobSpec, first: bool) -> StartFrom {
    let named = operation.kind == OperationType::Restore || first;
    let from = match operation.effective_mode {
        Some(UpgradeMode::Stateless) if keeps_state(spec) => RestoreFrom::None,
        _ if named => spec.restore.from,
        _ => RestoreFrom::Latest,
    };
    let path = spec.restore.path.clone();
    StartFrom {
        from,
        path: path.filter(|_| from == RestoreFrom::Path),
    }
}

/// The new pods come.
fn starting(draft: &mut Draft<'_>, operation: &Operation) {
    let Some(deployment) = operation.to_deployment else {
        return draft.close();
    };
    draft.ensure(deployment);
    if draft
        .observed
        .pods
        .iter()
        .any(|pod| pod.deployment == deployment)
    {
        draft.go_on(Step::AwaitRunning);
    }
}

/// The new job is to run.
fn await_running(draft: &mut Draft<'_>, operation: &Operation) {
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
    if let Some(found) = draft.superseded(deployment) {
        // The status knew nothing of what the storage remembers: it was lost or is of a backup.
        draft.change(|operation| {
            operation.from_deployment = Some(deployment);
            operation.to_deployment = Some(found + 1);
        });
        draft.tell(
            EventKind::Normal,
            "DeploymentAdvanced",
            format!(
                "the job's storage knows deployment {found}: starting {}",
                found + 1
            ),
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
    let late = exceeds(
        draft.since(&operation.step_started_at),
        spec.rollback.readiness_timeout.get(),
    );
    let text = waits_for(draft, deployment);
    draft.change(|operation| operation.message.clone_from(&text));
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

fn can_roll_back(draft: &Draft<'_>, operation: &Operation) -> bool {
    let stable = draft.status.stable_revision.as_ref();
    let kept = stable.is_some_and(|stable| draft.observed.revisions.contains_key(stable));
    kept && stable != draft.status.current_revision.as_ref()
        && operation.kind != OperationType::Rollback
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
fn waits_for(draft: &Draft<'_>, deployment: i64) -> String {
    let pods = draft.observed.pods.iter();
    let troubled = pods
        .filter(|pod| pod.deployment == deployment)
        .find_map(|pod| Some((&pod.name, pod.trouble.as_ref()?)));
    if let Some((name, trouble)) = troubled {
        return format!("pod {name}: {}: {}", trouble.reason, trouble.message);
    }
    if let Some(error) = draft
        .report(deployment)
        .and_then(|report| report.error.as_ref())
    {
        return format!("the JobManager: {error}");
    }
    match draft.manager(deployment) {
        None => "no JobManager leads yet".to_owned(),
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
    } else {
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

pub(super) fn exceeds(since_ms: i64, time: Duration) -> bool {
    u128::try_from(since_ms).is_ok_and(|since| since > time.as_millis())
}
