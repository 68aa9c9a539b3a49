//! What the status says of the job: phase, conditions, and what its JobManager told.
//!
//! A condition keeps its time as long as its status does, and no time is written for its own sake:
//! while nothing happens, the status stays equal, and nothing is written. So the newest checkpoint
//! is told only together with something else: a job that takes one every few seconds would cost the
//! API server a write each time, and a thousand jobs that take turns to write once a minute would
//! cost it more than all else that an operator does. What `kubectl get` shows of its age is a bound
//! that stays true while checkpoints complete in time.

mod checkpoints;
mod restarts;
mod storage;
mod verdicts;

use weir_crd::{JobManagerStatus, OperationType, Phase, StreamJobSpec, TaskManagerStatus, UiSpec};

use crate::names;
use crate::observe::{Component, ManagerView};
use crate::plan::EventKind;
use crate::plan::draft::Draft;

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

pub(crate) use checkpoints::SILENCE_MAX;
pub(crate) use verdicts::{Found, Verdict, is_bad};

/// Fills in the rest of the status.
pub(crate) fn report(draft: &mut Draft<'_>) {
    draft.status.observed_generation = Some(draft.observed.job.generation);
    facts(draft);
    restarts::count(draft);
    stability(draft);
    draft.status.phase = Some(phase(draft));
    phase_news(draft);
    verdicts::conditions(draft);
    checkpoint_news(draft);
}

/// The same for a status that can't be read: nothing else of it changes.
pub(crate) fn report_unread(draft: &mut Draft<'_>) {
    verdicts::only_stalled(draft);
}

/// The same for a job that another operator looks after.
pub(crate) fn report_foreign(draft: &mut Draft<'_>) {
    verdicts::only_accepted(draft);
}

/// A change of the phase that nothing else has told of.
fn phase_news(draft: &mut Draft<'_>) {
    let (before, now) = (draft.observed.job.status.phase, draft.status.phase);
    let (Some(before), Some(now)) = (before, now) else {
        return;
    };
    if before == now || !draft.is_silent() {
        return;
    }
    let kind = match now {
        Phase::Recovering | Phase::Failed => EventKind::Warning,
        _ => EventKind::Normal,
    };
    let text = format!("the job is {now:?}, it was {before:?}");
    draft.tell(kind, "PhaseChanged", text);
}

/// The newest checkpoint is told for the first time, and then when there is other news.
fn checkpoint_news(draft: &mut Draft<'_>) {
    let Some(deployment) = draft.status.deployment else {
        return;
    };
    let latest = draft
        .manager(deployment)
        .and_then(|manager| manager.latest.clone());
    let Some(latest) = latest else {
        return;
    };
    let known = draft.status.checkpoint.as_ref();
    let first = known.is_none_or(|known| known.last_completed_id.is_none());
    if !first && draft.status == draft.observed.job.status {
        return;
    }
    draft.know(latest);
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
        // The Service follows the newest spec that was accepted.
        rest_endpoint: match &draft.wanted {
            Ok(wanted) => rest_endpoint(draft, &wanted.spec.ui),
            Err(_) => known.rest_endpoint,
        },
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

fn rest_endpoint(draft: &Draft<'_>, ui: &UiSpec) -> Option<String> {
    let job = &draft.observed.job;
    let service = names::rest(&job.name);
    ui.enabled
        .then(|| format!("{service}.{}.svc:{}", job.namespace, ui.port))
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
    let managers = draft.pods(deployment, Component::JobManager);
    // Whoever answers is believed, as it is above: that its node has not found it ready (yet, or
    // again) says less.
    let broken = match draft.manager(deployment) {
        Some(manager) => !manager.is_running(),
        None => managers.iter().all(|pod| !pod.ready),
    };
    if broken {
        draft.status.running_since = None;
        return;
    }
    let current = draft.status.current_revision.clone();
    if current.is_none() || current == draft.status.stable_revision {
        return;
    }
    if has_proved_itself(draft, deployment, &since) {
        draft.status.stable_revision.clone_from(&current);
        let revision = current.unwrap_or_default();
        draft.tell(
            EventKind::Normal,
            "Stable",
            format!("revision {revision} is stable"),
        );
    }
}

/// Whether what has run since then has done so for long enough, by what the newest spec asks for.
/// It may not have been recorded: the spec asks for less now, or no operator looked.
pub(crate) fn has_proved_itself(draft: &Draft<'_>, deployment: i64, since: &str) -> bool {
    let Some((spec, manager)) = draft.current_spec().zip(draft.manager(deployment)) else {
        return false;
    };
    let rollback = draft.policy().unwrap_or_else(|| spec.clone()).rollback;
    let long = i64::try_from(rollback.min_stable.get().as_millis())
        .is_ok_and(|time| draft.since(since) >= time);
    let checkpoints =
        !takes_checkpoints(spec) || manager.completed >= u64::from(rollback.min_checkpoints);
    manager.is_running() && long && checkpoints
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
