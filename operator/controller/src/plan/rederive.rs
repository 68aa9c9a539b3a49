//! What the status says against what pods say: somebody may have edited it, or put back one of a
//! backup.
//!
//! Pods bear the number of their deployment and their revision, which nobody changes, and what
//! their JobManager leads is the job. So where a status contradicts a JobManager that leads, the
//! status is what is wrong, and the job goes on: with a wrong number it would be replaced, or its
//! pods deleted as those of another one. An operation that contradicts itself is given up, and
//! begun anew if there is reason to.

use weir_crd::{Operation, OperationType, Phase, Restored, Step};
use weir_lease::parse_rfc3339;

use super::draft::Draft;
use super::{Action, EventKind};
use crate::conditions::Problem;
use crate::observe::ManagerView;

/// Puts the status right. Says whether this turn is over: what follows looks at the status that is
/// written.
pub(super) fn run(draft: &mut Draft<'_>) -> bool {
    if let Some(operation) = draft.status.operation.clone() {
        if let Some(wrong) = contradiction(draft, &operation) {
            draft.close();
            told(draft, format!("operation {}: {wrong}", operation.id));
            return true;
        }
        let now = draft.now();
        draft.change(|operation| {
            for time in [&mut operation.started_at, &mut operation.step_started_at] {
                if parse_rfc3339(time).is_none() {
                    time.clone_from(&now);
                }
            }
        });
    }
    deployment(draft) || rest(draft) || revision(draft)
}

fn told(draft: &mut Draft<'_>, what: String) {
    let text = format!("the status was changed by somebody else: {what}");
    draft.tell(EventKind::Warning, "StatusTampered", text);
}

/// What of an operation can't be.
fn contradiction(draft: &Draft<'_>, operation: &Operation) -> Option<String> {
    use OperationType::{Checkpoint, Delete, Savepoint, Suspend};
    if operation.kind == Delete {
        return None;
    }
    let current = draft.status.deployment;
    let (from, to) = (operation.from_deployment, operation.to_deployment);
    let starts = !matches!(operation.kind, Suspend | Savepoint | Checkpoint);
    let Some(to) = to else {
        let wrong = starts.then(|| "it starts a deployment and has no number for it".to_owned());
        return wrong.or_else(|| {
            (from != current).then(|| format!("deployment {from:?} is not the one that runs"))
        });
    };
    match operation.step {
        Step::Starting | Step::AwaitRunning => (current != Some(to))
            .then(|| format!("it has started deployment {to}, and the status has {current:?}")),
        _ if from != current => Some(format!("deployment {from:?} is not the one that runs")),
        _ => from
            .filter(|from| to <= *from)
            .map(|from| format!("deployment {to} can't follow {from}")),
    }
}

/// The deployment whose JobManager leads is the one that runs.
fn deployment(draft: &mut Draft<'_>) -> bool {
    let Some(manager) = &draft.observed.manager else {
        return false;
    };
    let led = manager.deployment;
    let old = draft.status.deployment;
    let replaced = draft.status.operation.as_ref().is_some_and(|operation| {
        // Its pods may take a while to go.
        operation.from_deployment == Some(led) || operation.to_deployment == Some(led)
    });
    if old == Some(led) || replaced {
        return false;
    }
    let pods = draft.observed.pods.iter();
    let mut made_from = pods
        .filter(|pod| pod.deployment == led)
        .filter_map(|pod| pod.revision.clone());
    let revision = made_from.next();
    let known = |revision: &String| draft.observed.revisions.contains_key(revision);
    let Some(revision) = revision.clone().filter(known) else {
        draft.problem = Some(Problem::stalled(
            "StatusTampered",
            format!(
                "deployment {led} leads the job, and the status has {old:?}; what it was made from \
                 (revision {}) is not kept any more. The job is left alone: put \
                 status.deployment right with `kubectl edit --subresource=status`",
                revision.unwrap_or_default()
            ),
        ));
        return true;
    };
    told(
        draft,
        format!("deployment {led} leads the job, not {old:?}"),
    );
    let restored = restored(draft, manager);
    draft.close();
    let status = &mut draft.status;
    status.deployment = Some(led);
    status.issued_deployment = status.issued_deployment.max(Some(led));
    status.current_revision = Some(revision);
    status.restore = Some(restored);
    if status
        .phase
        .is_some_and(|phase| phase.is_terminal() || phase == Phase::Suspended)
    {
        status.phase = Some(Phase::Running);
    }
    true
}

/// A job that runs is neither suspended nor over.
fn rest(draft: &mut Draft<'_>) -> bool {
    let rests = |phase: Phase| phase.is_terminal() || phase == Phase::Suspended;
    let phase = draft.status.phase.filter(|phase| rests(*phase));
    let (Some(phase), None) = (phase, &draft.status.operation) else {
        return false;
    };
    let deployment = draft.status.deployment;
    let manager = deployment.and_then(|deployment| draft.manager(deployment));
    let Some(manager) = manager.filter(|manager| manager.is_running()) else {
        return false;
    };
    told(draft, format!("the job runs, and the status has {phase:?}"));
    let restored = restored(draft, manager);
    draft.status.restore.get_or_insert(restored);
    draft.status.phase = Some(Phase::Running);
    draft.status.ended_at = None;
    true
}

/// The pods of a deployment are all made from one revision.
fn revision(draft: &mut Draft<'_>) -> bool {
    let Some(deployment) = draft.status.deployment else {
        return false;
    };
    let mut pods = draft.observed.pods.iter();
    let made_from = pods.find_map(|pod| {
        let own = pod.deployment == deployment;
        pod.revision.clone().filter(|_| own)
    });
    let Some(made_from) = made_from else {
        return false;
    };
    if !draft.observed.revisions.contains_key(&made_from) {
        let wanted = draft.wanted.as_ref();
        if wanted.is_ok_and(|wanted| wanted.revision.whole == made_from) {
            draft.act(Action::KeepRevision {
                revision: made_from,
            });
        }
        return false;
    }
    let current = draft.status.current_revision.clone();
    if current.as_ref() == Some(&made_from) {
        return false;
    }
    told(
        draft,
        format!("the pods are of revision {made_from}, not {current:?}"),
    );
    draft.status.current_revision = Some(made_from);
    true
}

/// That the job has been started, by what its JobManager says.
pub(super) fn restored(draft: &Draft<'_>, manager: &ManagerView) -> Restored {
    Restored {
        path: None,
        checkpoint_id: manager.restored,
        epoch: Some(manager.epoch),
        at: draft.now(),
    }
}
