//! The StreamJob is being deleted.
//!
//! Its pods and objects go with it by their owner references. Without a finalizer there is nothing
//! to do. With one, what `onDelete` asks for comes first: a savepoint, then the end of the pods,
//! then, with `state: Delete`, the end of the checkpoints. That takes somebody who has the job's
//! identity in its storage, which the operator has not: a pod of its own, the same whether the job
//! ran, was suspended or had ended.
//!
//! ```text
//! Accepted ─▶ Stopping ─▶ Removing ─▶ CleanUp ─▶ Release
//! ```
//!
//! What there is nothing to do for is left out, as decided when the operation begins: the StreamJob
//! that it finds then says whether the job runs, later ones say that it is being deleted.

use weir_crd::{
    OnDeleteSpec, OnDeleteState, Operation, OperationType, Phase, SavepointOnDelete, Step,
};

use super::draft::{Draft, keeps_state};
use super::steps::exceeds;
use super::{Action, EventKind, steps};
use crate::conditions::Problem;
use crate::observe::Component;

pub(super) fn run(draft: &mut Draft<'_>) {
    draft.status.phase = Some(Phase::Deleting);
    if !draft.observed.job.has_finalizer {
        return;
    }
    if draft.requests.force_delete {
        draft.act(Action::Finalizer(false));
        return;
    }
    if draft.status.retry.is_some() && on_delete(draft).savepoint == SavepointOnDelete::Required {
        needs_a_person(draft);
    }
    match draft.status.operation.clone() {
        Some(operation) if operation.kind == OperationType::Delete => steps::run(draft, &operation),
        // Stopping has begun: its savepoint is the one.
        Some(operation) if operation.step == Step::Stopping => draft.change(|operation| {
            operation.kind = OperationType::Delete;
            operation.target_revision = None;
            operation.to_deployment = None;
        }),
        _ if draft.waits_for_retry() => {
            if let Some(deployment) = draft.status.deployment {
                draft.ensure(deployment);
            }
        }
        _ => begin(draft),
    }
}

/// Begins with the first step that there is something to do for.
fn begin(draft: &mut Draft<'_>) {
    let on_delete = on_delete(draft);
    let before = draft.observed.job.status.phase;
    let rests = before.is_some_and(|phase| phase.is_terminal() || phase == Phase::Suspended)
        || draft.status.ended_at.is_some();
    let ever_ran = draft.status.deployment.is_some();
    let step = match on_delete.savepoint {
        // There is something that a savepoint would add to.
        SavepointOnDelete::BestEffort | SavepointOnDelete::Required if ever_ran && !rests => {
            Step::Accepted
        }
        _ if ever_ran && cleans_up(draft) => Step::Removing,
        _ => Step::Release,
    };
    draft.close();
    draft.begin(OperationType::Delete, "the StreamJob is being deleted");
    draft.go_on(step);
}

/// There is no savepoint.
pub(super) fn without_savepoint(draft: &mut Draft<'_>, cause: &str) {
    if on_delete(draft).savepoint != SavepointOnDelete::Required {
        return draft.go_on(Step::Removing);
    }
    draft.give_up(
        "SavepointFailed",
        format!("the savepoint before the deletion failed: {cause}. The job goes on"),
    );
    needs_a_person(draft);
}

fn needs_a_person(draft: &mut Draft<'_>) {
    let cause = draft.status.last_error.as_ref();
    let cause = cause.map_or("", |error| error.message.as_str());
    draft.problem = Some(Problem::stalled(
        "SavepointRequired",
        format!(
            "spec.onDelete.savepoint is Required, so the StreamJob stays until there is one, and \
             it is tried again: {cause}. Set the annotation weir.dev/force-delete to true to delete \
             it all the same; its checkpoints stay"
        ),
    ));
}

/// The pods are gone.
pub(super) fn stopped(draft: &mut Draft<'_>) {
    if !cleans_up(draft) {
        return draft.go_on(Step::Release);
    }
    let deployment = draft.issue();
    draft.change(|operation| operation.to_deployment = Some(deployment));
    draft.go_on(Step::CleanUp);
}

/// The last two steps.
pub(super) fn finish(draft: &mut Draft<'_>, operation: &Operation) {
    let deployment = operation.to_deployment;
    let (Step::CleanUp, Some(deployment)) = (operation.step, deployment) else {
        return draft.act(Action::Finalizer(false));
    };
    let pods = draft.observed.pods.iter();
    let cleaner = pods
        .filter(|pod| pod.deployment == deployment)
        .find(|pod| pod.component == Component::Cleaner);
    let ended = cleaner.and_then(|pod| pod.ended.as_ref());
    if ended.is_some_and(|ended| ended.exit_code == 0) {
        let text = "the job's checkpoints are deleted";
        draft.tell(EventKind::Normal, "StateDeleted", text);
        return draft.go_on(Step::Release);
    }
    let trouble = cleaner.and_then(|pod| pod.trouble.as_ref());
    let text = match (trouble, ended) {
        (Some(trouble), _) => format!("{}: {}", trouble.reason, trouble.message),
        (None, Some(ended)) => format!("its pod ended with {}", ended.exit_code),
        (None, None) => "its pod has not ended".to_owned(),
    };
    let since = draft.since(&operation.step_started_at);
    if exceeds(since, on_delete(draft).timeout.get()) {
        draft.fail(
            "StateLeft",
            format!(
                "the job's checkpoints could not be deleted in time ({text}): delete them with \
                 `weir checkpoints clear`"
            ),
        );
        return draft.go_on(Step::Release);
    }
    let text = format!("the job's checkpoints are being deleted: {text}");
    draft.change(|operation| operation.message = text);
    let Some(revision) = draft.status.current_revision.clone() else {
        return draft.go_on(Step::Release);
    };
    draft.act(Action::CleanUp {
        deployment,
        revision,
    });
}

fn cleans_up(draft: &Draft<'_>) -> bool {
    let keeps = draft.current_spec().is_some_and(keeps_state);
    keeps && on_delete(draft).state == OnDeleteState::Delete
}

fn on_delete(draft: &Draft<'_>) -> OnDeleteSpec {
    draft
        .policy()
        .map_or_else(OnDeleteSpec::default, |spec| spec.on_delete)
}
