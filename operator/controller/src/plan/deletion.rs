//! The StreamJob is being deleted.
//!
//! Its pods and objects go with it by their owner references. Without a finalizer there is nothing
//! to do. With one, the savepoint that `onDelete` asks for comes first.

use weir_crd::{OperationType, Phase, SavepointOnDelete, SnapshotState};

use super::draft::Draft;
use super::{Action, steps};
use crate::conditions::Problem;

pub(super) fn run(draft: &mut Draft<'_>) {
    draft.status.phase = Some(Phase::Deleting);
    if !draft.observed.job.has_finalizer {
        return;
    }
    let wish = draft
        .policy()
        .map_or(SavepointOnDelete::None, |spec| spec.on_delete.savepoint);
    if wish == SavepointOnDelete::None || draft.requests.force_delete {
        draft.act(Action::Finalizer(false));
        return;
    }
    let before = draft.observed.job.status.phase;
    let rests = |phase: Phase| phase.is_terminal() || phase == Phase::Suspended;
    let never_ran = draft.status.deployment.is_none();
    if before.is_some_and(rests) || never_ran {
        // There is nothing that a savepoint would add to.
        draft.act(Action::Finalizer(false));
        return;
    }
    match draft.status.operation.clone() {
        Some(operation) if operation.kind == OperationType::Delete => {
            steps::run(draft, &operation);
            if draft.status.operation.is_none() {
                after(draft, wish);
            }
        }
        // Stopping has begun: its savepoint is the one.
        Some(operation) if operation.step == weir_crd::Step::Stopping => {
            draft.change(|operation| {
                operation.kind = OperationType::Delete;
                operation.target_revision = None;
                operation.to_deployment = None;
            });
        }
        _ if draft.status.handled.savepoint.as_deref() == Some(DONE) => after(draft, wish),
        _ => {
            draft.close();
            draft.begin(OperationType::Delete, "the StreamJob is being deleted");
        }
    }
}

/// Stands in the status once the deletion's operation has ended.
const DONE: &str = "deletion";

fn after(draft: &mut Draft<'_>, wish: SavepointOnDelete) {
    draft.status.handled.savepoint = Some(DONE.to_owned());
    let last = draft
        .status
        .savepoint
        .as_ref()
        .and_then(|s| s.last.as_ref());
    let done = last.is_some_and(|last| last.state == SnapshotState::Completed);
    if done || wish == SavepointOnDelete::BestEffort {
        draft.act(Action::Finalizer(false));
        return;
    }
    draft.problem = Some(Problem::stalled(
        "SavepointRequired",
        "the savepoint before the deletion failed, and spec.onDelete.savepoint is Required: set \
         the annotation weir.dev/force-delete to true to delete the StreamJob all the same. Its \
         checkpoints stay"
            .to_owned(),
    ));
}
