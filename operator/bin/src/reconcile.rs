//! One job, again and again: fetch, decide, write the status, act.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action as Next;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, ResourceExt};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument;
use weir_controller::{EventKind, decide};
use weir_types::Clock;

use crate::apply::{Applier, ApplyError};
use crate::cache::Cache;
use crate::metrics::Metrics;
use crate::observe::{self, Fetched};
use crate::quiet;

/// How often one turn goes on with a status that has just been written.
const STEPS_MAX: u32 = 8;

/// The first and the longest delay after an error.
const ERROR_DELAY: Duration = Duration::from_secs(1);

/// An event's action has at most 128 characters.
const ACTION_CHARS_MAX: usize = 100;

/// Whether this process may act now. Asked before each write.
pub type MayAct = Arc<dyn Fn() -> bool + Send + Sync>;

/// What all jobs share.
pub struct Context {
    /// Asks the API server.
    pub client: Client,
    /// The same for watches, over which nothing may come for long.
    pub watches: Client,
    /// Whether this process may act.
    pub may_act: MayAct,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Tells people.
    pub recorder: Recorder,
    /// Tells Prometheus.
    pub metrics: Arc<Metrics>,
    /// What the watches have brought.
    pub cache: Arc<Cache>,
    /// The image of jobs that name none.
    pub default_image: String,
    /// Where JobManagers answer.
    pub rest_port: u16,
    /// Held by those who ask the API server for a job, so that a thousand jobs don't do so at once.
    /// Whoever waits for a JobManager does not hold it.
    pub workers: Semaphore,
}

impl Context {
    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.workers.acquire().await.ok()
    }
}

/// One turn failed.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The job could not be looked at.
    #[error("look at the job")]
    Observe(#[source] Box<kube::Error>),
    /// Something could not be done.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The resource that the operator looks after.
pub fn stream_jobs() -> ApiResource {
    let kind = GroupVersionKind::gvk(weir_crd::GROUP, weir_crd::VERSION, "StreamJob");
    ApiResource::from_gvk(&kind)
}

/// Looks after one job.
///
/// # Errors
///
/// If the API server or the JobManager says no, or does not answer: it is tried again.
pub async fn reconcile(
    job: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Next, ReconcileError> {
    let started = context.clock.now();
    let _turn = context.metrics.health.turn(started);
    let span = tracing::info_span!(
        "job",
        job = job.name_any(),
        namespace = job.namespace().unwrap_or_default(),
        operation = tracing::field::Empty,
        step = tracing::field::Empty,
    );
    let result = async {
        match Box::pin(quiet::look(&job, &context)).await {
            Some(next) => Ok(next),
            None => Box::pin(turns(&job, &context)).await,
        }
    };
    let result = result.instrument(span).await;
    if matches!(result, Err(ReconcileError::Apply(ApplyError::Manager(_)))) {
        context.metrics.jobmanager_failed();
    }
    let took = context.clock.now().since(started);
    context.metrics.reconciled(took, result.is_ok());
    match result {
        // Somebody has written meanwhile: look again.
        Err(ReconcileError::Apply(error)) if error.is_conflict() => {
            Ok(Next::requeue(Duration::from_millis(100)))
        }
        result => result,
    }
}

async fn turns(job: &DynamicObject, context: &Context) -> Result<Next, ReconcileError> {
    let namespace = job.namespace().unwrap_or_default();
    let name = job.name_any();
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &stream_jobs());
    let observing = |error| ReconcileError::Observe(Box::new(error));
    let mut look_again = 0;
    for _ in 0..STEPS_MAX {
        // Past the cache: it may be older than what this process itself has written.
        let permit = context.permit().await;
        let Some(mut live) = api.get_opt(&name).await.map_err(observing)? else {
            context.metrics.forget(&namespace, &name);
            return Ok(Next::await_change());
        };
        // They are more than all the rest of it, and of no use here.
        live.managed_fields_mut().clear();
        let seen = observe::fetch(&context.client, &live).await;
        let seen = seen.map_err(observing)?;
        drop(permit);
        let now_ms = context.clock.unix_ms();
        let mut fetched = seen.ask(context.rest_port, now_ms).await;
        let (others, now) = (&context.cache.others, context.clock.now());
        let status = &fetched.observed.job.status;
        others.look(&context.client, status, now).await;
        let mounts = &context.cache.mounts;
        mounts.look(&context.client, &fetched.observed, now).await;
        fetched.recall(&context.cache, now);
        if let Some(manager) = &fetched.observed.manager {
            context.metrics.asked(&namespace, &name, manager);
        }
        let decision = decide(&fetched.observed);
        if let Some(operation) = &decision.status.operation {
            let span = tracing::Span::current();
            span.record("operation", &operation.id);
            span.record("step", format!("{:?}", operation.step));
        }
        let applier = applier(context, &fetched);
        applier.still_acts()?;
        let permit = context.permit().await;
        let changed = decision.status != fetched.observed.job.status;
        if changed {
            applier.write_status(&decision.status).await?;
            let ended = decision.ended(&fetched.observed.job.status, now_ms);
            ended
                .into_iter()
                .for_each(|ended| context.metrics.ended(ended));
            told(context, &live, &decision.events).await;
        }
        drop(permit);
        for action in &decision.actions {
            let permit = match Applier::asks_manager(action) {
                true => None,
                false => context.permit().await,
            };
            applier.still_acts()?;
            applier.act(action).await?;
            drop(permit);
        }
        look_again = decision.look_again_ms;
        // What the JobManager has said meanwhile is looked at at once.
        if !changed && !fetched.hears_more(&context.cache) {
            break;
        }
    }
    Ok(Next::requeue(Duration::from_millis(look_again)))
}

pub(crate) fn applier<'a>(context: &'a Context, fetched: &'a Fetched) -> Applier<'a> {
    Applier {
        client: &context.client,
        fetched,
        cache: &context.cache,
        default_image: &context.default_image,
        rest_port: context.rest_port,
        may_act: &context.may_act,
    }
}

/// Tells people. What can't be told is only logged: the job is what counts.
async fn told(context: &Context, job: &DynamicObject, events: &[weir_controller::Event]) {
    let regarding = ObjectReference {
        api_version: Some(format!("{}/{}", weir_crd::GROUP, weir_crd::VERSION)),
        kind: Some("StreamJob".to_owned()),
        name: job.metadata.name.clone(),
        namespace: job.metadata.namespace.clone(),
        uid: job.metadata.uid.clone(),
        ..ObjectReference::default()
    };
    for event in events {
        let name = job.name_any();
        match event.kind {
            EventKind::Normal => {
                tracing::info!(job = name, reason = event.reason, "{}", event.message)
            }
            EventKind::Warning => {
                tracing::warn!(job = name, reason = event.reason, "{}", event.message)
            }
        }
        let event = Event {
            type_: match event.kind {
                EventKind::Normal => EventType::Normal,
                EventKind::Warning => EventType::Warning,
            },
            reason: event.reason.to_owned(),
            note: Some(event.message.chars().take(1000).collect()),
            // Events that differ only in their note would be told as one.
            action: event.message.chars().take(ACTION_CHARS_MAX).collect(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &regarding).await {
            tracing::warn!(%error, "make an event");
        }
    }
}

/// What follows a turn that failed.
pub(crate) fn after_error(
    job: Arc<DynamicObject>,
    error: &ReconcileError,
    _: Arc<Context>,
) -> Next {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    tracing::warn!(
        job = job.name_any(),
        error = text,
        "a turn failed; it is tried again"
    );
    Next::requeue(ERROR_DELAY)
}
