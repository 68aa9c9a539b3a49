//! One job, again and again: fetch, decide, write the status, act.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::controller::Action as Next;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Client, ResourceExt};
use weir_controller::{EventKind, decide};
use weir_types::Clock;

use crate::apply::{Applier, ApplyError};
use crate::lease::Leader;
use crate::metrics::Metrics;
use crate::observe;

/// How often one turn goes on with a status that has just been written.
const STEPS_MAX: u32 = 8;

/// The first and the longest delay after an error.
const ERROR_DELAY: Duration = Duration::from_secs(1);

/// An event's action has at most 128 characters.
const ACTION_CHARS_MAX: usize = 100;

/// What all jobs share.
pub(crate) struct Context {
    pub(crate) client: Client,
    pub(crate) leader: Leader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) default_image: String,
}

/// One turn failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The job could not be looked at.
    #[error("look at the job")]
    Observe(#[source] Box<kube::Error>),
    /// Something could not be done.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// The resource that the operator looks after.
pub(crate) fn stream_jobs() -> ApiResource {
    let kind = GroupVersionKind::gvk(weir_crd::GROUP, weir_crd::VERSION, "StreamJob");
    ApiResource::from_gvk(&kind)
}

/// Looks after one job.
pub(crate) async fn reconcile(
    job: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Next, ReconcileError> {
    let started = context.clock.now();
    let result = turns(&job, &context).await;
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
        let Some(live) = api.get_opt(&name).await.map_err(observing)? else {
            return Ok(Next::await_change());
        };
        let now_ms = context.clock.unix_ms();
        let fetched = observe::fetch(&context.client, &live, now_ms).await;
        let fetched = fetched.map_err(observing)?;
        let decision = decide(&fetched.observed);
        let applier = Applier {
            client: &context.client,
            fetched: &fetched,
            default_image: &context.default_image,
        };
        may_act(context)?;
        let changed = decision.status != fetched.observed.job.status;
        if changed {
            applier.write_status(&decision.status).await?;
            told(context, &live, &decision.events).await;
        }
        for action in &decision.actions {
            may_act(context)?;
            applier.act(action).await?;
        }
        look_again = decision.look_again_ms;
        if !changed {
            break;
        }
    }
    Ok(Next::requeue(Duration::from_millis(look_again)))
}

fn may_act(context: &Context) -> Result<(), ApplyError> {
    match context.leader.is_acting() {
        true => Ok(()),
        false => Err(ApplyError::NotActing),
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
