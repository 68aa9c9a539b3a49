//! What the status says of the job: phase, conditions, and what its JobManager told.
//!
//! A condition keeps its time as long as its status does, and no time is written for its own sake:
//! while nothing happens, the status stays equal, and nothing is written.

use weir_crd::{
    CheckpointStatus, Condition, ConditionStatus, JobManagerStatus, OperationType, Phase,
    StreamJobSpec, TaskManagerStatus,
};

use crate::names;
use crate::observe::{Component, ManagerView};
use crate::plan::EventKind;
use crate::plan::draft::Draft;
use weir_lease::{parse_rfc3339, rfc3339};

/// The newest checkpoint is written no more often than this, so that a job that just runs costs the
/// API server next to nothing.
const CHECKPOINT_NEWS_MS: i64 = 60_000;

/// Something that a person should know.
pub(crate) struct Problem {
    reason: &'static str,
    message: String,
}

impl Problem {
    /// Nothing will happen until a person acts; the message says how.
    pub(crate) fn stalled(reason: &'static str, message: String) -> Self {
        Self { reason, message }
    }
}

/// Fills in the rest of the status.
pub(crate) fn report(draft: &mut Draft<'_>) {
    draft.status.observed_generation = Some(draft.observed.job.generation);
    facts(draft);
    stability(draft);
    draft.status.phase = Some(phase(draft));
    conditions(draft);
}

/// What pods and the JobManager told.
fn facts(draft: &mut Draft<'_>) {
    let name = draft.observed.job.name.clone();
    let deployment = draft.status.deployment;
    let spec = draft.current_spec().cloned();
    let manager = deployment
        .and_then(|deployment| draft.manager(deployment))
        .cloned();
    if let Some(manager) = &manager {
        draft.status.job_id = Some(manager.job_id.clone());
        draft.status.epoch = Some(manager.epoch);
        newest_checkpoint(draft, manager);
    }
    let Some(deployment) = deployment else {
        return;
    };
    let ready = |component| {
        let pods = draft.pods(deployment, component);
        let ready = pods
            .iter()
            .filter(|pod| pod.ready && pod.deleting_since_ms.is_none());
        (
            u32::try_from(pods.len()).unwrap_or(0),
            u32::try_from(ready.count()).unwrap_or(0),
        )
    };
    let (_, ready_managers) = ready(Component::JobManager);
    let (taskmanagers, ready_taskmanagers) = ready(Component::TaskManager);
    let known = draft.status.job_manager.take().unwrap_or_default();
    let gone = draft.observed.pods.is_empty();
    let leader = match &manager {
        Some(manager) => Some(manager.pod.clone()),
        None => known.leader.filter(|_| !gone),
    };
    draft.status.job_manager = Some(JobManagerStatus {
        leader,
        lease_name: draft.lease_name(),
        ready_replicas: ready_managers,
        rest_endpoint: spec.as_ref().filter(|spec| spec.ui.enabled).map(|spec| {
            let namespace = &draft.observed.job.namespace;
            format!("{}.{namespace}.svc:{}", names::rest(&name), spec.ui.port)
        }),
    });
    draft.status.task_manager = Some(TaskManagerStatus {
        replicas: taskmanagers,
        ready_replicas: ready_taskmanagers,
        selector: format!(
            "{}={name},{}=taskmanager",
            names::JOB_LABEL,
            names::COMPONENT_LABEL
        ),
    });
    draft.status.parallelism = spec.map(|spec| {
        spec.job
            .parallelism
            .unwrap_or_else(|| spec.default_parallelism())
    });
}

fn newest_checkpoint(draft: &mut Draft<'_>, manager: &ManagerView) {
    let Some(latest) = &manager.latest else {
        return;
    };
    let known = draft.status.checkpoint.clone().unwrap_or_default();
    if known.last_completed_id == Some(latest.id) {
        return;
    }
    let told = known.last_completed_time.as_deref().and_then(parse_rfc3339);
    let busy = draft.status.operation != draft.observed.job.status.operation;
    if !busy && told.is_some_and(|told| latest.at_ms - told < CHECKPOINT_NEWS_MS) {
        return;
    }
    draft.status.checkpoint = Some(CheckpointStatus {
        last_completed_id: Some(latest.id),
        last_completed_time: Some(rfc3339(latest.at_ms)),
        path: Some(latest.path.clone()),
        last: known.last,
    });
}

