//! Does what was decided: writes the status, applies objects, makes and deletes pods, asks the
//! JobManager. Every one of these can be repeated.

mod image;
mod objects;
mod others;

use hyper::StatusCode;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use weir_controller::build::{Deployment, Objects, Owner, controller_revision};
use weir_controller::names::{self, DEPLOYMENT_LABEL};
use weir_controller::{Action, Denied, FINALIZER, Observed, PodView, Trouble};
use weir_crd::{StartFrom, StreamJobStatus};

use self::objects::{key_of, name_of};
use crate::cache::{Cache, Ensured, Key, hash_of};
use crate::manager::{self, ManagerError, Request};
use crate::observe::Fetched;
use crate::reconcile::MayAct;
use crate::rest::RestError;
use crate::status;

/// Who owns the fields that the operator applies.
pub(crate) const MANAGER: &str = "weir-operator";

/// Something could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The API server said no, or did not answer.
    #[error("{action}")]
    Api {
        /// What was to be done.
        action: String,
        #[source]
        source: Box<kube::Error>,
    },
    /// An object is not what the API takes.
    #[error("{action}")]
    Object {
        /// What was to be done.
        action: String,
        #[source]
        source: serde_json::Error,
    },
    /// The JobManager said no, or did not answer.
    #[error("ask the JobManager")]
    Manager(#[from] ManagerError),
    /// This process may not act any more.
    #[error("this operator does not lead any more")]
    NotActing,
}

impl ApplyError {
    /// Whether somebody else has written meanwhile.
    pub(crate) fn is_conflict(&self) -> bool {
        matches!(self, Self::Api { source, .. }
            if matches!(source.as_ref(), kube::Error::Api(status) if status.code == 409))
    }
}

impl ApplyError {
    /// Why an object was refused, in words of Kubernetes: it may not be there (403), or what the
    /// spec adds to it is not what the API takes (422, or 400 for what can't even be read). To try
    /// again helps only if a person does something.
    fn refusal(&self) -> Option<Trouble> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
                    Some(Trouble {
                        reason: status.reason.clone(),
                        message: status.message.clone(),
                    })
                }
                _ => None,
            },
            Self::Object { action, source } => Some(Trouble {
                reason: "Invalid".to_owned(),
                message: format!("{action}: {source}"),
            }),
            Self::Manager(_) | Self::NotActing => None,
        }
    }

    /// Why the JobManager refuses to do something. That it knows no such job is no refusal: another
    /// one may be about to lead.
    fn denial(&self) -> Option<String> {
        match self {
            Self::Manager(ManagerError::Rest(RestError::Refused { status, why }))
                if status.is_client_error() && *status != StatusCode::NOT_FOUND =>
            {
                Some(why.clone())
            }
            _ => None,
        }
    }
}

fn failed(action: impl Into<String>) -> impl FnOnce(kube::Error) -> ApplyError {
    let action = action.into();
    move |source| ApplyError::Api {
        action,
        source: Box::new(source),
    }
}

/// Does things for one job.
pub(crate) struct Applier<'a> {
    pub(crate) client: &'a Client,
    pub(crate) fetched: &'a Fetched,
    pub(crate) cache: &'a Cache,
    pub(crate) default_image: &'a str,
    pub(crate) rest_port: u16,
    /// Whether this operator still is the one that acts.
    pub(crate) may_act: &'a MayAct,
}

