//! The old job runs on while new pods come up: whether one of them can go on from the job's state
//! is known, and in strategy `PreWarm` all of them are there, before anything is stopped.
//!
//! The new JobManagers have no Lease, so they neither stand for election nor claim. They check the
//! state instead, and tell what they found. A check that fails ends the operation; a storage that
//! cannot be reached holds it up; pods for which there is no room, or no image, end it or change
//! its strategy after a while. Whatever happens here, the old job is not touched.

use weir_crd::{Operation, OperationType, Phase, PreWarmFallback, Step, UpgradeStrategy};

use super::awaiting::{self, waits_for};
use super::draft::Draft;
use super::settings::{self, Settings};
use super::steps::{exceeds, is_same_start};
use super::{Action, EventKind, Pods};
use crate::conditions::{Found, Problem};
use crate::observe::{Component, PodView, StateVerdict};
use crate::{build, names};

/// Whether the operation warms new pods up: something runs, or has run, that is worth keeping until
/// then.
pub(super) fn precedes(draft: &Draft<'_>, operation: &Operation) -> bool {
    let replaces = matches!(
        operation.kind,
        OperationType::Upgrade
            | OperationType::Rescale
            | OperationType::Restart
            | OperationType::Restore
            | OperationType::Rollback
    );
    let over = draft.status.phase.is_some_and(Phase::is_terminal);
    // The revision that comes back must be able to, even if the one that it replaces never ran.
    let worth_it = draft.status.restore.is_some() || operation.kind == OperationType::Rollback;
    replaces && !over && worth_it && operation.from_deployment.is_some()
}

/// What a JobManager says of a newest snapshot, or of a pointer to it, that can't be read.
const UNREADABLE: [&str; 2] = ["LatestUnreadable", "PointerDamaged"];

/// What the new JobManagers have found out.
enum Outcome {
    Waits,
    Unreachable(String),
    Passed {
        snapshot: Option<i64>,
        /// The deployment that has the job.
        deployment: Option<i64>,
    },
    Failed {
        reason: String,
        message: String,
    },
}

pub(super) fn run(draft: &mut Draft<'_>, operation: &Operation) {
    let (Some(from), Some(to), Some(revision)) = (
        operation.from_deployment,
        operation.to_deployment,
        operation.target_revision.clone(),
    ) else {
        return draft.go_on(Step::Removing);
    };
    if draft.status.ended_at.is_none() {
        draft.ensure(from);
    }
    // What came to its end needs no successor.
    if let Some(phase @ (Phase::Finished | Phase::Cancelled)) = draft.terminal(from) {
        return draft.end(phase);
    }
    if overtaken(draft, operation) {
        return;
    }
    let all = operation.effective_strategy == Some(UpgradeStrategy::PreWarm);
    remove_what_has_ended(draft, to);
    let pods = match all {
        true => draft.pods_to_make(to),
        false => Pods::First,
    };
    draft.act(Action::Warm {
        deployment: to,
        revision: revision.clone(),
        pods,
    });
    match outcome(draft, to) {
        Outcome::Failed { reason, message } => refuse(draft, operation, &reason, &message),
        Outcome::Unreachable(cause) => {
            draft.find(Found::Storage, false, "StorageUnreachable", &cause);
            let text = format!("the job's storage can't be reached: {cause}");
            draft.change(|operation| operation.message = text);
        }
        Outcome::Passed {
            snapshot,
            deployment,
        } => {
            let text = "the new JobManager has reached it";
            draft.find(Found::Storage, true, "Reached", text);
            if let Some(found) = deployment.filter(|found| *found > from) {
                return foreign(draft, from, found);
            }
            let text = match snapshot {
                Some(id) => format!("revision {revision} can go on from snapshot {id}"),
                None => format!("revision {revision} starts with no state"),
            };
            draft.find(Found::State, true, "Compatible", &text);
            passed(draft, operation, to, all);
        }
        Outcome::Waits => waits(draft, operation, to),
    }
}

/// The newest spec may ask for something else than what is being warmed up.
fn overtaken(draft: &mut Draft<'_>, operation: &Operation) -> bool {
    let Ok(wanted) = &draft.wanted else {
        return false;
    };
    let generation = draft.observed.job.generation;
    let returns = matches!(
        operation.kind,
        OperationType::Rollback | OperationType::Restart
    );
    // It may wait for a state that can't be had, and a person names another one. Others end first.
    let asked = returns && settings::restore_is_asked(draft);
    if generation == operation.target_generation && !asked {
        return false;
    }
    let (whole, spec) = (wanted.revision.whole.clone(), wanted.spec);
    let settings = Settings::of(draft, operation, spec);
    let same_target = operation.target_revision.as_ref() == Some(&whole);
    let goes_on = match returns {
        // They lead to another revision than the spec's, which must not ask for a new one.
        true => {
            let status = &draft.status;
            let known = [&status.current_revision, &status.failed_revision];
            let mut known = known.into_iter();
            !asked && known.any(|known| known.as_ref() == Some(&whole))
        }
        false => {
            let (warm, wanted) = (&operation.start_from, &settings.start_from);
            same_target && is_same_start(warm.as_ref(), wanted.as_ref())
        }
    };
    if spec.suspend || !goes_on {
        draft.close();
        draft.tell(
            EventKind::Normal,
            "OperationSuperseded",
            format!("operation {} gives way to a newer spec", operation.id),
        );
        return true;
    }
    draft.change(|operation| {
        // The pods that are there were made from what stands here.
        let start_from = operation.start_from.take();
        settings.apply(operation);
        operation.start_from = start_from;
        operation.target_generation = generation;
    });
    true
}

