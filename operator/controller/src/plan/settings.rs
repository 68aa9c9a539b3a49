//! How an operation replaces what runs: from which state, in which order, and after which steps.

use weir_crd::{
    Operation, OperationType, RestoreFrom, StartFrom, Step, StreamJobSpec, UpgradeMode,
    UpgradeStrategy,
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
        let first = operation.from_deployment.is_none();
        Self {
            requested,
            effective,
            strategy: match super::warming::precedes(draft, operation) {
                true => strategy,
                false => UpgradeStrategy::Recreate,
            },
            start_from: Some(start_from(draft, operation.kind, effective, spec, first)),
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
    first: bool,
) -> StartFrom {
    let named = kind == OperationType::Restore || first;
    let from = match mode {
        UpgradeMode::Stateless if keeps_state(spec) => RestoreFrom::None,
        _ if named => spec.restore.from,
        _ => RestoreFrom::Latest,
    };
    let path = spec.restore.path.clone();
    let known = draft.status.checkpoint.as_ref();
    let had_state = known.is_some_and(|known| known.last_completed_id.is_some());
    StartFrom {
        from,
        path: path.filter(|_| from == RestoreFrom::Path),
        require_state: had_state && from == RestoreFrom::Latest && keeps_state(spec),
    }
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
    if let Ok(wanted) = &draft.wanted {
        draft.status.handled.restore = wanted.spec.restore.nonce;
    }
}