impl Applier<'_> {
    /// To be asked before each request that changes something: an action has many, and a process
    /// that was stopped among them finds another operator at work when it goes on.
    pub(crate) fn still_acts(&self) -> Result<(), ApplyError> {
        match (self.may_act)() {
            true => Ok(()),
            false => Err(ApplyError::NotActing),
        }
    }

    /// Whether an action would change nothing, as far as is known without asking anybody.
    pub(crate) fn is_done(&self, action: &Action) -> bool {
        let observed = self.observed();
        match action {
            Action::RemoveOthers { keep } => self.deployments(keep).is_empty(),
            Action::Ensure {
                deployment,
                revision,
            } => {
                let job = (observed.job.namespace.clone(), observed.job.name.clone());
                let pods: Vec<_> = observed.pods.iter().map(|pod| pod.name.as_str()).collect();
                let made_from = self.made_from(*deployment, revision);
                self.cache.is_ensured(&job, made_from, &pods)
            }
            Action::OpenGate { deployment } => {
                let missed = |pod: &PodView| pod.deployment == *deployment && pod.lease_missing;
                let lease = self.lease(*deployment);
                !observed.pods.iter().any(missed)
                    && self.cache.was_gate_open(&lease, observed.now_ms)
            }
            _ => false,
        }
    }

    /// Whether an action is a request to the JobManager.
    pub(crate) fn asks_manager(action: &Action) -> bool {
        matches!(
            action,
            Action::Stop { .. }
                | Action::Savepoint { .. }
                | Action::Checkpoint { .. }
                | Action::Forget { .. }
        )
    }

    /// A number for all that a deployment's objects are made from.
    fn made_from(&self, deployment: i64, revision: &str) -> u64 {
        let job = &self.observed().job;
        let start_from = format!("{:?}", job.status.start_from);
        hash_of(&(&job.uid, job.generation, deployment, revision, start_from))
    }

    fn observed(&self) -> &Observed {
        &self.fetched.observed
    }

    fn owner(&self) -> Owner {
        let job = &self.observed().job;
        Owner {
            name: job.name.clone(),
            namespace: job.namespace.clone(),
            uid: job.uid.clone(),
        }
    }

    fn api(&self, api_version: &str, kind: &str) -> Api<DynamicObject> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::namespaced_with(
            self.client.clone(),
            &self.observed().job.namespace,
            &resource,
        )
    }

    /// Writes the status over the version that was observed.
    pub(crate) async fn write_status(&self, status: &StreamJobStatus) -> Result<(), ApplyError> {
        let job = &self.observed().job;
        let object = |source| ApplyError::Object {
            action: "write the status".to_owned(),
            source,
        };
        let value = json!({
            "apiVersion": "weir.dev/v1alpha1",
            "kind": "StreamJob",
            "metadata": {
                "name": job.name,
                "namespace": job.namespace,
                "uid": job.uid,
                "resourceVersion": self.fetched.resource_version,
            },
            "status": status::over(&self.fetched.raw_status, status),
        });
        let value: DynamicObject = serde_json::from_value(value).map_err(object)?;
        let api = self.api("weir.dev/v1alpha1", "StreamJob");
        let written = api
            .replace_status(&job.name, &PostParams::default(), &value)
            .await;
        written.map_err(failed("write the status")).map(drop)
    }

    /// Does one thing.
    pub(crate) async fn act(&self, action: &Action) -> Result<(), ApplyError> {
        match action {
            Action::KeepRevision { revision } => self.keep(revision).await,
            Action::DropRevisions { keep } => self.forget(keep).await,
            Action::Ensure {
                deployment,
                revision,
            } => self.ensure(*deployment, revision).await,
            Action::Warm {
                deployment,
                revision,
                all,
            } => self.warm(*deployment, revision, *all).await,
            Action::OpenGate { deployment } => self.open_gate(*deployment).await,
            Action::RemoveOthers { keep } => self.remove_others(keep).await,
            Action::DeletePod { name, at_once } => self.delete_pod(name, *at_once).await,
            Action::Stop { operation, drain } => {
                let name = operation.clone();
                let request = Request::Stop {
                    operation: name,
                    drain: *drain,
                };
                self.ask_for(operation, request).await
            }
            Action::Savepoint { operation } => {
                let name = operation.clone();
                let request = Request::Savepoint { operation: name };
                self.ask_for(operation, request).await
            }
            Action::Checkpoint { operation } => {
                let name = operation.clone();
                let request = Request::Checkpoint { operation: name };
                self.ask_for(operation, request).await
            }
            Action::Forget { operation } => {
                let operation = operation.clone();
                self.tell(Request::Forget { operation }).await
            }
            Action::CleanUp {
                deployment,
                revision,
            } => self.clean_up(*deployment, revision).await,
            Action::Finalizer(on) => self.finalizer(*on).await,
            Action::DeleteJob => {
                let name = &self.observed().job.name;
                self.delete("weir.dev/v1alpha1", "StreamJob", name).await
            }
        }
    }

    async fn keep(&self, revision: &str) -> Result<(), ApplyError> {
        let job = &self.observed().job;
        let Ok(spec) = &job.spec else {
            return Ok(());
        };
        let object = |source| ApplyError::Object {
            action: "keep the spec".to_owned(),
            source,
        };
        let spec = serde_json::to_value(spec).map_err(object)?;
        let kept = controller_revision(&self.owner(), revision, job.generation, &spec);
        self.create(&kept).await
    }

    async fn forget(&self, keep: &[String]) -> Result<(), ApplyError> {
        for revision in self.observed().revisions.keys() {
            if keep.contains(revision) {
                continue;
            }
            let name = names::revision(&self.observed().job.name, revision);
            self.delete("apps/v1", "ControllerRevision", &name).await?;
        }
        Ok(())
    }

    async fn ensure(&self, number: i64, revision: &str) -> Result<(), ApplyError> {
        let status = &self.observed().job.status;
        let start_from = status.start_from.as_ref();
        let image = self.image(number, revision).await?;
        let Some(objects) = self.objects(number, revision, start_from, &image) else {
            return Ok(());
        };
        let applied: Vec<_> = objects.applied.iter().collect();
        if !self.put_all_right(&applied).await? {
            return Ok(());
        }
        for (version, kind, name) in &objects.unwanted {
            self.delete(version, kind, name).await?;
        }
        self.make_pods(&objects.pods).await?;
        let ensured = Ensured {
            made_from: self.made_from(number, revision),
            objects: objects.applied.iter().map(key_of).collect(),
            pods: objects
                .pods
                .iter()
                .map(|pod| name_of(pod).to_owned())
                .collect(),
        };
        self.cache.ensure(self.key(), ensured);
        Ok(())
    }

    /// A job without a storage has nothing to be cleaned up.
    async fn clean_up(&self, number: i64, revision: &str) -> Result<(), ApplyError> {
        let owner = self.owner();
        let pod = self.deployment_of(&owner, number, revision, None, self.default_image);
        match pod.and_then(|deployment| deployment.cleaner()) {
            Some(pod) => self.make_pods(&[pod]).await,
            None => Ok(()),
        }
    }

    /// What lasts beyond a deployment (the Service of REST, the NetworkPolicy) is left to the one
    /// that runs.
    async fn warm(&self, number: i64, revision: &str, all: bool) -> Result<(), ApplyError> {
        let operation = self.observed().job.status.operation.as_ref();
        let start_from = operation.and_then(|operation| operation.start_from.as_ref());
        let image = self.image(number, revision).await?;
        let Some(objects) = self.objects(number, revision, start_from, &image) else {
            return Ok(());
        };
        let own = |object: &&Value| !object["metadata"]["labels"][DEPLOYMENT_LABEL].is_null();
        let own: Vec<_> = objects.applied.iter().filter(own).collect();
        if !self.put_all_right(&own).await? {
            return Ok(());
        }
        let count = if all { objects.pods.len() } else { 1 };
        self.make_pods(objects.pods.get(..count).unwrap_or(&objects.pods))
            .await
    }

    fn lease(&self, deployment: i64) -> Key {
        let job = &self.observed().job;
        let name = names::deployment(&job.name, deployment);
        (job.namespace.clone(), name)
    }

    /// A Lease that is there is left alone, whoever holds it.
    async fn open_gate(&self, number: i64) -> Result<(), ApplyError> {
        let lease = self.lease(number);
        let name = &lease.1;
        let api = self.api("coordination.k8s.io/v1", "Lease");
        let found = api.get_opt(name).await;
        let found = found.map_err(failed(format!("read Lease {name}")))?;
        let owner = &self.observed().job.uid;
        let foreign = found.as_ref().is_some_and(|found| {
            let mut owners = found.owner_references().iter();
            !owners.any(|reference| &reference.uid == owner)
        });
        if foreign {
            // Of an earlier StreamJob of the same name: no process of this one takes it for open.
            self.delete("coordination.k8s.io/v1", "Lease", name).await?;
        }
        if found.is_none() || foreign {
            let made = weir_controller::build::lease(&self.owner(), number);
            self.create(&made).await?;
        }
        self.cache.gate_is_open(lease, self.observed().now_ms);
        Ok(())
    }

    fn objects(
        &self,
        number: i64,
        revision: &str,
        start_from: Option<&StartFrom>,
        image: &str,
    ) -> Option<Objects> {
        let owner = self.owner();
        let deployment = self.deployment_of(&owner, number, revision, start_from, image)?;
        Some(deployment.objects())
    }

    fn deployment_of<'a>(
        &'a self,
        owner: &'a Owner,
        number: i64,
        revision: &'a str,
        start_from: Option<&'a StartFrom>,
        default_image: &'a str,
    ) -> Option<Deployment<'a>> {
        let observed = self.observed();
        let spec = observed.revisions.get(revision)?;
        Some(Deployment {
            owner,
            number,
            revision,
            spec,
            surroundings: observed.job.spec.as_ref().unwrap_or(spec),
            start_from,
            default_image,
        })
    }

    /// Makes the pods that are missing. One that is refused (for want of quota, or of a service
    /// account) is no reason to stop here: what was said is remembered for the next turn, which
    /// tells people.
    async fn make_pods(&self, pods: &[Value]) -> Result<(), ApplyError> {
        let there = &self.observed().pods;
        let mut refused = None;
        for pod in pods {
            if there.iter().any(|known| known.name == name_of(pod)) {
                continue;
            }
            match self.create(pod).await {
                Err(error) if refused.is_none() => match error.refusal() {
                    Some(trouble) => refused = Some(trouble),
                    None => return Err(error),
                },
                Err(error) if error.refusal().is_none() => return Err(error),
                _ => {}
            }
        }
        self.cache.refuse(self.key(), refused);
        Ok(())
    }

    fn key(&self) -> Key {
        let job = &self.observed().job;
        (job.namespace.clone(), job.name.clone())
    }

    async fn delete_pod(&self, name: &str, at_once: bool) -> Result<(), ApplyError> {
        let params = match at_once {
            true => DeleteParams::default().grace_period(0),
            false => DeleteParams::default(),
        };
        self.delete_with(&params, "v1", "Pod", name).await
    }

    async fn delete(&self, version: &str, kind: &str, name: &str) -> Result<(), ApplyError> {
        let params = DeleteParams::default();
        self.delete_with(&params, version, kind, name).await
    }

    /// Deletes an object that may be gone already.
    async fn delete_with(
        &self,
        params: &DeleteParams,
        version: &str,
        kind: &str,
        name: &str,
    ) -> Result<(), ApplyError> {
        self.still_acts()?;
        let deleted = self.api(version, kind).delete(name, params).await;
        gone(deleted.map(drop)).map_err(failed(format!("delete {kind} {name}")))
    }

    /// Without a JobManager that leads there is nobody to tell: it is told once there is one.
    async fn tell(&self, request: Request) -> Result<(), ApplyError> {
        let Some(manager) = &self.observed().manager else {
            return Ok(());
        };
        let Some(address) = self.fetched.addresses.get(&manager.pod) else {
            return Ok(());
        };
        Ok(manager::tell(address, self.rest_port, &manager.job_id, request).await?)
    }

    /// Asks for what the open operation is for. A JobManager that refuses will do so again: what it
    /// said is remembered for the next turn, which tells people.
    async fn ask_for(&self, operation: &str, request: Request) -> Result<(), ApplyError> {
        let asked = self.tell(request).await;
        let denied = asked.as_ref().err().and_then(ApplyError::denial);
        let denied = denied.map(|why| Denied {
            operation: operation.to_owned(),
            why,
        });
        let is_denied = denied.is_some();
        self.cache.deny(self.key(), denied);
        if is_denied { Ok(()) } else { asked }
    }

    async fn finalizer(&self, on: bool) -> Result<(), ApplyError> {
        let job = &self.observed().job;
        let api = self.api("weir.dev/v1alpha1", "StreamJob");
        let found = api
            .get_opt(&job.name)
            .await
            .map_err(failed("read the StreamJob"))?;
        let Some(found) = found else {
            return Ok(());
        };
        let mut finalizers = found.finalizers().to_vec();
        finalizers.retain(|name| name != FINALIZER);
        if on {
            finalizers.push(FINALIZER.to_owned());
        }
        let patch = json!({ "metadata": {
            "resourceVersion": found.resource_version(),
            "finalizers": finalizers,
        } });
        let params = PatchParams::default();
        self.still_acts()?;
        let patched = api.patch(&job.name, &params, &Patch::Merge(&patch)).await;
        gone(patched.map(drop)).map_err(failed("change the finalizer"))
    }
}

/// What is to go is gone if it is not found.
fn gone(result: Result<(), kube::Error>) -> Result<(), kube::Error> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other,
    }
}