/// Whether the revision has proved itself.
fn stability(draft: &mut Draft<'_>) {
    let Some(deployment) = draft.status.deployment else {
        return;
    };
    let Some(since) = draft.status.running_since.clone() else {
        let back = draft.status.restore.is_some()
            && draft
                .manager(deployment)
                .is_some_and(ManagerView::is_running);
        if back {
            draft.status.running_since = Some(draft.now());
        }
        return;
    };
    let runs = draft.manager(deployment).map(ManagerView::is_running);
    let managers = draft.pods(deployment, Component::JobManager);
    let broken = runs == Some(false) || managers.iter().all(|pod| !pod.ready);
    if broken {
        draft.status.running_since = None;
        return;
    }
    let (Some(spec), Some(manager)) = (draft.current_spec(), draft.manager(deployment)) else {
        return;
    };
    let current = draft.status.current_revision.clone();
    if current.is_none() || current == draft.status.stable_revision {
        return;
    }
    let rollback = &spec.rollback;
    let long = i64::try_from(rollback.min_stable.get().as_millis())
        .is_ok_and(|time| draft.since(&since) >= time);
    let checkpoints =
        !takes_checkpoints(spec) || manager.completed >= u64::from(rollback.min_checkpoints);
    if long && checkpoints {
        draft.status.stable_revision.clone_from(&current);
        let revision = current.unwrap_or_default();
        draft.tell(
            EventKind::Normal,
            "Stable",
            format!("revision {revision} is stable"),
        );
    }
}

fn takes_checkpoints(spec: &StreamJobSpec) -> bool {
    spec.storage.is_some() && spec.checkpoint.enabled()
}

fn phase(draft: &Draft<'_>) -> Phase {
    let status = &draft.status;
    if draft.observed.job.deleting_since_ms.is_some() {
        return Phase::Deleting;
    }
    if let Some(operation) = &status.operation {
        return match operation.kind {
            OperationType::Deploy => Phase::Deploying,
            OperationType::Rollback => Phase::RollingBack,
            OperationType::Suspend => Phase::Suspending,
            OperationType::Delete => Phase::Deleting,
            OperationType::Savepoint | OperationType::Checkpoint => running_phase(draft),
            OperationType::Upgrade
            | OperationType::Rescale
            | OperationType::Restart
            | OperationType::Restore => Phase::Upgrading,
        };
    }
    match status.phase {
        Some(phase) if phase.is_terminal() || phase == Phase::Suspended => phase,
        _ if status.deployment.is_none() => Phase::Pending,
        _ => running_phase(draft),
    }
}

fn running_phase(draft: &Draft<'_>) -> Phase {
    let status = &draft.status;
    match &status.running_since {
        None => Phase::Recovering,
        Some(_) if status.current_revision == status.stable_revision => Phase::Stable,
        Some(_) => Phase::Running,
    }
}

type Verdict = (bool, &'static str, String);

fn conditions(draft: &mut Draft<'_>) {
    let verdicts: Vec<(&str, Option<Verdict>)> = vec![
        ("Accepted", Some(accepted(draft))),
        ("Ready", Some(ready(draft))),
        ("Progressing", Some(progressing(draft))),
        ("Stable", Some(stable(draft))),
        ("Degraded", Some(degraded(draft))),
        ("Stalled", Some(stalled(draft))),
        ("CheckpointsHealthy", checkpoints(draft)),
        ("RolledBack", rolled_back(draft)),
        ("Suspended", Some(suspended(draft))),
        ("ReconciliationPaused", Some(paused(draft))),
        ("SavepointInProgress", Some(savepoint(draft))),
    ];
    let (now, generation) = (draft.now(), draft.observed.job.generation);
    let known = std::mem::take(&mut draft.status.conditions);
    for (kind, verdict) in verdicts {
        let Some((holds, reason, message)) = verdict else {
            continue;
        };
        let status = match holds {
            true => ConditionStatus::True,
            false => ConditionStatus::False,
        };
        let before = known.iter().find(|condition| condition.kind == kind);
        let since = before
            .filter(|before| before.status == status)
            .map(|before| before.last_transition_time.clone());
        draft.status.conditions.push(Condition {
            kind: kind.to_owned(),
            status,
            observed_generation: Some(generation),
            last_transition_time: since.unwrap_or_else(|| now.clone()),
            reason: reason.to_owned(),
            message: message.chars().take(2048).collect(),
        });
    }
}

fn accepted(draft: &Draft<'_>) -> Verdict {
    if let Err(message) = &draft.wanted {
        let running = match draft.status.deployment {
            Some(_) => " What runs goes on unchanged.",
            None => "",
        };
        return (false, "Invalid", format!("{message}.{running}"));
    }
    match draft.requests.refused.first() {
        Some(refused) => (false, "InvalidAnnotation", refused.clone()),
        None => (true, "Valid", "the spec is valid".to_owned()),
    }
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
        return (
            true,
            "Running",
            "the job runs with the newest spec".to_owned(),
        );
    }
    if runs {
        let message = match &draft.wanted {
            Err(_) => "the job runs with the last valid spec".to_owned(),
            Ok(_) if draft.status.rollback.is_some() => {
                "the job runs with an earlier spec: the newest one was rolled back".to_owned()
            }
            Ok(_) => "the job runs with an earlier spec".to_owned(),
        };
        return (false, "EarlierSpec", message);
    }
    let message = match &draft.status.operation {
        Some(operation) if !operation.message.is_empty() => operation.message.clone(),
        Some(operation) => format!("{:?}: {:?}", operation.kind, operation.step),
        None => match phase {
            Phase::Recovering => recovering(draft),
            phase => format!("the job is {phase:?}"),
        },
    };
    (false, reason_of(phase), message)
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
            (true, operation_reason(operation.kind), message)
        }
        None => (false, "Idle", "no operation is open".to_owned()),
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
        Some(Phase::Stable) => (true, "Proved", "the revision has proved itself".to_owned()),
        _ => (
            false,
            "NotProved",
            "the revision has not proved itself yet".to_owned(),
        ),
    }
}

