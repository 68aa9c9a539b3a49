//! Snapshots that a job takes while it goes on, and how those of any operation are recorded.

use std::time::Duration;

use weir_crd::{Operation, OperationType, Savepoint, SavepointStatus, SnapshotState, Step};

use super::draft::Draft;
use super::steps::exceeds;
use super::{Action, EventKind};
use crate::observe::SnapshotView;

/// How many savepoints the status lists.
pub(super) const HISTORY: usize = 10;

/// The job takes a snapshot and goes on.
pub(super) fn take(draft: &mut Draft<'_>, operation: &Operation) {
    let Some(deployment) = operation.from_deployment else {
        return draft.close();
    };
    draft.ensure(deployment);
    let id = operation.id.clone();
    let view = draft.manager(deployment).and_then(|manager| {
        let view = manager.operation.as_ref();
        view.filter(|view| view.name == operation.id)
    });
    let outcome = match view {
        Some(view) => match (&view.completed, &view.failed) {
            (Some(snapshot), _) => Some(Ok(snapshot.clone())),
            (None, Some(cause)) => Some(Err(cause.clone())),
            (None, None) => None,
        },
        None => None,
    };
    let timeout = draft
        .policy()
        .map_or(Duration::from_mins(10), |spec| spec.savepoint.timeout.get());
    let late = exceeds(draft.since(&operation.step_started_at), timeout);
    let ended = draft.terminal(deployment);
    let outcome = outcome.or_else(|| {
        (late || ended.is_some()).then(|| {
            Err(match ended {
                Some(phase) => format!("the job is {phase:?}"),
                None => format!("it took longer than {}s", timeout.as_secs()),
            })
        })
    });
    let Some(outcome) = outcome else {
        let takes_checkpoint = operation.kind != OperationType::Savepoint;
        draft.act(match takes_checkpoint {
            true => Action::Checkpoint { operation: id },
            false => Action::Savepoint { operation: id },
        });
        return;
    };
    if operation.kind == OperationType::Rescale {
        // Without a fresh checkpoint, the newest one will do: more is read again.
        return draft.go_on(Step::Removing);
    }
    record(draft, operation, outcome);
    draft.close();
}

/// Records how a snapshot went, under its nonce.
pub(super) fn record(
    draft: &mut Draft<'_>,
    operation: &Operation,
    outcome: Result<SnapshotView, String>,
) {
    let now = draft.now();
    let is_checkpoint = operation.kind == OperationType::Checkpoint;
    let word = if is_checkpoint {
        "checkpoint"
    } else {
        "savepoint"
    };
    let entry = match outcome {
        Ok(snapshot) => {
            let text = format!("{word} {} is complete: {}", snapshot.id, snapshot.path);
            draft.tell(EventKind::Normal, "SnapshotCompleted", text);
            Savepoint {
                nonce: operation.nonce.clone(),
                operation: operation.id.clone(),
                id: Some(snapshot.id),
                path: Some(snapshot.path),
                at: now,
                state: SnapshotState::Completed,
                error: None,
            }
        }
        Err(cause) => {
            let text = format!("the {word} {} was given up: {cause}", operation.id);
            draft.fail("SnapshotFailed", text);
            Savepoint {
                nonce: operation.nonce.clone(),
                operation: operation.id.clone(),
                id: None,
                path: None,
                at: now,
                state: SnapshotState::Failed,
                error: Some(cause),
            }
        }
    };
    if is_checkpoint {
        draft.status.handled.checkpoint.clone_from(&operation.nonce);
        let checkpoint = draft.status.checkpoint.get_or_insert_default();
        checkpoint.last = Some(entry);
        return;
    }
    if operation.kind == OperationType::Savepoint && operation.nonce.is_some() {
        draft.status.handled.savepoint.clone_from(&operation.nonce);
    }
    let savepoint: &mut SavepointStatus = draft.status.savepoint.get_or_insert_default();
    savepoint
        .history
        .retain(|known| known.operation != entry.operation);
    savepoint.history.insert(0, entry.clone());
    savepoint.history.truncate(HISTORY);
    savepoint.last = Some(entry);
}