/// A pod that its node will not start again makes room for another one.
fn remove_what_has_ended(draft: &mut Draft<'_>, to: i64) {
    let observed = draft.observed;
    let over = |pod: &&PodView| pod.deployment == to && pod.over && pod.deleting_since_ms.is_none();
    for pod in observed.pods.iter().filter(over) {
        draft.act(Action::DeletePod {
            name: pod.name.clone(),
            at_once: false,
        });
    }
}

fn outcome(draft: &Draft<'_>, to: i64) -> Outcome {
    let mut pods = draft.pods(to, Component::JobManager);
    pods.retain(|pod| pod.deleting_since_ms.is_none() && !pod.over);
    let mut outcome = Outcome::Waits;
    for pod in &pods {
        let Some(check) = pod.standby.as_ref().and_then(|view| view.check.as_ref()) else {
            continue;
        };
        match check.verdict {
            StateVerdict::Failed => {
                return Outcome::Failed {
                    reason: check.reason.clone(),
                    message: check.message.clone(),
                };
            }
            StateVerdict::Passed => {
                outcome = Outcome::Passed {
                    snapshot: check.snapshot,
                    deployment: check.deployment,
                };
            }
            StateVerdict::Unreachable if matches!(outcome, Outcome::Waits) => {
                outcome = Outcome::Unreachable(check.message.clone());
            }
            StateVerdict::Unreachable | StateVerdict::Pending => {}
        }
    }
    // A JobManager that refuses its own program never comes to check anything.
    let refused = pods.iter().find_map(|pod| {
        let answers = pod.standby.is_some();
        let report = pod.ended.as_ref().filter(|_| !answers)?.report.as_ref()?;
        report.error.clone()
    });
    match (outcome, refused) {
        (Outcome::Waits, Some(message)) => Outcome::Failed {
            reason: "ProgramRefused".to_owned(),
            message,
        },
        (outcome, _) => outcome,
    }
}

/// The new revision can't go on from the job's state: it is not tried again until the spec changes.
fn refuse(draft: &mut Draft<'_>, operation: &Operation, reason: &str, message: &str) {
    let revision = operation.target_revision.clone().unwrap_or_default();
    if operation.kind == OperationType::Rollback && UNREADABLE.contains(&reason) {
        // No revision is to blame, and the operation stays: what is missing may come back.
        draft.problem = Some(awaiting::unreadable(message));
        let text = format!("{reason}: {message}");
        return draft.change(|operation| operation.message = text);
    }
    if operation.kind == OperationType::Rollback {
        let text = format!("revision {revision} can't return: {message}");
        draft.find(Found::State, false, "StateIncompatible", &text);
        // The operation stays: the state that it waits for may come back.
        draft.problem = Some(Problem::stalled(
            "RollbackWouldRewind",
            format!(
                "revision {revision} can't go on from the newest snapshot ({reason}: {message}), and \
                 an older one would publish results again. Edit the spec to a revision that can, or \
                 name an older snapshot in spec.restore and raise spec.restore.nonce; \
                 weir.dev/abort-operation={} keeps what runs",
                operation.id
            ),
        ));
        let text = format!("{reason}: {message}");
        return draft.change(|operation| operation.message = text);
    }
    let current = draft.status.current_revision.clone();
    if operation.target_revision != current {
        draft
            .status
            .failed_revision
            .clone_from(&operation.target_revision);
    }
    if operation.kind == OperationType::Restore {
        settings::restore_is_handled(draft);
    }
    let text = format!(
        "revision {revision} can't go on from the job's state: {reason}: {message}. The job runs on \
         as it was; edit the spec to try again"
    );
    draft.find(Found::State, false, "StateIncompatible", &text);
    draft.close();
    draft.fail("StateIncompatible", text);
}

fn foreign(draft: &mut Draft<'_>, from: i64, found: i64) {
    draft.problem = Some(Problem::stalled(
        "ForeignOwner",
        format!(
            "deployment {found} has the job's state, this is {from}: another StreamJob uses the \
             same spec.stateId, or this one's status is of a backup. Remove the other one, then \
             raise spec.restartNonce"
        ),
    ));
}