fn degraded(draft: &Draft<'_>) -> Verdict {
    if let (Some(retry), Some(error)) = (&draft.status.retry, &draft.status.last_error) {
        let message = format!("{}. Tried again after {}", error.message, retry.not_before);
        return (true, "OperationFailed", message);
    }
    let deployment = draft.status.deployment;
    let mut pods = draft
        .observed
        .pods
        .iter()
        .filter(|pod| Some(pod.deployment) == deployment);
    if let Some((name, trouble)) = pods.find_map(|pod| Some((&pod.name, pod.trouble.as_ref()?))) {
        let message = format!("pod {name}: {}: {}", trouble.reason, trouble.message);
        return (true, "PodNotRunning", message);
    }
    match draft.status.phase {
        Some(Phase::Recovering) => (true, "Recovering", recovering(draft)),
        Some(Phase::Failed) => {
            let error = draft.status.last_error.as_ref();
            let message = error.map_or("the job failed", |error| &error.message);
            (true, "Failed", message.to_owned())
        }
        _ => (false, "AsExpected", "nothing needs attention".to_owned()),
    }
}

fn stalled(draft: &Draft<'_>) -> Verdict {
    match &draft.problem {
        Some(problem) => (true, problem.reason, problem.message.clone()),
        None => (false, "AsExpected", "nothing waits for a person".to_owned()),
    }
}

fn checkpoints(draft: &Draft<'_>) -> Option<Verdict> {
    let spec = draft
        .current_spec()
        .filter(|spec| takes_checkpoints(spec))?;
    let manager = draft.manager(draft.status.deployment?)?;
    let restore = draft.status.restore.as_ref()?;
    let window = spec.health.checkpoint_progress_window.map_or_else(
        || spec.checkpoint.interval.get() * 3 + spec.checkpoint.timeout.get(),
        weir_crd::ManifestDuration::get,
    );
    let started = parse_rfc3339(&restore.at).unwrap_or(0);
    let taken = manager.latest.as_ref().map_or(0, |latest| latest.at_ms);
    let age = draft.observed.now_ms - taken.max(started);
    let healthy = u128::try_from(age).unwrap_or(0) <= window.as_millis();
    Some(match healthy {
        true => (true, "Progress", "checkpoints complete".to_owned()),
        false => (
            false,
            "NoProgress",
            format!(
                "no checkpoint has completed for more than {}s: look at the JobManager's log and \
                 at the storage",
                window.as_secs()
            ),
        ),
    })
}

fn rolled_back(draft: &Draft<'_>) -> Option<Verdict> {
    let rollback = draft.status.rollback.as_ref()?;
    let holds = draft.status.failed_revision.as_ref() == Some(&rollback.from_revision);
    Some(match holds {
        true => (
            true,
            "RolledBack",
            format!(
                "revision {} was replaced by {}: {}. Edit the spec to try again",
                rollback.from_revision, rollback.to_revision, rollback.reason
            ),
        ),
        false => (false, "Superseded", "a newer spec runs".to_owned()),
    })
}

fn suspended(draft: &Draft<'_>) -> Verdict {
    match draft.status.phase {
        Some(Phase::Suspended) => {
            let message = "set spec.suspend to false to resume".to_owned();
            (true, "Suspended", message)
        }
        _ => (false, "NotSuspended", "the job is not suspended".to_owned()),
    }
}

fn paused(draft: &Draft<'_>) -> Verdict {
    match draft.requests.paused {
        true => (
            true,
            "Paused",
            "the annotation weir.dev/paused is true: remove it to go on".to_owned(),
        ),
        false => (
            false,
            "NotPaused",
            "the operator looks after the job".to_owned(),
        ),
    }
}

fn savepoint(draft: &Draft<'_>) -> Verdict {
    let operation = draft.status.operation.as_ref();
    let taking = operation.filter(|operation| {
        matches!(
            operation.step,
            weir_crd::Step::Snapshot | weir_crd::Step::Stopping
        )
    });
    match taking {
        Some(operation) => (true, "InProgress", format!("operation {}", operation.id)),
        None => (false, "None", "no savepoint is being taken".to_owned()),
    }
}
