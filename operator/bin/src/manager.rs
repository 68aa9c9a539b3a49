//! Asks and tells a job's JobManagers, over REST at their pods' addresses. The one that leads
//! answers; those that stand by refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::StatusCode;
use tokio::time::timeout;
use weir_controller::{
    ManagerView, NotStored, OperationView, SnapshotView, StandbyView, StateCheck, StateVerdict,
};
use weir_rest::dto::{
    AfterSavepoint, CheckState, CheckpointRequest, Checkpoints, Job, Jobs, Operation,
    RetainedCheckpoint, SavepointRequest, SnapshotKind, SnapshotStatus, Standby, StopRequest,
};
use weir_types::JobId;

use crate::rest::{Connection, RestError};

/// How long all of a question may take.
const TIMEOUT: Duration = Duration::from_secs(4);

/// How long a JobManager is given to come to the end of what it was asked for. A snapshot that
/// takes longer is asked about in later turns; what else there is to do with its job waits so long.
const WAIT_MS: u64 = 1_500;

/// How long all of a question to a JobManager that stands by may take: it is asked again soon.
const STANDBY_TIMEOUT: Duration = Duration::from_secs(2);

/// A JobManager's pod.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) pod: String,
    pub(crate) deployment: i64,
    pub(crate) address: String,
}

/// What a JobManager is asked to do.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Stop { operation: String, drain: bool },
    Savepoint { operation: String },
    Checkpoint { operation: String },
    Forget { operation: String },
}

/// A JobManager could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    /// It said no, or did not answer.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// It took too long.
    #[error("the JobManager took longer than {}s to answer", TIMEOUT.as_secs())]
    Late,
    /// It named its job in a way that nobody understands.
    #[error("the JobManager named its job `{0}`")]
    JobId(String),
}

/// What the JobManager that leads says, the first of the candidates that does.
pub(crate) async fn ask(
    candidates: &[Candidate],
    port: u16,
    operation: Option<&str>,
) -> Option<ManagerView> {
    for candidate in candidates {
        let pod = &candidate.pod;
        match timeout(TIMEOUT, view(candidate, port, operation)).await {
            Ok(Ok(Some(view))) => return Some(view),
            Ok(Ok(None)) => {}
            Ok(Err(error)) => tracing::debug!(%error, pod, "ask the JobManager"),
            Err(_) => tracing::debug!(pod, "the JobManager takes too long to answer"),
        }
    }
    None
}

/// What JobManagers that do not lead yet say of themselves, by pod.
pub(crate) async fn ask_standby(
    candidates: &[Candidate],
    port: u16,
) -> BTreeMap<String, StandbyView> {
    let asked = candidates.iter().map(|candidate| async move {
        let pod = &candidate.pod;
        match timeout(STANDBY_TIMEOUT, standby(candidate, port)).await {
            Ok(Ok(view)) => return Some((pod.clone(), view)),
            Ok(Err(error)) => tracing::debug!(%error, pod, "ask a JobManager that stands by"),
            Err(_) => tracing::debug!(pod, "a JobManager that stands by takes too long"),
        }
        None
    });
    let answers = futures_util::future::join_all(asked).await;
    answers.into_iter().flatten().collect()
}

async fn standby(candidate: &Candidate, port: u16) -> Result<StandbyView, ManagerError> {
    let mut manager = connect(&candidate.address, port).await?;
    let standby: Standby = manager.get("/standby").await?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let check = standby.check.map(|check| StateCheck {
        verdict: match check.state {
            CheckState::Pending => StateVerdict::Pending,
            CheckState::Passed => StateVerdict::Passed,
            CheckState::Failed => StateVerdict::Failed,
            CheckState::Unreachable => StateVerdict::Unreachable,
        },
        reason: check.reason,
        message: check.message,
        snapshot: check.snapshot.map(signed),
        deployment: check.deployment.map(signed),
    });
    Ok(StandbyView { check })
}

/// Asks for something. That there is an answer means that it was taken on; what is complete by then
/// is in it. Small snapshots are, and a JobManager whose job has stopped is gone a moment later.
pub(crate) async fn tell(
    address: &str,
    port: u16,
    job_id: &str,
    request: Request,
) -> Result<Option<OperationView>, ManagerError> {
    let told = async {
        let mut manager = connect(address, port).await?;
        let id: JobId = job_id.parse().map_err(|_| not_an_id(job_id))?;
        let Some(name) = take_on(&mut manager, id, request).await? else {
            return Ok(None);
        };
        let path = format!("/jobs/{id}/savepoints/{name}?wait-ms={WAIT_MS}");
        let asked: Result<Operation, _> = manager.get(&path).await;
        // It was taken on, and is asked about again.
        let view = asked.map(|found| operation_view(found, None)).ok();
        Ok(view.filter(|view| view.completed.is_some()))
    };
    timeout(TIMEOUT, told)
        .await
        .unwrap_or(Err(ManagerError::Late))
}

/// The name of what comes to an end some time.
async fn take_on(
    manager: &mut Connection,
    id: JobId,
    request: Request,
) -> Result<Option<String>, RestError> {
    let name = match &request {
        Request::Stop { operation, .. }
        | Request::Savepoint { operation }
        | Request::Checkpoint { operation } => Some(operation.clone()),
        Request::Forget { .. } => None,
    };
    let _: serde_json::Value = match request {
        Request::Stop { operation, drain } => {
            let operation = Some(operation);
            let body = StopRequest { drain, operation };
            manager.post(&format!("/jobs/{id}/stop"), &body).await?
        }
        Request::Savepoint { operation } => {
            let then = AfterSavepoint::Continue;
            let operation = Some(operation);
            let body = SavepointRequest { operation, then };
            let path = format!("/jobs/{id}/savepoints");
            manager.post(&path, &body).await?
        }
        Request::Forget { operation } => {
            let path = format!("/jobs/{id}/savepoints/{operation}");
            manager.delete(&path).await?
        }
        Request::Checkpoint { operation } => {
            let operation = Some(operation);
            let body = CheckpointRequest { operation };
            let path = format!("/jobs/{id}/checkpoints");
            manager.post(&path, &body).await?
        }
    };
    Ok(name)
}

