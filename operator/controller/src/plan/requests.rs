//! What a person asks for by annotations: to return to a revision, a savepoint, a checkpoint.
//!
//! Each request is answered once, as soon as it is seen: it is carried out, or refused with the
//! reason. None waits for another life of the job, where nobody expects it any more.

use weir_crd::{Operation, OperationType, Phase, SnapshotState, Step};

use super::draft::{Draft, keeps_state};
use super::{EventKind, begin, snapshots, steps};
use crate::annotation;

/// Why a job without a storage takes no snapshot.
const WITHOUT_STORAGE: &str = "the job keeps no checkpoints: set spec.storage, and ask again with \
                               another nonce once the job runs with it";

/// Returns to an earlier revision if a person asks for it, once for each nonce, in place of the
/// operation that is open.
pub(super) fn rollback(draft: &mut Draft<'_>) -> bool {
    if !new_rollback(draft) {
        return false;
    }
    let comes = draft.status.operation.is_some();
    if comes && wished(draft) == draft.status.current_revision {
        // It is being started.
        return false;
    }
    return_if_possible(draft)
}

/// The same while an operation is open that has stopped nothing yet. To return to what still runs
/// is to give the operation up.
pub(super) fn rollback_instead(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let replaces = !matches!(
        operation.kind,
        OperationType::Deploy
            | OperationType::Suspend
            | OperationType::Savepoint
            | OperationType::Checkpoint
            | OperationType::Delete
    );
    let safe = matches!(
        operation.step,
        Step::Accepted | Step::Warming | Step::Snapshot
    );
    // Another word of the same person, which is answered where it leads to.
    let rests = draft.wanted.as_ref().is_ok_and(|it| it.spec.suspend);
    if rests || !replaces || !safe || !new_rollback(draft) {
        return false;
    }
    let wished = wished(draft);
    if operation.kind == OperationType::Rollback && operation.target_revision == wished {
        // That is what it does.
        return false;
    }
    let ends = draft.status.ended_at.is_some();
    if wished.is_some() && wished == draft.status.current_revision && !ends {
        steps::leave(draft, operation);
        draft.close();
        pass_over_newest(draft, wished.as_deref());
        let text = format!(
            "operation {} gives way: a person asked for the revision that runs",
            operation.id
        );
        draft.tell(EventKind::Normal, "OperationSuperseded", text);
        return true;
    }
    return_if_possible(draft)
}

/// Whether a rollback is asked for that has not been answered. From now on it has been.
fn new_rollback(draft: &mut Draft<'_>) -> bool {
    let asked = draft.requests.rollback.clone();
    let is_new = asked.is_some() && asked != draft.status.handled.rollback;
    if is_new {
        draft.status.handled.rollback = asked;
    }
    is_new
}

/// Where a person wants to return to.
fn wished(draft: &Draft<'_>) -> Option<String> {
    let named = draft.requests.rollback_to.clone();
    named.or_else(|| draft.status.stable_revision.clone())
}

/// The same, if it can be returned to; otherwise why not.
fn place_to_return_to(draft: &Draft<'_>) -> Result<String, String> {
    let kept = &draft.observed.revisions;
    let cause = match wished(draft) {
        Some(to) if Some(&to) == draft.status.current_revision.as_ref() => {
            format!("revision {to} is the one that is there")
        }
        Some(to) if kept.contains_key(&to) => return Ok(to),
        Some(to) => format!("revision {to} is not kept"),
        None => "no revision has proved itself".to_owned(),
    };
    let kept: Vec<_> = kept.keys().cloned().collect();
    Err(format!(
        "{cause}: there is nothing to return to. Name another one with the annotation {}, and ask \
         with another nonce. Kept are: {}",
        annotation::ROLLBACK_TO,
        kept.join(", ")
    ))
}

fn return_if_possible(draft: &mut Draft<'_>) -> bool {
    match place_to_return_to(draft) {
        Ok(to) => {
            pass_over_newest(draft, Some(&to));
            draft.close();
            begin::rollback(draft, to, "a person asked for it");
            true
        }
        Err(cause) => {
            draft.fail("RollbackRefused", cause);
            false
        }
    }
}

/// A person wants another revision than the newest spec's, which must not be tried again.
fn pass_over_newest(draft: &mut Draft<'_>, instead: Option<&str>) {
    let wanted = draft.wanted.as_ref().ok();
    let newest = wanted.map(|wanted| wanted.revision.whole.clone());
    draft.status.handled.passed_revision = newest.filter(|it| Some(it.as_str()) != instead);
}

/// Another spec is another wish.
pub(super) fn forget_what_was_passed_over(draft: &mut Draft<'_>) {
    let passed = &mut draft.status.handled.passed_revision;
    if let Ok(wanted) = &draft.wanted
        && passed.as_ref() != Some(&wanted.revision.whole)
    {
        *passed = None;
    }
}

/// Refuses what a job that is at rest cannot do. Otherwise it would do it when it runs again.
pub(super) fn refuse_at_rest(draft: &mut Draft<'_>, phase: Phase) {
    if new_rollback(draft) {
        let text = format!(
            "the job is {phase:?}, and starts again with the newest spec: edit that to what is to \
             run. The rollback is not made up for"
        );
        draft.fail("RollbackRefused", text);
    }
    for (kind, nonce) in new_snapshots(draft) {
        let cause = format!("the job is {phase:?}: ask again with another nonce once it runs");
        snapshots::refuse(draft, kind, nonce, &cause);
    }
}

/// Savepoints and checkpoints that are asked for and have not been answered.
fn new_snapshots(draft: &Draft<'_>) -> Vec<(OperationType, String)> {
    let (requests, handled) = (&draft.requests, &draft.status.handled);
    let all = [
        (
            OperationType::Savepoint,
            &requests.savepoint,
            &handled.savepoint,
        ),
        (
            OperationType::Checkpoint,
            &requests.checkpoint,
            &handled.checkpoint,
        ),
    ];
    let savepoint = draft.status.savepoint.as_ref();
    let last = savepoint.and_then(|savepoint| savepoint.last.as_ref());
    let is_given_up = |nonce: &String| {
        last.is_some_and(|last| {
            last.nonce.as_ref() == Some(nonce) && last.state == SnapshotState::Failed
        })
    };
    let new = all.into_iter().filter_map(|(kind, asked, handled)| {
        let nonce = asked
            .clone()
            .filter(|nonce| Some(nonce) != handled.as_ref())?;
        (!is_given_up(&nonce)).then_some((kind, nonce))
    });
    new.collect()
}

/// Begins to take a snapshot that a person asks for.
pub(super) fn snapshot(draft: &mut Draft<'_>) {
    for (kind, nonce) in new_snapshots(draft) {
        if draft.current_spec().is_some_and(|spec| !keeps_state(spec)) {
            snapshots::refuse(draft, kind, nonce, WITHOUT_STORAGE);
            continue;
        }
        return snapshots::begin(draft, kind, nonce);
    }
}
