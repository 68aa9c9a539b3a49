//! The HTTP server.

mod snapshots;
mod waiting;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_rpc::{DispatcherError, DispatcherGateway};
use weir_types::{Clock, JobId};

use self::waiting::Waiting;
use crate::{convert, dto, metrics, openapi};

/// How often it is looked at what somebody waits for.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not ours.
    #[error(
        "listen for REST on {address}: {cause}; choose another with --rest HOST:PORT (port 0: any free one)"
    )]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// What the socket said.
        cause: std::io::Error,
    },
}

#[derive(Clone)]
struct App {
    dispatcher: Arc<dyn DispatcherGateway>,
    clock: Arc<dyn Clock>,
    namespace: Option<Arc<str>>,
    waiting: Arc<Waiting>,
}

/// A running server. It takes no more requests once this is dropped.
pub struct RestServer {
    address: SocketAddr,
    clock: Arc<dyn Clock>,
    waiting: Arc<Waiting>,
    stop: watch::Sender<()>,
    serving: JoinHandle<()>,
}

/// A port that is ours, on which nobody answers yet. A job is started only once it has its port:
/// what it would have done by then cannot be taken back.
pub struct RestListener {
    listener: TcpListener,
    address: SocketAddr,
    namespace: Option<Arc<str>>,
}

