//! What there is of one job: the StreamJob, its pods, its kept specs, and what its JobManager says.
//! Pods and specs are fetched past every cache, or taken from the watches by [`crate::quiet`].

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::Value;
use weir_controller::{
    Component, Ended, FINALIZER, JobReport, JobView, Observed, Operators, PodView, Trouble, names,
};
use weir_crd::{Step, StreamJobSpec};
use weir_types::Timestamp;

use crate::cache::{Cache, Kept};
use crate::manager::{self, Candidate};
use crate::status;

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
    /// The image of the pods that there are, by deployment.
    pub(crate) images: BTreeMap<i64, String>,
    /// The status as it was written, with what this version does not know.
    pub(crate) raw_status: Value,
}

impl Fetched {
    /// Adds what this process remembers of the job.
    pub(crate) fn recall(&mut self, cache: &Cache, now: Timestamp) {
        let job = &self.observed.job;
        let key = (job.namespace.clone(), job.name.clone());
        let gone = cache.others.gone(&job.status, now);
        cache.mounts.recall(&mut self.observed);
        self.observed.refused = cache.refused(&key);
        self.observed.denied = cache.denied(&key);
        self.observed.answered = cache.answered(&key);
        let answers = self.observed.manager.is_some();
        self.observed.silent_for = cache.silent_for(key, answers, now);
        self.observed.operators = Operators {
            own: cache.others.own(),
            gone,
        };
    }

    /// Whether the JobManager has said since how something has ended.
    pub(crate) fn hears_more(&self, cache: &Cache) -> bool {
        let job = &self.observed.job;
        let key = (job.namespace.clone(), job.name.clone());
        cache
            .answered(&key)
            .is_some_and(|now| Some(&now) != self.observed.answered.as_ref())
    }
}

/// What the API server told. The JobManager has not been asked yet.
pub(crate) struct Seen {
    pub(crate) job: JobView,
    /// The version of the StreamJob.
    pub(crate) resource_version: String,
    pub(crate) raw_status: Value,
    /// Its pods, and maybe others.
    pub(crate) pods: Vec<PodRecord>,
    /// The specs that are kept, and maybe others'.
    pub(crate) kept: Vec<Kept>,
}

/// What matters of a pod.
#[derive(Clone, Debug)]
pub(crate) struct PodRecord {
    owners: Vec<String>,
    view: Option<PodView>,
    /// The image of its container.
    image: Option<String>,
    /// Whether it is marked as the one that leads, and where it is, if it is a JobManager that
    /// runs.
    candidate: Option<(bool, Candidate)>,
}

/// Fetches pods and kept specs. `job` has just been read.
pub(crate) async fn fetch(client: &Client, job: &DynamicObject) -> Result<Seen, kube::Error> {
    let view = job_view(job);
    let own = ListParams::default().labels(&format!("{}={}", names::JOB_LABEL, view.name));
    let pods: Api<Pod> = Api::namespaced(client.clone(), &view.namespace);
    let kept: Api<ControllerRevision> = Api::namespaced(client.clone(), &view.namespace);
    let (pods, kept) = tokio::try_join!(pods.list(&own), kept.list(&own))?;
    Ok(Seen {
        resource_version: job.resource_version().unwrap_or_default(),
        pods: pods.items.iter().map(pod_record).collect(),
        kept: kept.items.iter().filter_map(kept_spec).collect(),
        raw_status: raw_status(job),
        job: view,
    })
}

impl Seen {
    /// Asks the JobManager, and so knows all there is to know.
    pub(crate) async fn ask(self, rest_port: u16, now_ms: i64) -> Fetched {
        let uid = &self.job.uid;
        let mut pods = self.pods;
        pods.retain(|pod| pod.owners.contains(uid));
        let images = images(&pods);
        let (warm, candidates): (Vec<_>, Vec<_>) = candidates(&pods, self.job.status.deployment)
            .into_iter()
            .partition(|candidate| is_warm(&self.job, candidate.deployment));
        let operation = self.job.status.operation.as_ref();
        let checks = operation.is_some_and(|operation| operation.step == Step::Warming);
        let operation = operation.map(|operation| operation.id.clone());
        let (manager, standby) = tokio::join!(
            manager::ask(&candidates, rest_port, operation.as_deref()),
            manager::ask_standby(if checks { &warm } else { &[] }, rest_port),
        );
        let pods = pods.into_iter().filter_map(|pod| pod.view).map(|mut view| {
            view.standby = standby.get(&view.name).cloned();
            view
        });
        let mut kept = self.kept;
        kept.retain(|kept| kept.owner == *uid);
        let numbers = kept.iter().map(|kept| (kept.revision.clone(), kept.number));
        Fetched {
            observed: Observed {
                now_ms,
                numbers: numbers.collect(),
                revisions: kept
                    .into_iter()
                    .map(|kept| (kept.revision, kept.spec))
                    .collect(),
                pods: pods.collect(),
                manager,
                silent_for: Duration::ZERO,
                refused: None,
                denied: None,
                answered: None,
                operators: Operators::default(),
                job: self.job,
            },
            resource_version: self.resource_version,
            raw_status: self.raw_status,
            images,
            addresses: candidates
                .into_iter()
                .map(|candidate| (candidate.pod, candidate.address))
                .collect(),
        }
    }
}

