//! Snapshots that a job takes while it goes on, and how those of any operation are recorded.

use std::time::Duration;

use weir_crd::{Operation, OperationType, Savepoint, SavepointStatus, SnapshotState, Step};

use super::draft::Draft;
use super::steps::exceeds;
use super::{Action, EventKind};
use crate::names;
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
    let outcome = match draft.answer(deployment, operation) {
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
    let denied = draft.denied(operation);
    let outcome = outcome.or_else(|| match (ended, denied) {
        (Some(phase), _) => Some(Err(format!("the job is {phase:?}"))),
        (None, Some(why)) => Some(Err(why)),
        (None, None) => late.then(|| Err(format!("it took longer than {}s", timeout.as_secs()))),
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
        // What has ended needs no other size.
        if let Some(phase) = ended {
            return draft.end(phase);
        }
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
    let mut entry = failed(draft, operation.nonce.clone(), operation.id.clone());
    let word = word(operation.kind);
    match outcome {
        Ok(snapshot) => {
            let text = format!("{word} {} is complete: {}", snapshot.id, snapshot.path);
            draft.tell(EventKind::Normal, "SnapshotCompleted", text);
            entry.id = Some(snapshot.id);
            entry.path = Some(snapshot.path);
            entry.size_bytes = snapshot.size_bytes;
            entry.duration_ms = snapshot.duration_ms;
            entry.state = SnapshotState::Completed;
        }
        Err(cause) => {
            let text = format!("the {word} {} was given up: {cause}", operation.id);
            draft.fail("SnapshotFailed", text);
            entry.error = Some(cause);
        }
    }
    enter(draft, operation.kind, entry);
}

/// Begins to take a snapshot that a person asks for.
pub(super) fn begin(draft: &mut Draft<'_>, kind: OperationType, nonce: String) {
    let word = word(kind);
    let reason = format!("the annotation weir.dev/{word}-nonce is {nonce}");
    let id = names::snapshot(word, &nonce);
    let operation = draft.begin(kind, &reason);
    operation.id = id;
    operation.nonce = Some(nonce);
}

/// Refuses a snapshot that a person asks for: there is no use in asking the job for it.
pub(super) fn refuse(draft: &mut Draft<'_>, kind: OperationType, nonce: String, cause: &str) {
    let word = word(kind);
    let operation = names::snapshot(word, &nonce);
    let text = format!("the {word} {operation} is refused: {cause}");
    draft.fail("SnapshotFailed", text);
    let mut entry = failed(draft, Some(nonce), operation);
    entry.error = Some(cause.to_owned());
    enter(draft, kind, entry);
}

/// What is entered of a snapshot that has not come about.
fn failed(draft: &Draft<'_>, nonce: Option<String>, operation: String) -> Savepoint {
    Savepoint {
        nonce,
        operation,
        id: None,
        path: None,
        at: draft.now(),
        size_bytes: None,
        duration_ms: None,
        state: SnapshotState::Failed,
        error: None,
    }
}

fn word(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Checkpoint => "checkpoint",
        _ => "savepoint",
    }
}

/// Enters what became of a snapshot into the status.
fn enter(draft: &mut Draft<'_>, kind: OperationType, entry: Savepoint) {
    if kind == OperationType::Checkpoint {
        draft.status.handled.checkpoint.clone_from(&entry.nonce);
        let checkpoint = draft.status.checkpoint.get_or_insert_default();
        checkpoint.last = Some(entry);
        return;
    }
    if kind == OperationType::Savepoint && entry.nonce.is_some() {
        draft.status.handled.savepoint.clone_from(&entry.nonce);
    }
    let savepoint: &mut SavepointStatus = draft.status.savepoint.get_or_insert_default();
    savepoint
        .history
        .retain(|known| known.operation != entry.operation);
    savepoint.history.insert(0, entry.clone());
    savepoint.history.truncate(HISTORY);
    savepoint.last = Some(entry);
}