async fn connect(address: &str, port: u16) -> Result<Connection, RestError> {
    let host = match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    };
    Connection::open(&format!("{host}:{port}")).await
}

fn not_an_id(id: &str) -> ManagerError {
    ManagerError::JobId(id.to_owned())
}

/// None: it does not lead.
async fn view(
    candidate: &Candidate,
    port: u16,
    operation: Option<&str>,
) -> Result<Option<ManagerView>, ManagerError> {
    let mut manager = connect(&candidate.address, port).await?;
    let jobs: Jobs = manager.get("/jobs").await?;
    let Some(summary) = jobs.jobs.last() else {
        return Ok(None);
    };
    let id: JobId = summary.id.parse().map_err(|_| not_an_id(&summary.id))?;
    let job: Job = manager.get(&format!("/jobs/{id}")).await?;
    // A job without a storage has none. Half an answer is none: what the job goes on from would be
    // taken for nothing.
    let path = format!("/jobs/{id}/checkpoints");
    let checkpoints: Option<Checkpoints> = manager.find(&path, StatusCode::CONFLICT).await?;
    let mut asked = None;
    if let Some(name) = operation {
        let path = format!("/jobs/{id}/savepoints/{name}?wait-ms=0");
        let found: Option<Operation> = manager.find(&path, StatusCode::NOT_FOUND).await?;
        asked = found.map(|found| operation_view(found, checkpoints.as_ref()));
    }
    Ok(Some(manager_view(
        candidate,
        &job,
        checkpoints.as_ref(),
        asked,
    )))
}

fn manager_view(
    candidate: &Candidate,
    job: &Job,
    checkpoints: Option<&Checkpoints>,
    operation: Option<OperationView>,
) -> ManagerView {
    let summary = &job.summary;
    let tasks = summary.tasks;
    let retained = checkpoints.map_or(&[][..], |checkpoints| &checkpoints.retained);
    let savepoints = retained
        .iter()
        .filter(|kept| kept.kind == SnapshotKind::Savepoint);
    ManagerView {
        pod: candidate.pod.clone(),
        deployment: candidate.deployment,
        job_id: summary.id.clone(),
        epoch: signed(job.epoch),
        state: summary.state.clone(),
        waiting_for: summary.waiting_for.clone(),
        tasks: (tasks.total, tasks.running + tasks.finished),
        restored: checkpoints.and_then(|checkpoints| checkpoints.restored.map(signed)),
        latest: retained
            .iter()
            .max_by_key(|kept| kept.id)
            .map(|kept| snapshot_view(kept, checkpoints)),
        not_stored: checkpoints
            .and_then(Checkpoints::not_stored)
            .map(|failed| NotStored {
                id: signed(failed.id),
                cause: failed.failure_message.clone().unwrap_or_default(),
            }),
        savepoints: savepoints
            .map(|kept| snapshot_view(kept, checkpoints))
            .collect(),
        restarts: job.restarts,
        completed: checkpoints.map_or(0, |checkpoints| checkpoints.counts.completed),
        operation,
        last_failure: job
            .root_exception
            .as_ref()
            .map(|failure| failure.exception.clone()),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn snapshot_view(kept: &RetainedCheckpoint, all: Option<&Checkpoints>) -> SnapshotView {
    let (size_bytes, duration_ms) = measure(kept.id, all);
    SnapshotView {
        id: signed(kept.id),
        path: kept.location.clone(),
        at_ms: kept.completed_timestamp,
        operation: kept.operation.clone(),
        size_bytes,
        duration_ms,
    }
}

/// The size of a snapshot, and how long it took, if it is one of the last that this JobManager has
/// taken.
fn measure(id: u64, all: Option<&Checkpoints>) -> (Option<i64>, Option<i64>) {
    let taken = all.and_then(|all| all.taken(id));
    let figures = taken.map(|taken| (taken.state_size, taken.end_to_end_duration));
    figures
        .map(|(size, took)| (signed(size), signed(took)))
        .unzip()
}

fn operation_view(
    operation: weir_rest::dto::Operation,
    checkpoints: Option<&Checkpoints>,
) -> OperationView {
    let completed = (operation.status == SnapshotStatus::Completed)
        .then(|| {
            let id = operation.id?;
            let kept = checkpoints.and_then(|all| all.retained.iter().find(|kept| kept.id == id));
            let kept_at = kept.map(|kept| kept.completed_timestamp);
            let (size_bytes, duration_ms) = measure(id, checkpoints);
            Some(SnapshotView {
                id: i64::try_from(id).ok()?,
                size_bytes: operation.state_size.map(signed).or(size_bytes),
                duration_ms: operation.end_to_end_duration.map(signed).or(duration_ms),
                path: operation.location.clone().unwrap_or_default(),
                at_ms: operation.completed_timestamp.or(kept_at).unwrap_or(0),
                operation: Some(operation.operation.clone()),
            })
        })
        .flatten();
    let failed = (operation.status == SnapshotStatus::Failed).then(|| {
        operation
            .cause
            .clone()
            .unwrap_or_else(|| "no cause was given".to_owned())
    });
    OperationView {
        name: operation.operation,
        completed,
        failed,
    }
}

#[cfg(test)]
mod tests;
