//! The conditions, one function each. Their reasons, with what they mean and what to do about them,
//! are in [`crate::reasons`].

use weir_crd::{Condition, ConditionStatus, OperationType, Phase, Step, StreamJobStatus};

use super::{checkpoints, restarts, storage};
use crate::observe::PodView;
use crate::plan::EventKind;
use crate::plan::draft::Draft;

/// What a condition is to be.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(super) status: ConditionStatus,
    reason: &'static str,
    message: String,
}

impl Verdict {
    pub(crate) fn new(holds: bool, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: match holds {
                true => ConditionStatus::True,
                false => ConditionStatus::False,
            },
            reason,
            message: message.into(),
        }
    }

    pub(super) fn unknown(reason: &'static str, message: &str) -> Self {
        Self {
            status: ConditionStatus::Unknown,
            reason,
            message: message.to_owned(),
        }
    }
}

/// What an operation finds out now and then. Between, the condition stays as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Found {
    /// Whether the job's storage can be used.
    Storage,
    /// Whether the new revision can take over the job's state.
    State,
}

/// What a change of a condition is told as: when it becomes bad. All become good as
/// `ConditionCleared`. The other conditions change with the phase or an operation, which are told.
const NEWS: &[(&str, ConditionStatus, &str)] = &[
    ("Accepted", ConditionStatus::False, "SpecRefused"),
    ("Degraded", ConditionStatus::True, "Degraded"),
    ("Stalled", ConditionStatus::True, "Stalled"),
    (
        "CheckpointsHealthy",
        ConditionStatus::False,
        "CheckpointsUnhealthy",
    ),
    (
        "StorageReachable",
        ConditionStatus::False,
        "StorageUnreachable",
    ),
    (
        "StateCompatible",
        ConditionStatus::False,
        "StateIncompatible",
    ),
    ("ReconciliationPaused", ConditionStatus::True, "Paused"),
];

pub(super) fn conditions(draft: &mut Draft<'_>) {
    let checkpoints = checkpoints::verdict(draft);
    checkpoints::tell_age(draft, checkpoints.as_ref());
    let verdicts: Vec<(&str, Option<Verdict>)> = vec![
        ("Accepted", Some(accepted(draft))),
        ("Ready", Some(ready(draft))),
        ("Progressing", Some(progressing(draft))),
        ("Stable", Some(stable(draft))),
        ("Degraded", Some(degraded(draft, checkpoints.as_ref()))),
        ("Stalled", Some(stalled(draft))),
        ("CheckpointsHealthy", checkpoints),
        (
            "StorageReachable",
            found(draft, Found::Storage).or_else(|| storage::verdict(draft)),
        ),
        (
            "StateCompatible",
            found(draft, Found::State).or_else(|| state_again(draft)),
        ),
        ("RolledBack", rolled_back(draft)),
        ("Suspended", Some(suspended(draft))),
        ("ReconciliationPaused", Some(paused(draft))),
        ("SavepointInProgress", Some(savepoint(draft))),
    ];
    let (now, generation) = (draft.now(), draft.observed.job.generation);
    let known = std::mem::take(&mut draft.status.conditions);
    for (kind, verdict) in verdicts {
        let before = known.iter().find(|condition| condition.kind == kind);
        let Some(verdict) = verdict else {
            let lasts = match kind {
                "StorageReachable" => !storage::forgets(draft, before),
                kind => kind == "StateCompatible",
            };
            draft
                .status
                .conditions
                .extend(before.filter(|_| lasts).cloned());
            continue;
        };
        tell(draft, kind, before, &verdict);
        let condition = condition(kind, before, verdict, (&now, generation));
        draft.status.conditions.push(condition);
    }
}

fn condition(
    kind: &str,
    before: Option<&Condition>,
    verdict: Verdict,
    (now, generation): (&str, i64),
) -> Condition {
    let since = before
        .filter(|before| before.status == verdict.status)
        .map(|before| before.last_transition_time.clone());
    Condition {
        kind: kind.to_owned(),
        status: verdict.status,
        observed_generation: Some(generation),
        last_transition_time: since.unwrap_or_else(|| now.to_owned()),
        reason: verdict.reason.to_owned(),
        message: verdict.message.chars().take(2048).collect(),
    }
}