/// A StreamJob as the API server has it. It may hold what this version does not know.
pub(crate) fn job_view(job: &DynamicObject) -> JobView {
    let spec = job.data.get("spec").cloned().unwrap_or(Value::Null);
    let spec: Result<StreamJobSpec, _> = serde_json::from_value(spec);
    let (status, unread) = status::read(&raw_status(job));
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
        status,
        unread,
    }
}

pub(crate) fn raw_status(job: &DynamicObject) -> Value {
    job.data.get("status").cloned().unwrap_or(Value::Null)
}

/// Whether a deployment's JobManagers stand by until that of another one has stopped.
fn is_warm(job: &JobView, deployment: i64) -> bool {
    let operation = job.status.operation.as_ref();
    operation.is_some_and(|operation| {
        let waits = matches!(
            operation.step,
            Step::Warming | Step::Snapshot | Step::Stopping | Step::Removing
        );
        waits && operation.to_deployment == Some(deployment)
    })
}

/// A spec that is kept; none if it can't be read.
pub(crate) fn kept_spec(kept: &ControllerRevision) -> Option<Kept> {
    let revision = kept.annotations().get(names::REVISION_ANNOTATION)?;
    let spec = kept.data.as_ref()?.0.get("spec")?.clone();
    Some(Kept {
        owner: kept.owner_references().first()?.uid.clone(),
        revision: revision.clone(),
        number: kept.revision,
        spec: serde_json::from_value(spec).ok()?,
    })
}

fn component(pod: &Pod) -> Option<(Component, i64)> {
    let component = match pod.labels().get(names::COMPONENT_LABEL)?.as_str() {
        "jobmanager" => Component::JobManager,
        "taskmanager" => Component::TaskManager,
        "cleaner" => Component::Cleaner,
        _ => return None,
    };
    let deployment = pod.labels().get(names::DEPLOYMENT_LABEL)?.parse().ok()?;
    Some((component, deployment))
}

pub(crate) fn pod_record(pod: &Pod) -> PodRecord {
    let owners = pod.owner_references().iter();
    PodRecord {
        owners: owners.map(|owner| owner.uid.clone()).collect(),
        view: pod_view(pod),
        image: image(pod),
        candidate: candidate(pod),
    }
}

fn image(pod: &Pod) -> Option<String> {
    let mut containers = pod.spec.as_ref()?.containers.iter();
    containers.find(|it| it.name == MAIN)?.image.clone()
}

/// The image of each deployment's pods.
fn images(pods: &[PodRecord]) -> BTreeMap<i64, String> {
    let known = pods.iter().filter_map(|pod| {
        let deployment = pod.view.as_ref()?.deployment;
        Some((deployment, pod.image.clone()?))
    });
    known.collect()
}

/// A JobManager that runs, and whether it is marked as the one that leads.
fn candidate(pod: &Pod) -> Option<(bool, Candidate)> {
    let (Component::JobManager, deployment) = component(pod)? else {
        return None;
    };
    let status = pod.status.as_ref()?;
    let address = status.pod_ip.clone();
    let address = address.filter(|address| !address.is_empty())?;
    let leads = pod.labels().get(names::LEADER_LABEL).map(String::as_str) == Some("true");
    let candidate = Candidate {
        pod: pod.name_any(),
        deployment,
        address,
    };
    (status.phase.as_deref() == Some("Running")).then_some((leads, candidate))
}

/// The JobManagers that may lead: of the newest deployment first, and there the marked one. `now`:
/// the deployment that has the job. What is being deleted of those before it is not asked: it does
/// not even refuse, once its node has taken its network away.
fn candidates(pods: &[PodRecord], now: Option<i64>) -> Vec<Candidate> {
    let goes = |pod: &&PodRecord| {
        let view = pod.view.as_ref();
        let view = view.filter(|view| view.deleting_since_ms.is_some());
        view.is_some_and(|view| now.is_some_and(|now| view.deployment < now))
    };
    let mut found: Vec<_> = pods
        .iter()
        .filter(|pod| !goes(pod))
        .filter_map(|pod| pod.candidate.clone())
        .collect();
    found.sort_by_key(|(leads, candidate)| std::cmp::Reverse((candidate.deployment, *leads)));
    found.into_iter().map(|(_, candidate)| candidate).collect()
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
        revision: pod.annotations().get(names::REVISION_ANNOTATION).cloned(),
        ready: condition("Ready").is_some_and(|ready| ready.status == "True"),
        over: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
        deleting_since_ms: deleting.map(|at| at.0.as_millisecond() - grace * 1000),
        ended: main.as_ref().and_then(ended),
        trouble: unscheduled.or_else(|| main.as_ref().and_then(trouble)),
        creating_since_ms: main
            .as_ref()
            .filter(|main| is_being_made(main))
            .and_then(|_| {
                let scheduled = condition("PodScheduled").filter(|it| it.status == "True");
                let since = scheduled?.last_transition_time.as_ref()?;
                Some(since.0.as_millisecond())
            }),
        made_ms: pod
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(0, |made| made.0.as_millisecond()),
        has_address: status.pod_ip.is_some_and(|address| !address.is_empty()),
        lease_missing: pod
            .annotations()
            .contains_key(names::LEASE_MISSING_ANNOTATION),
        standby: None,
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

fn is_being_made(container: &ContainerStatus) -> bool {
    let state = container.state.as_ref();
    let waiting = state.and_then(|state| state.waiting.as_ref());
    waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("ContainerCreating"))
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
