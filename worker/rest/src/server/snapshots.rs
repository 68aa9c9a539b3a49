//! Checkpoints and savepoints: asking for them, waiting for them, and how they went.
//!
//! Asking and waiting are two requests, so that neither a slow savepoint nor a lost answer matters:
//! the name of an operation finds it again. A wait is bounded; whoever waits for longer asks again.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Json;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use weir_checkpoint::coordinator::{SnapshotRequest, Then};
use weir_checkpoint::pointer::{OperationId, SnapshotKind};
use weir_rpc::OperationStatus;
use weir_types::CheckpointId;

use super::{Answer, ApiError, App, LOOK_INTERVAL, job_id};
use crate::operation::{check_operation, new_operation};
use crate::{convert, dto};

/// The longest time that a request waits for an operation.
const WAIT_MS_MAX: u64 = 8_000;

type Accepted = Result<(StatusCode, Json<dto::OperationAccepted>), ApiError>;

pub(super) async fn savepoint(app: State<App>, id: Path<String>, body: Bytes) -> Accepted {
    let request: dto::SavepointRequest = parsed(&body)?;
    let then = match request.then {
        dto::AfterSavepoint::Continue => Then::Continue,
        dto::AfterSavepoint::Stop => Then::Stop,
        dto::AfterSavepoint::Drain => Then::Drain,
    };
    trigger(app, id, request.operation, SnapshotKind::Savepoint, then).await
}

pub(super) async fn stop(app: State<App>, id: Path<String>, body: Bytes) -> Accepted {
    let request: dto::StopRequest = parsed(&body)?;
    let then = if request.drain {
        Then::Drain
    } else {
        Then::Stop
    };
    trigger(app, id, request.operation, SnapshotKind::Savepoint, then).await
}

pub(super) async fn checkpoint(app: State<App>, id: Path<String>, body: Bytes) -> Accepted {
    let request: dto::CheckpointRequest = parsed(&body)?;
    trigger(
        app,
        id,
        request.operation,
        SnapshotKind::Checkpoint,
        Then::Continue,
    )
    .await
}

async fn trigger(
    State(app): State<App>,
    Path(id): Path<String>,
    operation: Option<String>,
    kind: SnapshotKind,
    then: Then,
) -> Accepted {
    let id = job_id(&id)?;
    let operation = operation_id(operation.unwrap_or_else(new_operation))?;
    let request = SnapshotRequest {
        operation: operation.clone(),
        kind,
        then,
    };
    app.dispatcher.trigger_snapshot(id, request).await?;
    let operation = operation.0;
    Ok((
        StatusCode::ACCEPTED,
        Json(dto::OperationAccepted { operation }),
    ))
}

/// The body; nothing is the same as an empty object.
fn parsed<T: DeserializeOwned + Default>(body: &[u8]) -> Result<T, ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body)
        .map_err(|error| ApiError(StatusCode::BAD_REQUEST, format!("read the body: {error}")))
}

fn operation_id(text: String) -> Result<OperationId, ApiError> {
    check_operation(&text).map_err(|error| ApiError(StatusCode::BAD_REQUEST, error))?;
    Ok(OperationId(text))
}

#[derive(Deserialize)]
pub(super) struct WaitQuery {
    #[serde(rename = "wait-ms", default)]
    wait_ms: u64,
}

pub(super) async fn operation(
    State(app): State<App>,
    Path((id, operation)): Path<(String, String)>,
    Query(query): Query<WaitQuery>,
) -> Answer<dto::Operation> {
    let (id, operation) = (job_id(&id)?, operation_id(operation)?);
    let wait = Duration::from_millis(query.wait_ms.min(WAIT_MS_MAX));
    let until = app.clock.now() + wait;
    loop {
        let status = app.dispatcher.operation(id, operation.clone()).await?;
        let (over, now) = (status != OperationStatus::InProgress, app.clock.now());
        if over || now >= until {
            // Whoever has the job stopped hears it here or never: with the job the process ends.
            let all = match &status {
                OperationStatus::Completed { .. } => app.dispatcher.checkpoints(id).await.ok(),
                OperationStatus::InProgress | OperationStatus::Failed(_) => None,
            };
            if !wait.is_zero() {
                app.waiting.told(&operation, over, now);
            }
            return Ok(Json(convert::operation(operation, status, all)));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Lets go of a savepoint. Asking again is harmless.
pub(super) async fn forget(
    State(app): State<App>,
    Path((id, operation)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (id, operation) = (job_id(&id)?, operation_id(operation)?);
    app.dispatcher.forget_savepoint(id, operation).await?;
    Ok(StatusCode::ACCEPTED)
}

pub(super) async fn checkpoints(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Answer<dto::Checkpoints> {
    let view = app.dispatcher.checkpoints(job_id(&id)?).await?;
    Ok(Json(convert::checkpoints(view)))
}

pub(super) async fn checkpoint_details(
    State(app): State<App>,
    Path((id, number)): Path<(String, String)>,
) -> Answer<dto::CheckpointDetails> {
    let id = job_id(&id)?;
    let number = number.parse().map(CheckpointId).map_err(|_| {
        let text = format!("checkpoint `{number}`: want its number");
        ApiError(StatusCode::BAD_REQUEST, text)
    })?;
    let view = app.dispatcher.checkpoints(id).await?;
    let Some(found) = view.history.iter().find(|each| each.id == number) else {
        let kept = view.retained.iter().find(|kept| kept.id == number);
        return Err(ApiError(
            StatusCode::NOT_FOUND,
            forgotten(number, kept.map(|_| &view.folder)),
        ));
    };
    let job = app.dispatcher.job(id).await?;
    Ok(Json(convert::checkpoint_details(found, &job)))
}

/// Why there is nothing to tell of a checkpoint.
fn forgotten(number: CheckpointId, folder: Option<&String>) -> String {
    match folder {
        Some(folder) => format!(
            "how checkpoint {number} went is not known any more; what is in it: `weir checkpoints \
             inspect {number} --dir {folder}`"
        ),
        None => format!(
            "no checkpoint {number} in the history of this JobManager: `weir checkpoints ls` shows \
             what there is"
        ),
    }
}

#[cfg(test)]
mod tests;