/// Tells whether the job is stalled. All other conditions stay as they were.
pub(super) fn only_stalled(draft: &mut Draft<'_>) {
    let verdict = stalled(draft);
    only(draft, "Stalled", verdict);
}

/// The same of whether it was accepted.
pub(super) fn only_accepted(draft: &mut Draft<'_>) {
    let verdict = accepted(draft);
    only(draft, "Accepted", verdict);
}

fn only(draft: &mut Draft<'_>, kind: &str, verdict: Verdict) {
    let (now, generation) = (draft.now(), draft.observed.job.generation);
    let is_it = |condition: &Condition| condition.kind == kind;
    let place = draft.status.conditions.iter().position(is_it);
    let before = place.map(|place| draft.status.conditions.remove(place));
    tell(draft, kind, before.as_ref(), &verdict);
    let condition = condition(kind, before.as_ref(), verdict, (&now, generation));
    let last = draft.status.conditions.len();
    draft
        .status
        .conditions
        .insert(place.unwrap_or(last), condition);
}

/// Tells of a condition that has become bad, or good again.
fn tell(draft: &mut Draft<'_>, kind: &str, before: Option<&Condition>, verdict: &Verdict) {
    let Some((_, bad, reason)) = NEWS.iter().find(|(about, ..)| *about == kind) else {
        return;
    };
    let (was, is) = (before.map(|before| before.status), verdict.status);
    if is == *bad && was != Some(is) {
        draft.tell(
            EventKind::Warning,
            reason,
            format!("{}: {}", verdict.reason, verdict.message),
        );
    } else if was == Some(*bad) && is != *bad {
        draft.tell(
            EventKind::Normal,
            "ConditionCleared",
            format!("{kind} is {is:?} again"),
        );
    }
}

/// What was found out in this turn.
fn found(draft: &Draft<'_>, what: Found) -> Option<Verdict> {
    draft.found.get(&what).cloned()
}

/// A condition as it was written last.
fn known<'a>(status: &'a StreamJobStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|known| known.kind == kind)
}

/// Whether a condition that operations find out was bad when it was written last.
pub(crate) fn is_bad(status: &StreamJobStatus, kind: &str) -> bool {
    known(status, kind).is_some_and(|known| known.status == ConditionStatus::False)
}

/// The revision that could not take over the job's state is not wanted any more: what runs is.
fn state_again(draft: &Draft<'_>) -> Option<Verdict> {
    let status = &draft.observed.job.status;
    let refused = known(status, "StateCompatible");
    let refused = refused.filter(|known| known.status == ConditionStatus::False)?;
    let edited = refused.observed_generation != Some(draft.observed.job.generation);
    let goes_on = edited && draft.status.operation.is_none() && is_current(draft);
    let text = "the newest spec is the one whose state it is";
    goes_on.then(|| Verdict::new(true, "Compatible", text))
}

fn accepted(draft: &Draft<'_>) -> Verdict {
    if let Err(message) = &draft.wanted {
        let running = match draft.status.deployment {
            Some(_) => " What runs goes on unchanged.",
            None => "",
        };
        return Verdict::new(false, "Invalid", format!("{message}.{running}"));
    }
    if let (Some(other), Some(owner)) = (&draft.status.refused_operator, &draft.status.operator) {
        let message = format!(
            "operators {owner} and {other} are both to look after this namespace: {owner} does, \
             {other} leaves the job alone. Narrow the `watchNamespaces` of one of them"
        );
        return Verdict::new(false, "ForeignOperator", message);
    }
    if let Some(message) = secret_missing(draft) {
        return Verdict::new(false, "SecretMissing", message);
    }
    match draft.requests.refused.first() {
        Some(refused) => Verdict::new(false, "InvalidAnnotation", refused),
        None => Verdict::new(true, "Valid", "the spec is valid"),
    }
}

/// The Secret that the job waits for. Between the attempts of an operation there is no pod that
/// could tell, so what was found holds until one of the next pods is ready.
fn secret_missing(draft: &Draft<'_>) -> Option<String> {
    let found = draft.missing_secret();
    if found.is_some() || draft.status.retry.is_none() {
        return found;
    }
    let operation = draft.status.operation.as_ref();
    let next = operation.and_then(|operation| operation.to_deployment);
    let mut pods = draft.observed.pods.iter();
    if pods.any(|pod| pod.ready && Some(pod.deployment) == next) {
        return None;
    }
    let mut known = draft.observed.job.status.conditions.iter();
    let known = known.find(|known| known.kind == "Accepted" && known.reason == "SecretMissing");
    let generation = draft.observed.job.generation;
    let same_spec = |known: &&Condition| known.observed_generation == Some(generation);
    known.filter(same_spec).map(|known| known.message.clone())
}

