//! How an operation replaces what runs: from which state, in which order, and after which steps.

use weir_crd::{
    Operation, OperationType, RestoreFrom, RestoreSpec, StartFrom, Step, StreamJobSpec,
    UpgradeMode, UpgradeStrategy,
};

use super::draft::{Draft, keeps_state};
use crate::observe::ManagerView;

/// What of an operation follows from specs and the job.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    requested: UpgradeMode,
    effective: UpgradeMode,
    strategy: UpgradeStrategy,
    /// What the new deployment's first processes start from.
    pub(super) start_from: Option<StartFrom>,
}

impl Settings {
    /// Of an operation that leads to this spec.
    pub(super) fn of(draft: &Draft<'_>, operation: &Operation, spec: &StreamJobSpec) -> Self {
        let (requested, effective) = draft.mode(spec);
        let ended = draft.status.ended_at.is_some();
        let effective = match (operation.kind, effective) {
            // A start that a person named is no upgrade, whatever the mode.
            _ if is_named(draft, operation.kind, spec) => UpgradeMode::LastState,
            // A job that has ended by itself is replaced as one that runs is.
            (OperationType::Deploy, UpgradeMode::Stateless) if ended => UpgradeMode::Stateless,
            // State is kept where it is not the user who throws it away.
            (
                OperationType::Deploy
                | OperationType::Rollback
                | OperationType::Rescale
                | OperationType::Restore,
                _,
            ) => UpgradeMode::LastState,
            (_, mode) => mode,
        };
        let policy = draft.policy();
        let strategy = policy.map_or(UpgradeStrategy::Recreate, |spec| spec.upgrade.strategy);
        Self {
            requested,
            effective,
            strategy: match super::warming::precedes(draft, operation) {
                true => strategy,
                false => UpgradeStrategy::Recreate,
            },
            start_from: Some(start_from(draft, operation.kind, effective, spec)),
        }
    }

    pub(super) fn apply(self, operation: &mut Operation) {
        operation.requested_mode = Some(self.requested);
        operation.effective_mode = Some(self.effective);
        operation.effective_strategy = Some(self.strategy);
        operation.start_from = self.start_from;
    }
}

/// What the first processes of the new deployment start from.
pub(super) fn start_from(
    draft: &Draft<'_>,
    kind: OperationType,
    mode: UpgradeMode,
    spec: &StreamJobSpec,
) -> StartFrom {
    let named = is_named(draft, kind, spec);
    if named && asks_storage(draft, kind, spec) {
        return StartFrom {
            from: RestoreFrom::Latest,
            path: None,
            require_state: true,
        };
    }
    if named {
        return wished_start(draft, spec);
    }
    let from = match mode {
        UpgradeMode::Stateless if keeps_state(spec) => RestoreFrom::None,
        _ => RestoreFrom::Latest,
    };
    let needs_state = has_stored(draft) || gives_up_a_path(draft);
    StartFrom {
        from,
        path: None,
        require_state: needs_state && from == RestoreFrom::Latest && keeps_state(spec),
    }
}

/// What a person says of a start. It is in no revision, so a kept spec may hold what was said once.
fn wish<'a>(draft: &'a Draft<'_>, kept: &'a StreamJobSpec) -> &'a RestoreSpec {
    match &draft.wanted {
        Ok(wanted) => &wanted.spec.restore,
        Err(_) => &kept.restore,
    }
}

/// The start that a person names.
pub(super) fn wished_start(draft: &Draft<'_>, spec: &StreamJobSpec) -> StartFrom {
    let wish = wish(draft, spec);
    let path = wish.path.clone();
    StartFrom {
        from: wish.from,
        path: path.filter(|_| wish.from == RestoreFrom::Path),
        require_state: false,
    }
}

/// Whether the storage is asked first: the job is new, and is to start as a person said, but a
/// deployment has been there before. The storage may have state of a cluster that was lost: that
/// deployment had the lowest of all numbers, and could not leave it behind; this one would. It
/// would also leave behind what that one has stored unseen. So it goes on from what there is, and
/// if there is nothing, yet another one starts as was said.
pub(super) fn asks_storage(draft: &Draft<'_>, kind: OperationType, spec: &StreamJobSpec) -> bool {
    let status = &draft.status;
    let by_nonce = match kind {
        OperationType::Restore => true,
        OperationType::Deploy => restore_is_asked(draft),
        _ => false,
    };
    let is_first = status.start_from.is_none();
    let is_sure = by_nonce || is_first || has_run_before(draft);
    !is_sure && wish(draft, spec).from != RestoreFrom::Latest
}

