//! Does what was decided: writes the status, applies objects, makes and deletes pods, asks the
//! JobManager. Every one of these can be repeated.

mod asking;
mod deployment;
mod error;
mod noted;
mod objects;
mod others;

use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use weir_controller::build::{Owner, controller_revision};
use weir_controller::names;
use weir_controller::{Action, FINALIZER, Observed};
use weir_crd::StreamJobStatus;

use self::error::{failed, refused};
use crate::cache::{Cache, Key};
use crate::manager::Request;
use crate::observe::Fetched;
use crate::reconcile::MayAct;
use crate::status;

pub use error::ApplyError;

/// Who owns the fields that the operator applies.
pub(crate) const MANAGER: &str = "weir-operator";

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
                pods,
            } => self.ensure(*deployment, revision, *pods).await,
            Action::Warm {
                deployment,
                revision,
                pods,
            } => self.warm(*deployment, revision, *pods).await,
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
                self.tell(Request::Forget { operation }).await.map(drop)
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
