//! Fetches what there is of one job, past every cache: the StreamJob, its pods, its kept specs, and
//! what its JobManager says.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use weir_controller::{
    Component, Ended, FINALIZER, JobReport, JobView, Observed, PodView, Trouble, names,
};
use weir_crd::{StreamJobSpec, StreamJobStatus};

use crate::manager::{self, Candidate};

/// The operator's own container in each pod.
const MAIN: &str = "main";

/// Why a container that waits will not start by itself.
const TROUBLES: &[&str] = &[
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImageInspectError",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
];

/// What was fetched: for the decision, and for doing it.
pub(crate) struct Fetched {
    pub(crate) observed: Observed,
    /// The version of the StreamJob that the status is written over.
    pub(crate) resource_version: String,
    /// Where JobManagers are, by pod.
    pub(crate) addresses: BTreeMap<String, String>,
}

/// Fetches all of it. `job` has just been read.
pub(crate) async fn fetch(
    client: &Client,
    job: &DynamicObject,
    now_ms: i64,
) -> Result<Fetched, kube::Error> {
    let view = job_view(job);
    let own = ListParams::default().labels(&format!("{}={}", names::JOB_LABEL, view.name));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &view.namespace);
    let kept: Api<ControllerRevision> = Api::namespaced(client.clone(), &view.namespace);
    let (pods, kept) = tokio::try_join!(pods.list(&own), kept.list(&own))?;
    let mine = |owners: &[k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference]| {
        owners.iter().any(|owner| owner.uid == view.uid)
    };
    let pods: Vec<Pod> = pods
        .items
        .into_iter()
        .filter(|pod| mine(pod.owner_references()))
        .collect();
    let candidates = candidates(&pods);
    let operation = view
        .status
        .operation
        .as_ref()
        .map(|operation| operation.id.clone());
    let manager = manager::ask(candidates.clone(), operation).await;
    let revisions = kept
        .items
        .iter()
        .filter(|kept| mine(kept.owner_references()));
    let observed = Observed {
        now_ms,
        revisions: revisions.filter_map(kept_spec).collect(),
        pods: pods.iter().filter_map(pod_view).collect(),
        manager,
        job: view,
    };
    Ok(Fetched {
        observed,
        resource_version: job.resource_version().unwrap_or_default(),
        addresses: candidates
            .into_iter()
            .map(|candidate| (candidate.pod, candidate.address))
            .collect(),
    })
}

/// A StreamJob as the API server has it. It may hold what this version does not know.
pub(crate) fn job_view(job: &DynamicObject) -> JobView {
    let spec = job.data.get("spec").cloned().unwrap_or(Value::Null);
    let spec: Result<StreamJobSpec, _> = serde_json::from_value(spec);
    let status = job.data.get("status").cloned();
    let status: Option<StreamJobStatus> =
        status.and_then(|status| serde_json::from_value(status).ok());
    let deleting = job.metadata.deletion_timestamp.as_ref();
    JobView {
        name: job.name_any(),
        namespace: job.namespace().unwrap_or_default(),
        uid: job.uid().unwrap_or_default(),
        generation: job.metadata.generation.unwrap_or(0),
        deleting_since_ms: deleting.map(|time| time.0.as_millisecond()),
        annotations: job.annotations().clone(),
        has_finalizer: job.finalizers().iter().any(|name| name == FINALIZER),
        spec: spec.map_err(|error| format!("the spec can't be read: {error}")),
        status: status.unwrap_or_default(),
    }
}

fn kept_spec(kept: &ControllerRevision) -> Option<(String, StreamJobSpec)> {
    let revision = kept.annotations().get(names::REVISION_ANNOTATION)?;
    let spec = kept.data.as_ref()?.0.get("spec")?.clone();
    Some((revision.clone(), serde_json::from_value(spec).ok()?))
}

fn component(pod: &Pod) -> Option<(Component, i64)> {
    let component = match pod.labels().get(names::COMPONENT_LABEL)?.as_str() {
        "jobmanager" => Component::JobManager,
        "taskmanager" => Component::TaskManager,
        _ => return None,
    };
    let deployment = pod.labels().get(names::DEPLOYMENT_LABEL)?.parse().ok()?;
    Some((component, deployment))
}

/// The JobManagers that may lead: of the newest deployment first, and there the marked one.
fn candidates(pods: &[Pod]) -> Vec<Candidate> {
    let mut found: Vec<(i64, bool, Candidate)> = pods
        .iter()
        .filter_map(|pod| {
            let (Component::JobManager, deployment) = component(pod)? else {
                return None;
            };
            let status = pod.status.as_ref()?;
            let address = status
                .pod_ip
                .clone()
                .filter(|address| !address.is_empty())?;
            let runs = status.phase.as_deref() == Some("Running");
            let leads = pod.labels().get(names::LEADER_LABEL).map(String::as_str) == Some("true");
            let candidate = Candidate {
                pod: pod.name_any(),
                deployment,
                address,
            };
            runs.then_some((deployment, leads, candidate))
        })
        .collect();
    found.sort_by_key(|(deployment, leads, _)| std::cmp::Reverse((*deployment, *leads)));
    found
        .into_iter()
        .map(|(_, _, candidate)| candidate)
        .collect()
}

fn pod_view(pod: &Pod) -> Option<PodView> {
    let (component, deployment) = component(pod)?;
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let condition = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind);
    let main = status.container_statuses.unwrap_or_default();
    let main = main.into_iter().find(|container| container.name == MAIN);
    let scheduled = condition("PodScheduled").filter(|scheduled| scheduled.status == "False");
    let unscheduled = scheduled.map(|scheduled| Trouble {
        reason: scheduled
            .reason
            .clone()
            .unwrap_or_else(|| "Unschedulable".to_owned()),
        message: scheduled.message.clone().unwrap_or_default(),
    });
    let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
    let deleting = pod.metadata.deletion_timestamp.as_ref();
    Some(PodView {
        name: pod.name_any(),
        component,
        deployment,
        ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
        over: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        deleting_since_ms: deleting.map(|at| at.0.as_millisecond() - grace * 1000),
        ended: main.as_ref().and_then(ended),
        trouble: unscheduled.or_else(|| main.as_ref().and_then(trouble)),
    })
}

fn ended(container: &ContainerStatus) -> Option<Ended> {
    let now = container
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let last = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let ended = now.or(last)?;
    let report: Option<JobReport> = ended
        .message
        .as_ref()
        .and_then(|message| serde_json::from_str(message).ok());
    Some(Ended {
        exit_code: ended.exit_code,
        report,
    })
}

fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.clone()?;
    TROUBLES.contains(&reason.as_str()).then(|| Trouble {
        reason,
        message: waiting.message.clone().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
