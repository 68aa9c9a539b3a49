//! An operation is open: do its step, or go on to the next.
//!
//! Each step either acts, again and again, or finds that what it was for has happened, and then
//! goes on. What an operation has recorded (its snapshot, its deployment) is never thought over; of
//! a spec that changes meanwhile only the revision to start is taken, and only until it starts.

use std::time::Duration;

use weir_crd::{
    Operation, OperationType, Phase, RestoreFrom, StartFrom, Step, StreamJobSpec, UpgradeFallback,
    UpgradeMode, UpgradeStrategy,
};

use super::draft::{Draft, keeps_state};
use super::settings::{
    Settings, after_warming, is_named, leaves_state, restore_is_handled, start_from, wished_start,
};
use super::snapshots::record;
use super::{Action, EventKind, awaiting, deletion, rederive, requests, snapshots, warming};
use crate::conditions::{self, Found, Problem};
use crate::observe::{RunState, SnapshotView};

pub(super) fn run(draft: &mut Draft<'_>, operation: &Operation) {
    let wants_abort = draft.requests.abort.as_deref() == Some(operation.id.as_str());
    if wants_abort && abort(draft, operation) {
        return;
    }
    if requests::rollback_instead(draft, operation) {
        return;
    }
    match operation.step {
        Step::Accepted => accepted(draft, operation),
        Step::Warming => warming::run(draft, operation),
        Step::Snapshot => snapshots::take(draft, operation),
        Step::Stopping => stopping(draft, operation),
        Step::Removing => removing(draft, operation),
        Step::Starting => starting(draft, operation),
        Step::AwaitRunning => awaiting::run(draft, operation),
        Step::CleanUp | Step::Release => deletion::finish(draft, operation),
    }
}

/// Gives an operation up, where the old job still runs untouched.
fn abort(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let safe = matches!(
        operation.step,
        Step::Accepted | Step::Warming | Step::Snapshot
    );
    if !safe {
        let text = format!(
            "operation {} is past the point where it could be given up: it goes on",
            operation.id
        );
        draft.change(|operation| operation.message = text);
        return false;
    }
    leave(draft, operation);
    draft.close();
    draft.tell(
        EventKind::Warning,
        "OperationAborted",
        format!("operation {} was given up, as a person asked", operation.id),
    );
    true
}

/// A person does not want what the operation leads to: it is not begun again by itself.
pub(super) fn leave(draft: &mut Draft<'_>, operation: &Operation) {
    match operation.kind {
        OperationType::Savepoint if operation.nonce.is_some() => {
            draft.status.handled.savepoint.clone_from(&operation.nonce);
        }
        OperationType::Checkpoint => draft.status.handled.checkpoint.clone_from(&operation.nonce),
        OperationType::Upgrade | OperationType::Rescale => {
            // Not tried again until the spec changes.
            draft
                .status
                .failed_revision
                .clone_from(&operation.target_revision);
        }
        OperationType::Restore => {
            restore_is_handled(draft);
            if operation.target_revision != draft.status.current_revision {
                let target = operation.target_revision.clone();
                draft.status.failed_revision = target;
            }
        }
        OperationType::Rollback => {
            // Neither is what runs rolled back again by itself.
            let current = draft.status.current_revision.clone();
            draft.status.handled.kept_revision = current;
            if conditions::is_bad(&draft.status, "StateCompatible") {
                let text = "what runs stays, and goes on from its own state";
                draft.find(Found::State, true, "Compatible", text);
            }
        }
        _ => {}
    }
}