fn is_current(draft: &Draft<'_>) -> bool {
    draft
        .wanted
        .as_ref()
        .is_ok_and(|wanted| draft.status.current_revision.as_ref() == Some(&wanted.revision.whole))
}

fn ready(draft: &Draft<'_>) -> Verdict {
    let phase = draft.status.phase.unwrap_or(Phase::Pending);
    let runs = matches!(phase, Phase::Running | Phase::Stable);
    if runs && is_current(draft) {
        return Verdict::new(true, "Running", "the job runs with the newest spec");
    }
    if runs {
        let message = match &draft.wanted {
            Err(_) => "the job runs with the last valid spec".to_owned(),
            Ok(_) if draft.status.rollback.is_some() => {
                "the job runs with an earlier spec: the newest one was rolled back".to_owned()
            }
            Ok(_) => "the job runs with an earlier spec".to_owned(),
        };
        return Verdict::new(false, "EarlierSpec", message);
    }
    let message = match &draft.status.operation {
        Some(operation) if !operation.message.is_empty() => operation.message.clone(),
        Some(operation) => format!("{:?}: {:?}", operation.kind, operation.step),
        None => match phase {
            Phase::Recovering => recovering(draft),
            phase => format!("the job is {phase:?}"),
        },
    };
    Verdict::new(false, reason_of(phase), message)
}

fn recovering(draft: &Draft<'_>) -> String {
    let manager = draft
        .status
        .deployment
        .and_then(|deployment| draft.manager(deployment));
    match manager {
        None => "no JobManager answers".to_owned(),
        Some(manager) => {
            let (all, running) = manager.tasks;
            let why = manager.last_failure.clone().unwrap_or_default();
            format!(
                "the job is {}, {running} of {all} subtasks run. {why}",
                manager.state
            )
        }
    }
}

fn reason_of(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Deploying => "Deploying",
        Phase::Running | Phase::Stable => "Running",
        Phase::Recovering => "Recovering",
        Phase::Upgrading => "Upgrading",
        Phase::RollingBack => "RollingBack",
        Phase::Suspending => "Suspending",
        Phase::Suspended => "Suspended",
        Phase::Finished => "Finished",
        Phase::Failed => "Failed",
        Phase::Cancelled => "Cancelled",
        Phase::Deleting => "Deleting",
    }
}

fn progressing(draft: &Draft<'_>) -> Verdict {
    match &draft.status.operation {
        Some(operation) => {
            let message = format!(
                "{:?} {}: {}",
                operation.step, operation.id, operation.reason
            );
            Verdict::new(true, operation_reason(operation.kind), message)
        }
        None => Verdict::new(false, "Idle", "no operation is open"),
    }
}

fn operation_reason(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Deploy => "Deploy",
        OperationType::Upgrade => "Upgrade",
        OperationType::Rescale => "Rescale",
        OperationType::Restart => "Restart",
        OperationType::Restore => "Restore",
        OperationType::Rollback => "Rollback",
        OperationType::Suspend => "Suspend",
        OperationType::Savepoint => "Savepoint",
        OperationType::Checkpoint => "Checkpoint",
        OperationType::Delete => "Delete",
    }
}

fn stable(draft: &Draft<'_>) -> Verdict {
    match draft.status.phase {
        Some(Phase::Stable) => Verdict::new(true, "Proved", "the revision has proved itself"),
        _ => Verdict::new(false, "NotProved", "the revision has not proved itself yet"),
    }
}

