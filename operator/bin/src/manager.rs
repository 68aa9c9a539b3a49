//! Asks and tells a job's JobManagers, over REST at their pods' addresses. The one that leads
//! answers; those that stand by refuse.

use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;
use weir_controller::build::port;
use weir_controller::{ManagerView, OperationView, SnapshotView};
use weir_rest::dto::{
    AfterSavepoint, Checkpoints, Job, SavepointRequest, SnapshotStatus, StopRequest,
};
use weir_rest::{ClientError, RestClient};
use weir_types::JobId;

/// How long all of a question may take.
const TIMEOUT: Duration = Duration::from_secs(4);

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
}

/// A JobManager could not be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManagerError {
    /// It said no, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It took too long.
    #[error("the JobManager took longer than {}s to answer", TIMEOUT.as_secs())]
    Late,
    /// It named its job in a way that nobody understands.
    #[error("the JobManager named its job `{0}`")]
    JobId(String),
}

/// What the JobManager that leads says, the first of the candidates that does.
pub(crate) async fn ask(
    candidates: Vec<Candidate>,
    operation: Option<String>,
) -> Option<ManagerView> {
    for candidate in candidates {
        let operation = operation.clone();
        let pod = candidate.pod.clone();
        let asked = spawn_blocking(move || view(&candidate, operation.as_deref()));
        match timeout(TIMEOUT, asked).await {
            Ok(Ok(Ok(Some(view)))) => return Some(view),
            Ok(Ok(Err(error))) => tracing::debug!(%error, pod, "ask the JobManager"),
            _ => {}
        }
    }
    None
}

/// Asks for something. The answer means that it was taken on.
pub(crate) async fn tell(
    address: String,
    job_id: String,
    request: Request,
) -> Result<(), ManagerError> {
    let told = spawn_blocking(move || {
        let client = client(&address);
        let id: JobId = job_id.parse().map_err(|_| ManagerError::JobId(job_id))?;
        match request {
            Request::Stop { operation, drain } => {
                let operation = Some(operation);
                client.stop(id, &StopRequest { drain, operation })?;
            }
            Request::Savepoint { operation } => {
                let then = AfterSavepoint::Continue;
                let operation = Some(operation);
                client.savepoint(id, &SavepointRequest { operation, then })?;
            }
            Request::Checkpoint { operation } => {
                let operation = Some(operation);
                client.checkpoint(id, &weir_rest::dto::CheckpointRequest { operation })?;
            }
        }
        Ok(())
    });
    match timeout(TIMEOUT, told).await {
        Ok(Ok(result)) => result,
        _ => Err(ManagerError::Late),
    }
}

fn client(address: &str) -> RestClient {
    let host = match address.contains(':') {
        true => format!("[{address}]"),
        false => address.to_owned(),
    };
    RestClient::new(format!("{host}:{}", port::REST))
}

/// None: it does not lead.
fn view(
    candidate: &Candidate,
    operation: Option<&str>,
) -> Result<Option<ManagerView>, ManagerError> {
    let client = client(&candidate.address);
    let jobs = client.jobs()?;
    let Some(summary) = jobs.jobs.last() else {
        return Ok(None);
    };
    let id: JobId = summary
        .id
        .parse()
        .map_err(|_| ManagerError::JobId(summary.id.clone()))?;
    let job = client.job(id)?;
    // A job without a storage has none.
    let checkpoints = client.checkpoints(id).ok();
    let operation = operation.and_then(|name| {
        let found = client.operation(id, name, Duration::ZERO).ok()?;
        Some(operation_view(found, checkpoints.as_ref()))
    });
    Ok(Some(manager_view(
        candidate,
        &job,
        checkpoints.as_ref(),
        operation,
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
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    ManagerView {
        pod: candidate.pod.clone(),
        deployment: candidate.deployment,
        job_id: summary.id.clone(),
        epoch: signed(job.epoch),
        state: summary.state.clone(),
        waiting_for: summary.waiting_for.clone(),
        tasks: (tasks.total, tasks.running + tasks.finished),
        restored: checkpoints.and_then(|checkpoints| checkpoints.restored.map(signed)),
        latest: checkpoints.and_then(|checkpoints| {
            let newest = checkpoints.retained.iter().max_by_key(|kept| kept.id)?;
            Some(SnapshotView {
                id: signed(newest.id),
                path: newest.location.clone(),
                at_ms: newest.completed_timestamp,
                operation: newest.operation.clone(),
            })
        }),
        completed: checkpoints.map_or(0, |checkpoints| checkpoints.counts.completed),
        operation,
        last_failure: job
            .root_exception
            .as_ref()
            .map(|failure| failure.exception.clone()),
    }
}

fn operation_view(
    operation: weir_rest::dto::Operation,
    checkpoints: Option<&Checkpoints>,
) -> OperationView {
    let completed = (operation.status == SnapshotStatus::Completed)
        .then(|| {
            let id = operation.id?;
            let kept = checkpoints?.retained.iter().find(|kept| kept.id == id);
            Some(SnapshotView {
                id: i64::try_from(id).ok()?,
                path: operation.location.clone().unwrap_or_default(),
                at_ms: kept.map_or(0, |kept| kept.completed_timestamp),
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