/// The state fits. Is all there that is to be there?
fn passed(draft: &mut Draft<'_>, operation: &Operation, to: i64, all: bool) {
    if !all {
        if remove_all_but_the_first(draft, to) {
            return;
        }
        if is_refused_later(draft, operation, to) {
            return;
        }
        return draft.go_on(settings::after_warming(draft, operation));
    }
    if all_are_ready(draft, operation, to) {
        return draft.go_on(settings::after_warming(draft, operation));
    }
    let text = format!("new pods come up: {}", waits_for_pods(draft, to));
    if !is_late(draft, operation) {
        return draft.change(|operation| operation.message = text);
    }
    let fallback = draft.policy().map_or(PreWarmFallback::Recreate, |spec| {
        spec.upgrade.pre_warm_fallback
    });
    match fallback {
        PreWarmFallback::None => {
            let text = format!(
                "{text}. The job runs on as it was: make room for old and new pods at once, or set \
                 spec.upgrade.preWarmFallback to Recreate"
            );
            draft.give_up("NotWarmedUp", text);
        }
        PreWarmFallback::Recreate => {
            draft.tell(
                EventKind::Warning,
                "StrategyChanged",
                format!("{text}. The upgrade goes on as Recreate"),
            );
            draft.change(|operation| {
                operation.effective_strategy = Some(UpgradeStrategy::Recreate);
                operation.message = text;
            });
        }
    }
}

/// Whether the API server would refuse pods that come once the old job has stopped: then it is not
/// stopped. What a rollback takes the place of does not run well, and is not kept for that.
fn is_refused_later(draft: &mut Draft<'_>, operation: &Operation, to: i64) -> bool {
    if draft.observed.refused.is_none() || operation.kind == OperationType::Rollback {
        return false;
    }
    let text = waits_for_pods(draft, to);
    match is_late(draft, operation) {
        false => draft.change(|operation| operation.message = text),
        true => draft.give_up(
            "NotWarmedUp",
            format!(
                "the API server would refuse pods of the new job: {text}. The job runs on as it was"
            ),
        ),
    }
    true
}

/// Whether pods that make room for the old job's have still to be told.
fn remove_all_but_the_first(draft: &mut Draft<'_>, to: i64) -> bool {
    let observed = draft.observed;
    let first = names::jobmanager(&observed.job.name, to, 0);
    let extra = |pod: &&PodView| {
        pod.deployment == to && pod.name != first && pod.deleting_since_ms.is_none()
    };
    let mut found = false;
    for pod in observed.pods.iter().filter(extra) {
        found = true;
        draft.act(Action::DeletePod {
            name: pod.name.clone(),
            at_once: false,
        });
    }
    found
}

fn all_are_ready(draft: &Draft<'_>, operation: &Operation, to: i64) -> bool {
    let revision = operation.target_revision.as_ref();
    let Some(spec) = revision.and_then(|revision| draft.observed.revisions.get(revision)) else {
        return false;
    };
    let ready = |component| {
        let pods = draft.pods(to, component);
        let ready = pods.iter().filter(|pod| pod.ready && !pod.over);
        u32::try_from(ready.count()).unwrap_or(u32::MAX)
    };
    ready(Component::JobManager) >= spec.job_manager.replicas
        && ready(Component::TaskManager) >= build::task_managers(spec)
}

/// No JobManager has told anything yet.
fn waits(draft: &mut Draft<'_>, operation: &Operation, to: i64) {
    let text = waits_for_pods(draft, to);
    if !is_late(draft, operation) {
        return draft.change(|operation| operation.message = text);
    }
    if operation.kind == OperationType::Rollback {
        // What it would take the place of does not run well: its pods make room.
        draft.tell(
            EventKind::Warning,
            "StrategyChanged",
            format!("{text}. The rollback goes on without having checked the state"),
        );
        draft.change(|operation| operation.effective_strategy = Some(UpgradeStrategy::Recreate));
        return draft.go_on(settings::after_warming(draft, operation));
    }
    draft.give_up(
        "NotWarmedUp",
        format!("the new JobManager does not come up: {text}. The job runs on as it was"),
    );
}

fn is_late(draft: &Draft<'_>, operation: &Operation) -> bool {
    let timeout = draft
        .policy()
        .map(|spec| spec.upgrade.pre_warm_timeout.get());
    timeout.is_none_or(|timeout| exceeds(draft.since(&operation.step_started_at), timeout))
}

/// What keeps the new pods from running, as far as can be seen.
fn waits_for_pods(draft: &Draft<'_>, to: i64) -> String {
    if let Some(refused) = &draft.observed.refused {
        return format!("{}: {}", refused.reason, refused.message);
    }
    let mut pods = draft.observed.pods.iter();
    let unready = |pod: &&PodView| pod.deployment == to && !pod.ready;
    match waits_for(draft, to) {
        text if text.starts_with("pod ") => text,
        _ => match pods.find(unready) {
            Some(pod) => format!("pod {} is not ready yet", pod.name),
            None => "the new JobManager has not checked the state yet".to_owned(),
        },
    }
}