fn accepted(draft: &mut Draft<'_>, operation: &Operation) {
    notice_what_ran(draft);
    if let Some(deployment) = operation.from_deployment {
        // The old job goes on until it is stopped. What is over stays so: without storage its pods
        // would run it again.
        let is_over = draft.status.ended_at.is_some();
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
    let settings = Settings::of(draft, operation, &spec);
    let generation = draft.observed.job.generation;
    draft.status.update_revision = Some(revision.clone());
    draft.change(|operation| {
        operation.target_revision = Some(revision);
        operation.target_generation = generation;
        settings.apply(operation);
    });
    let warms = warming::precedes(draft, operation);
    let settled = draft.status.operation.clone();
    let next = match (warms, settled) {
        (true, _) => Step::Warming,
        (false, Some(settled)) => after_warming(draft, &settled),
        (false, None) => return,
    };
    draft.go_on(next);
}

/// A deployment that is given up because it does not run may come to run in its last moments: then
/// the job has begun, and what it has stored is what it goes on from.
fn notice_what_ran(draft: &mut Draft<'_>) {
    let never_ran = draft.status.restore.is_none();
    let Some(deployment) = draft.status.deployment.filter(|_| never_ran) else {
        return;
    };
    let manager = draft.manager(deployment);
    if let Some(manager) = manager.filter(|manager| manager.is_running()) {
        let restored = rederive::restored(draft, manager);
        draft.status.restore = Some(restored);
    }
    let report = draft.report(deployment);
    let report = report.filter(|report| report.deployment == Some(deployment));
    if let Some(latest) = report.and_then(|report| report.latest.clone()) {
        draft.know(latest);
    }
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
    if let Some(kept) = draft.observed.revisions.get(&revision) {
        // The spec may be newer than the kept one in what makes no other revision: what to restore,
        // the nonces, how upgrades go.
        let wanted = draft.wanted.as_ref().ok();
        let wanted = wanted.filter(|wanted| wanted.revision.whole == revision);
        let spec = wanted.map_or(kept, |wanted| wanted.spec).clone();
        return Some((revision, spec));
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
    let answer = draft.answer(deployment, operation);
    if let Some(snapshot) = answer.and_then(|view| view.completed.clone()) {
        // It says so only once its storage does, and all results are published.
        return stopped(draft, operation, Some(snapshot));
    }
    let report = draft.report(deployment).cloned();
    match report.as_ref().and_then(|report| report.run_state.as_ref()) {
        Some(RunState::Stopped(_)) => {
            // By this operation or another: nothing runs any more, and the newest is recorded.
            return stopped(draft, operation, report.and_then(|report| report.latest));
        }
        Some(RunState::Failed) if operation.kind != OperationType::Delete => {
            let cause = "the job failed while it was to stop".to_owned();
            let goes_on = is_last_state_enough(draft, operation) || leaves_state(operation);
            let ended = draft.terminal(deployment).filter(|_| !goes_on);
            let Some(phase) = ended else {
                return fall_back(draft, operation, cause);
            };
            let next = after_a_failed_stop(draft, operation);
            record(draft, operation, Err(cause));
            return draft.end_with(phase, &next);
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
    if let Some(cause) = answer.and_then(|view| view.failed.clone()) {
        return fall_back(draft, operation, cause);
    }
    if let Some(why) = draft.denied(operation) {
        // It may have come to its end, which its pods will tell.
        let text = format!("the JobManager refuses to stop the job: {why}");
        draft.change(|operation| operation.message = text);
    }
    let drain = spec.is_some_and(|spec| spec.upgrade.drain);
    draft.act(Action::Stop {
        operation: operation.id.clone(),
        drain,
    });
}

/// The job has stopped: nothing of it runs any more, and nothing is left to be published.
fn stopped(draft: &mut Draft<'_>, operation: &Operation, latest: Option<SnapshotView>) {
    draft.change(|operation| {
        operation.snapshot_id = latest.as_ref().map(|latest| latest.id);
        operation.snapshot_path = latest.as_ref().map(|latest| latest.path.clone());
    });
    if let Some(latest) = latest {
        record(draft, operation, Ok(latest));
    }
    draft.go_on(Step::Removing);
}

/// What becomes of a job that failed as it was to stop: nobody can take a savepoint of it any more,
/// and what is started next is for the newest spec to say.
fn after_a_failed_stop(draft: &Draft<'_>, operation: &Operation) -> String {
    let next = match operation.kind {
        OperationType::Suspend => "it is left as it is, as spec.suspend is true",
        OperationType::Restart => "raise spec.restartNonce to start it from its newest checkpoint",
        _ if leads_to_new_format(draft, operation) => {
            "the newest spec is started from its newest checkpoint, although its spec.stateVersion \
             is another one: a job that has failed takes no savepoint"
        }
        _ => "the newest spec is started from its newest checkpoint",
    };
    format!("That was while it was to stop with a savepoint, and there is none: {next}")
}

/// There is no savepoint to stop with.
fn fall_back(draft: &mut Draft<'_>, operation: &Operation, cause: String) {
    record(draft, operation, Err(cause.clone()));
    if leaves_state(operation) {
        // It was not to start from the savepoint anyway.
        return draft.go_on(Step::Removing);
    }
    if operation.kind == OperationType::Delete {
        return deletion::without_savepoint(draft, &cause);
    }
    if !is_last_state_enough(draft, operation) {
        let next = match leads_to_new_format(draft, operation) {
            true => {
                "The new spec.stateVersion takes a savepoint: undo its change to go on from the \
                 newest checkpoint"
            }
            false => "Set spec.upgrade.fallback to LastState to go on from the newest checkpoint",
        };
        if operation.kind == OperationType::Restart {
            // It counted as obeyed when it began.
            draft.status.handled.restart = None;
        }
        return draft.give_up(
            "SavepointFailed",
            format!(
                "the savepoint failed: {cause}. The job goes on as it was; it is tried again. \
                 {next}"
            ),
        );
    }
    draft.change(|operation| operation.effective_mode = Some(UpgradeMode::LastState));
    draft.go_on(Step::Removing);
}

/// Whether the newest checkpoint will do where no savepoint can be had.
fn is_last_state_enough(draft: &Draft<'_>, operation: &Operation) -> bool {
    let fallback = draft.policy().map(|spec| spec.upgrade.fallback);
    fallback == Some(UpgradeFallback::LastState) && !leads_to_new_format(draft, operation)
}

fn leads_to_new_format(draft: &Draft<'_>, operation: &Operation) -> bool {
    let target = operation.target_revision.as_ref();
    let spec = target.and_then(|target| draft.observed.revisions.get(target));
    spec.is_some_and(|spec| draft.is_new_format(spec))
}

/// A newer spec takes the place of the one that the operation was begun for. Pods that are warm for
/// that one are of no use, so the new ones get another number. Says whether anything changed.
fn retarget(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    if draft.wanted.is_err() {
        return false;
    }
    let Some((revision, spec)) = target(draft, operation) else {
        return false;
    };
    let Some(mode) = operation.effective_mode else {
        return false;
    };
    let told = operation.start_from.as_ref();
    let wished = Some(wished_start(draft, &spec));
    let named = is_named(draft, operation.kind, &spec);
    let start = match named && is_same_start(told, wished.as_ref()) {
        // The storage need not be asked once more.
        true => wished,
        false => Some(start_from(draft, operation.kind, mode, &spec)),
    };
    let same = operation.target_revision.as_ref() == Some(&revision);
    if same && is_same_start(told, start.as_ref()) {
        return false;
    }
    draft.status.update_revision = Some(revision.clone());
    let generation = draft.observed.job.generation;
    let number = draft.issue();
    draft.change(|operation| {
        operation.target_revision = Some(revision);
        operation.target_generation = generation;
        operation.start_from = start;
        operation.to_deployment = Some(number);
        operation.effective_strategy = Some(UpgradeStrategy::Recreate);
    });
    true
}

/// Whether warm pods start from what is wanted. That the job has had state may have become known
/// meanwhile: they have seen it themselves.
pub(super) fn is_same_start(warm: Option<&StartFrom>, wanted: Option<&StartFrom>) -> bool {
    let start = |start: Option<&StartFrom>| start.map(|start| (start.from, start.path.clone()));
    start(warm) == start(wanted)
}

/// Whether the new pods may begin while old ones are on their way out: they are there already, and
/// the old job has stopped, which its storage says. No process of its deployment can run it again,
/// and none has anything left to do.
fn may_begin_beside(operation: &Operation) -> bool {
    let has_stopped = operation.snapshot_id.is_some();
    let is_warm = operation.effective_strategy == Some(UpgradeStrategy::PreWarm);
    has_stopped && is_warm && operation.to_deployment.is_some()
}

/// The old pods go. Those that are warm stay.
fn removing(draft: &mut Draft<'_>, operation: &Operation) {
    notice_what_ran(draft);
    let keep: Vec<_> = operation.to_deployment.into_iter().collect();
    draft.act(Action::RemoveOthers { keep: keep.clone() });
    let left = draft.remove_pods(&keep);
    if operation.to_deployment.is_some() && retarget(draft, operation) {
        return;
    }
    let waits = match operation.kind {
        OperationType::Suspend | OperationType::Delete => left.pods,
        _ => left.processes && !may_begin_beside(operation),
    };
    if waits {
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
        OperationType::Delete => return deletion::stopped(draft),
        _ => {}
    }
    let Some((revision, spec)) = target(draft, operation) else {
        return;
    };
    // Recorded with the step that acts on them, before it does.
    if is_named(draft, operation.kind, &spec) {
        restore_is_handled(draft);
    }
    if matches!(
        operation.kind,
        OperationType::Deploy | OperationType::Upgrade
    ) {
        draft.status.handled.restart = spec.restart_nonce;
    }
    draft.status.start_from.clone_from(&operation.start_from);
    let start = operation.start_from.as_ref().map(|start| start.from);
    if let (Some(RestoreFrom::None | RestoreFrom::Path), Some(known)) =
        (start, draft.status.checkpoint.as_mut())
    {
        // The job begins anew: that it has had state is no reason to look for it later.
        known.last_completed_id = None;
        known.last_completed_time = None;
        known.path = None;
        known.size_bytes = None;
        known.duration_ms = None;
    }
    draft.status.deployment = operation.to_deployment;
    draft.status.current_revision = Some(revision);
    draft.status.restore = None;
    draft.status.running_since = None;
    draft.status.ended_at = None;
    draft.go_on(Step::Starting);
}

/// The new pods come, unless the API server refuses them: then it takes another spec.
fn starting(draft: &mut Draft<'_>, operation: &Operation) {
    let Some(deployment) = operation.to_deployment else {
        return draft.close();
    };
    if awaiting::is_replaced(draft, operation) {
        return;
    }
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

pub(super) fn exceeds(since_ms: i64, time: Duration) -> bool {
    u128::try_from(since_ms).is_ok_and(|since| since > time.as_millis())
}