impl RestListener {
    /// Listens on `address` (port 0: any free one).
    pub async fn bind(address: SocketAddr) -> Result<Self, ServeError> {
        let failed = |cause| ServeError::Bind { address, cause };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            namespace: None,
        })
    }

    /// The Kubernetes namespace that the process runs in, if it does: a label of all metrics.
    #[must_use]
    pub fn in_namespace(mut self, namespace: Option<String>) -> Self {
        self.namespace = namespace.map(Arc::from);
        self
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl RestServer {
    /// Answers from `dispatcher`. Must be called within a tokio runtime.
    pub fn start(
        listener: RestListener,
        dispatcher: Arc<dyn DispatcherGateway>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let namespace = listener.namespace.clone();
        let app = App {
            dispatcher,
            clock,
            namespace,
            waiting: Arc::default(),
        };
        let (clock, waiting) = (Arc::clone(&app.clock), Arc::clone(&app.waiting));
        Self::serve(listener, routes(app), clock, waiting)
    }

    fn serve(
        listener: RestListener,
        app: Router,
        clock: Arc<dyn Clock>,
        waiting: Arc<Waiting>,
    ) -> Self {
        let RestListener {
            listener, address, ..
        } = listener;
        let (stop, mut stopped) = watch::channel(());
        let serving = tokio::spawn(async move {
            let serve = axum::serve(listener, app).with_graceful_shutdown(async move {
                // An error means that the sender is gone, which is the signal.
                while stopped.changed().await.is_ok() {}
            });
            if let Err(error) = serve.await {
                tracing::error!(%error, "the REST server stopped");
            }
        });
        Self {
            address,
            clock,
            waiting,
            stop,
            serving,
        }
    }

    /// Whoever waits for an operation, and so asks again in a moment, is waited for, up to two
    /// seconds. Then it takes no more requests, and waits until those that have come are answered,
    /// but not longer than `at_most`: a client may hold a connection open and ask nothing. Whoever
    /// asked for what ends the process (a job cancelled) is so told that it was heard.
    pub async fn shutdown(self, at_most: Duration) {
        self.waiting.close();
        while self.waiting.is_somebody_expected(self.clock.now()) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        drop(self.stop);
        match tokio::time::timeout(at_most, self.serving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the REST server stopped"),
            Err(_) => tracing::debug!("a client of REST holds its connection open"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Each path with what answers there; [`openapi`] describes the same ones.
fn endpoints() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/", get(index)),
        ("/overview", get(overview)),
        ("/jobs", get(jobs)),
        ("/jobs/{id}", get(job).patch(patch_job)),
        ("/jobs/{id}/cancel", post(cancel)),
        ("/jobs/{id}/stop", post(snapshots::stop)),
        ("/jobs/{id}/savepoints", post(snapshots::savepoint)),
        (
            "/jobs/{id}/savepoints/{operation}",
            get(snapshots::operation).delete(snapshots::forget),
        ),
        (
            "/jobs/{id}/checkpoints",
            get(snapshots::checkpoints).post(snapshots::checkpoint),
        ),
        (
            "/jobs/{id}/checkpoints/{number}",
            get(snapshots::checkpoint_details),
        ),
        ("/jobs/{id}/exceptions", get(exceptions)),
        ("/taskmanagers", get(taskmanagers)),
        ("/standby", get(standby)),
        ("/config", get(config)),
        ("/metrics", get(prometheus)),
        ("/healthz", get(|| async { "ok\n" })),
        ("/openapi.json", get(|| async { Json(openapi::document()) })),
    ]
}

fn routes(app: App) -> Router {
    let add = |router: Router<App>, (path, methods)| router.route(path, methods);
    let router = endpoints().into_iter().fold(Router::new(), add);
    router
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .with_state(app)
}

/// An answer that is no result.
struct ApiError(StatusCode, String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (
            self.0,
            Json(dto::ErrorBody {
                errors: vec![self.1],
            }),
        )
            .into_response()
    }
}

impl From<DispatcherError> for ApiError {
    fn from(error: DispatcherError) -> Self {
        let status = match error {
            DispatcherError::UnknownJob(_) | DispatcherError::UnknownOperation { .. } => {
                StatusCode::NOT_FOUND
            }
            DispatcherError::Ended { .. }
            | DispatcherError::CheckpointsOff(_)
            | DispatcherError::Needed { .. } => StatusCode::CONFLICT,
            DispatcherError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self(status, error.to_string())
    }
}

type Answer<T> = Result<Json<T>, ApiError>;

fn job_id(text: &str) -> Result<JobId, ApiError> {
    text.parse().map_err(|error: weir_types::ParseIdError| {
        ApiError(StatusCode::BAD_REQUEST, format!("job id: {error}"))
    })
}

async fn index() -> impl IntoResponse {
    let paths =
        openapi::paths().map(|(method, path, summary)| format!("{method:<6} {path}  {summary}\n"));
    paths.collect::<String>()
}

async fn overview(State(app): State<App>) -> Answer<dto::Overview> {
    Ok(Json(convert::overview(app.dispatcher.overview().await?)))
}

async fn jobs(State(app): State<App>) -> Answer<dto::Jobs> {
    let jobs = app.dispatcher.jobs().await?;
    Ok(Json(dto::Jobs {
        jobs: jobs.into_iter().map(convert::summary).collect(),
    }))
}

async fn job(State(app): State<App>, Path(id): Path<String>) -> Answer<dto::Job> {
    Ok(Json(convert::job(app.dispatcher.job(job_id(&id)?).await?)))
}

#[derive(Deserialize)]
struct PatchQuery {
    mode: Option<String>,
}

/// Flink's way to cancel: `PATCH /jobs/{id}?mode=cancel`.
async fn patch_job(
    state: State<App>,
    id: Path<String>,
    Query(query): Query<PatchQuery>,
) -> Result<StatusCode, ApiError> {
    match query.mode.as_deref() {
        None | Some("cancel") => cancel(state, id).await,
        Some(mode) => Err(ApiError(
            StatusCode::BAD_REQUEST,
            format!("mode `{mode}` is not known: the only one is `cancel`"),
        )),
    }
}

async fn cancel(State(app): State<App>, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    app.dispatcher.cancel(job_id(&id)?).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn exceptions(State(app): State<App>, Path(id): Path<String>) -> Answer<dto::Exceptions> {
    Ok(Json(convert::exceptions(
        app.dispatcher.exceptions(job_id(&id)?).await?,
    )))
}

async fn taskmanagers(State(app): State<App>) -> Answer<dto::TaskManagers> {
    let views = app.dispatcher.taskmanagers().await?;
    let taskmanagers = views.into_iter().map(convert::taskmanager).collect();
    Ok(Json(dto::TaskManagers { taskmanagers }))
}

async fn standby(State(app): State<App>) -> Json<dto::Standby> {
    Json(convert::standby(app.dispatcher.standby()))
}

async fn config(State(app): State<App>) -> Answer<dto::Config> {
    Ok(Json(dto::Config {
        config: app.dispatcher.config().await?.into_iter().collect(),
    }))
}

async fn prometheus(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let (dispatcher, now_ms) = (app.dispatcher.as_ref(), app.clock.unix_ms());
    let text = metrics::scrape(dispatcher, app.namespace.as_deref(), now_ms).await?;
    Ok(([(header::CONTENT_TYPE, openapi::OPENMETRICS)], text))
}

async fn not_found(uri: Uri) -> ApiError {
    let text = format!("nothing at {}: GET / lists what there is", uri.path());
    ApiError(StatusCode::NOT_FOUND, text)
}

async fn method_not_allowed(uri: Uri) -> ApiError {
    let text = format!(
        "{} does not take this method: GET / lists what there is",
        uri.path()
    );
    ApiError(StatusCode::METHOD_NOT_ALLOWED, text)
}

#[cfg(test)]
mod tests;