fn degraded(draft: &Draft<'_>, checkpoints: Option<&Verdict>) -> Verdict {
    if let (Some(retry), Some(error)) = (&draft.status.retry, &draft.status.last_error) {
        let message = format!("{}. Tried again after {}", error.message, retry.not_before);
        return Verdict::new(true, "OperationFailed", message);
    }
    if let Some(message) = pod_trouble(draft) {
        return Verdict::new(true, "PodNotRunning", message);
    }
    // What was refused to a job that has ended, or was suspended, is of no interest any more.
    let phase = draft.status.phase;
    let runs = matches!(
        phase,
        Some(Phase::Recovering | Phase::Running | Phase::Stable)
    );
    let is_looked_after = draft.status.operation.is_some() || runs;
    if let Some(refused) = draft.observed.refused.as_ref().filter(|_| is_looked_after) {
        let message = format!(
            "the API server refuses an object of the job: {}: {}",
            refused.reason, refused.message
        );
        return Verdict::new(true, "PodRefused", message);
    }
    if draft.status.phase == Some(Phase::Failed) {
        let error = draft.status.last_error.as_ref();
        let message = error.map_or("the job failed", |error| &error.message);
        return Verdict::new(true, "Failed", message);
    }
    if let Some((times, window)) = restarts::too_often(draft).filter(|_| runs) {
        let restarts = draft.status.restarts.as_ref();
        let cause = restarts.and_then(|restarts| restarts.last_reason.as_deref());
        let cause = cause.unwrap_or("the JobManager's log says why");
        let message = format!("the job was started again {times} times within {window}: {cause}");
        return Verdict::new(true, "RestartLoop", message);
    }
    if let Some(Phase::Recovering) = draft.status.phase {
        return Verdict::new(true, "Recovering", recovering(draft));
    }
    match checkpoints.filter(|verdict| verdict.status == ConditionStatus::False) {
        Some(verdict) => Verdict::new(true, "NoCheckpoints", &verdict.message),
        None => Verdict::new(false, "AsExpected", "nothing needs attention"),
    }
}

/// Why a pod of the job does not run. Those that are to follow, while the job goes on, only where
/// Kubernetes finds something wrong: they are given time to fetch their image.
fn pod_trouble(draft: &Draft<'_>) -> Option<String> {
    let own = |pod: &&PodView| Some(pod.deployment) == draft.status.deployment;
    let coming_up = draft.coming_up();
    let next = |pod: &&PodView| coming_up.contains(&pod.deployment);
    let pods = &draft.observed.pods;
    let troubled = pods.iter().filter(own).find_map(|pod| draft.trouble(pod));
    troubled.or_else(|| {
        let mut next = pods.iter().filter(next);
        next.find_map(|pod| draft.told_trouble(pod))
    })
}

fn stalled(draft: &Draft<'_>) -> Verdict {
    match &draft.problem {
        Some(problem) => Verdict::new(true, problem.reason, &problem.message),
        None => Verdict::new(false, "AsExpected", "nothing waits for a person"),
    }
}

fn rolled_back(draft: &Draft<'_>) -> Option<Verdict> {
    let rollback = draft.status.rollback.as_ref()?;
    let holds = draft.status.failed_revision.as_ref() == Some(&rollback.from_revision);
    Some(match holds {
        true => Verdict::new(
            true,
            "RolledBack",
            format!(
                "revision {} was replaced by {}: {}. Edit the spec to try again",
                rollback.from_revision, rollback.to_revision, rollback.reason
            ),
        ),
        false => Verdict::new(false, "Superseded", "a newer spec runs"),
    })
}

fn suspended(draft: &Draft<'_>) -> Verdict {
    match draft.status.phase {
        Some(Phase::Suspended) => {
            Verdict::new(true, "Suspended", "set spec.suspend to false to resume")
        }
        _ => Verdict::new(false, "NotSuspended", "the job is not suspended"),
    }
}

fn paused(draft: &Draft<'_>) -> Verdict {
    match draft.requests.paused {
        true => Verdict::new(
            true,
            "Paused",
            "the annotation weir.dev/paused is true: remove it to go on",
        ),
        false => Verdict::new(false, "NotPaused", "the operator looks after the job"),
    }
}

fn savepoint(draft: &Draft<'_>) -> Verdict {
    let operation = draft.status.operation.as_ref();
    let taking =
        operation.filter(|operation| matches!(operation.step, Step::Snapshot | Step::Stopping));
    match taking {
        Some(operation) => Verdict::new(true, "InProgress", format!("operation {}", operation.id)),
        None => Verdict::new(false, "None", "no savepoint is being taken"),
    }
}