/// Whether it is for `spec.restore` to say what the new deployment starts from: a person asks for
/// it now, or the job has nothing of its own yet.
pub(super) fn is_named(draft: &Draft<'_>, kind: OperationType, spec: &StreamJobSpec) -> bool {
    let wish = wish(draft, spec);
    match kind {
        OperationType::Restore => true,
        OperationType::Deploy if restore_is_asked(draft) => true,
        // It is a revision that returns: its state is not what was given up.
        OperationType::Rollback if wish.from == RestoreFrom::None => false,
        _ => is_to_begin(draft, wish),
    }
}

/// Whether `spec.restore.nonce` asks for a start that has not been.
pub(super) fn restore_is_asked(draft: &Draft<'_>) -> bool {
    let wanted = draft.wanted.as_ref().ok();
    let nonce = wanted.and_then(|wanted| wanted.spec.restore.nonce);
    nonce.is_some() && nonce != draft.status.handled.restore
}

/// Whether the job has nothing of its own yet: what was started last, if anything was, has neither
/// run nor stored anything. So what a person said of that start holds for the next one: they may
/// have mended its image, and mean the same snapshot.
fn is_to_begin(draft: &Draft<'_>, wish: &RestoreSpec) -> bool {
    let status = &draft.status;
    let manager = status
        .deployment
        .and_then(|deployment| draft.manager(deployment));
    let stores = manager.is_some_and(|manager| manager.latest.is_some());
    if status.restore.is_some() || has_stored(draft) || stores {
        return false;
    }
    match &status.start_from {
        None => true,
        // It was to begin anew because a person asked for that, and not by an upgrade's mode.
        Some(told) if has_run_before(draft) => wish.nonce.is_some() && told.from == wish.from,
        // One that led by `Latest` may have gone on from what the status knows nothing of: not one
        // that was to find out whether there is anything.
        Some(told) => {
            let asked = told.from != RestoreFrom::Latest || told.require_state;
            asked || status.epoch.is_none()
        }
    }
}

/// Whether the status knows of a snapshot that the job would go on from.
fn has_stored(draft: &Draft<'_>) -> bool {
    let known = draft.status.checkpoint.as_ref();
    known.is_some_and(|known| known.last_completed_id.is_some())
}

/// Whether a deployment has run before the last one, which has not.
fn has_run_before(draft: &Draft<'_>) -> bool {
    let status = &draft.status;
    status.stable_revision.is_some() || status.savepoint.is_some() || status.checkpoint.is_some()
}

/// Whether a job that has had state began anew with a snapshot, did not come to run, and is to go
/// on otherwise: its storage may name no newest snapshot any more.
fn gives_up_a_path(draft: &Draft<'_>) -> bool {
    let told = draft.status.start_from.as_ref();
    let by_path = told.is_some_and(|told| told.from == RestoreFrom::Path);
    draft.status.restore.is_none() && by_path && has_run_before(draft)
}

/// What comes after the new pods are warm, or were not to be.
pub(super) fn after_warming(draft: &Draft<'_>, operation: &Operation) -> Step {
    let kept = draft.current_spec().is_some_and(keeps_state);
    let has_run = draft.status.restore.is_some();
    let runs = operation
        .from_deployment
        .and_then(|from| draft.manager(from))
        .is_some_and(ManagerView::is_running);
    match (operation.kind, operation.effective_mode) {
        (OperationType::Deploy | OperationType::Rollback, _) => Step::Removing,
        (OperationType::Rescale, _) if kept && has_run => Step::Snapshot,
        // What is left behind is first brought to an end, if it can be: its results are published,
        // and a savepoint stays for whoever changes their mind.
        (OperationType::Restore, _) | (_, Some(UpgradeMode::Stateless)) if kept && runs => {
            Step::Stopping
        }
        (OperationType::Restore, _) => Step::Removing,
        (_, Some(UpgradeMode::Savepoint)) => Step::Stopping,
        _ => Step::Removing,
    }
}

/// Whether the operation starts from something else than the newest state, which it leaves behind.
pub(super) fn leaves_state(operation: &Operation) -> bool {
    operation.kind == OperationType::Restore
        || operation.effective_mode == Some(UpgradeMode::Stateless)
}

/// The wish to restore is not acted on again.
pub(super) fn restore_is_handled(draft: &mut Draft<'_>) {
    // Also if the spec breaks a rule by now: the job would go back once more when it is mended.
    if let Ok(spec) = &draft.observed.job.spec {
        draft.status.handled.restore = spec.restore.nonce;
    }
}
