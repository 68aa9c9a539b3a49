//! The Kubernetes objects of a deployment. Pure: equal inputs give equal objects.
//!
//! Objects are JSON, as the API takes them; golden files show them, and the operator's tests read
//! them back into the client's types, which finds a misspelt field. All of them are owned by the
//! StreamJob, so that they go when it goes; those of one deployment bear its number in their names.
//! A pod is never changed once it is there: another deployment has other pods.

mod cleaner;
mod network;
mod pod;
mod rbac;
mod surroundings;

use serde_json::{Map, Value, json};
use weir_crd::{Metadata, StartFrom, StreamJob, StreamJobSpec};

use crate::names;

pub use pod::merge_template;
pub use surroundings::Surroundings;

/// The StreamJob that objects are made for.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// A deployment: what is started, and from what.
#[derive(Clone, Debug)]
pub struct Deployment<'a> {
    /// Whose it is.
    pub owner: &'a Owner,
    /// Its number.
    pub number: i64,
    /// The revision of its spec.
    pub revision: &'a str,
    /// Its spec.
    pub spec: &'a StreamJobSpec,
    /// What is in no revision, as it is in force now.
    pub surroundings: &'a Surroundings,
    /// What its first processes start from.
    pub start_from: Option<&'a StartFrom>,
    /// The image of its pods, if its spec names none. It is the same as long as the deployment is
    /// there: pods that are made again are of the program of the others.
    pub default_image: &'a str,
}

/// The objects of a deployment.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// What the pods need: it is applied before them, and put right when it differs.
    pub applied: Vec<Value>,
    /// What stands around the pods, in the same way: the job goes on without it.
    pub around: Vec<Value>,
    /// Pods, which are made when they are missing.
    pub pods: Vec<Value>,
    /// What the spec has switched off: API version, kind and name. It goes if it is there.
    pub unwanted: Vec<(&'static str, &'static str, String)>,
}

/// The ports of the job's processes.
pub mod port {
    /// JobManager: TaskManagers.
    pub const RPC: u16 = 6123;
    /// JobManager: REST.
    pub const REST: u16 = 8081;
    /// TaskManager: other TaskManagers.
    pub const DATA: u16 = 6121;
}

/// The folder where the manifest is mounted, and its file.
pub(crate) const MANIFEST_DIR: &str = "/etc/weir/job";
pub(crate) const MANIFEST: &str = "job.json";

impl Deployment<'_> {
    /// All objects.
    pub fn objects(&self) -> Objects {
        let mut applied = vec![self.config_map()];
        applied.extend(rbac::objects(self));
        applied.push(network::jobmanagers(self));
        let job_managers = self.spec.job_manager.replicas;
        let managers = (0..job_managers).map(|index| pod::jobmanager(self, index));
        let task_managers = self.task_managers();
        let workers = (0..task_managers).map(|index| pod::taskmanager(self, index));
        Objects {
            applied,
            around: network::around(self),
            pods: managers.chain(workers).collect(),
            unwanted: network::unwanted(self),
        }
    }

    /// How many TaskManagers there are.
    pub fn task_managers(&self) -> u32 {
        task_managers(self.spec)
    }

    /// The manifest as the job's processes read it. What is left to be filled in is filled in, so
    /// that it means the same wherever it is read.
    fn manifest(&self) -> StreamJob {
        let mut spec = self.spec.clone();
        let parallelism = spec.default_parallelism();
        spec.job.parallelism.get_or_insert(parallelism);
        spec.state_id.get_or_insert_with(|| self.state_id());
        spec.state_backend
            .kind
            .get_or_insert(weir_crd::StateBackendType::Rocksdb);
        // Requests to the operator, and how it treats the job, are no business of the processes.
        spec.pod_template = None;
        spec.job_manager.pod_template = None;
        spec.task_manager.pod_template = None;
        let mut job = StreamJob::new(&self.owner.name, spec);
        job.metadata = Metadata {
            name: self.owner.name.clone(),
            namespace: Some(self.owner.namespace.clone()),
            ..Metadata::default()
        };
        job
    }

    /// The job's name in its storage.
    pub(crate) fn state_id(&self) -> String {
        let own = || format!("{}/{}", self.owner.namespace, self.owner.name);
        self.spec.state_id.clone().unwrap_or_else(own)
    }

    fn config_map(&self) -> Value {
        let name = names::deployment(&self.owner.name, self.number);
        let mut object = self.object("v1", "ConfigMap", &name);
        // Only values that serialize by construction.
        let manifest = serde_json::to_string_pretty(&self.manifest()).unwrap_or_default();
        object["data"] = json!({ MANIFEST: manifest });
        object["immutable"] = Value::Bool(true);
        let mut annotations = json!({ names::SURROUNDINGS_ANNOTATION: self.surroundings.text() });
        if self.spec.image.is_none() {
            // For whoever makes pods of this deployment later, with another default.
            annotations[names::IMAGE_ANNOTATION] = self.default_image.into();
        }
        object["metadata"]["annotations"] = annotations;
        object
    }

    /// An object of this deployment, with its owner and labels.
    pub(crate) fn object(&self, api_version: &str, kind: &str, name: &str) -> Value {
        deployed(self.owner, self.number, api_version, kind, name)
    }

    /// An object that outlives the deployment.
    pub(crate) fn lasting(&self, api_version: &str, kind: &str, name: &str) -> Value {
        labelled(self.owner, api_version, kind, name, labels(self.owner))
    }
}

/// An object of a deployment, with its owner and labels.
fn deployed(owner: &Owner, number: i64, api_version: &str, kind: &str, name: &str) -> Value {
    let mut labels = labels(owner);
    labels.insert(
        names::DEPLOYMENT_LABEL.to_owned(),
        Value::from(number.to_string()),
    );
    labelled(owner, api_version, kind, name, labels)
}

fn labelled(
    owner: &Owner,
    api_version: &str,
    kind: &str,
    name: &str,
    labels: Map<String, Value>,
) -> Value {
    json!({
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(owner)],
        },
    })
}

fn labels(owner: &Owner) -> Map<String, Value> {
    let pairs = [
        ("app.kubernetes.io/name", "weir"),
        ("app.kubernetes.io/instance", &owner.name),
        ("app.kubernetes.io/managed-by", "weir"),
        ("app.kubernetes.io/part-of", "weir"),
        (names::JOB_LABEL, &owner.name),
    ];
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}

/// The Lease by which a deployment's JobManagers elect their leader. Nobody holds it yet: it is the
/// JobManagers that change it; only whether it is there is the operator's to say.
pub fn lease(owner: &Owner, number: i64) -> Value {
    let name = names::deployment(&owner.name, number);
    let mut lease = deployed(owner, number, "coordination.k8s.io/v1", "Lease", &name);
    lease["spec"] = json!({});
    lease
}

/// How many TaskManagers a job has.
pub fn task_managers(spec: &StreamJobSpec) -> u32 {
    let task_manager = &spec.task_manager;
    task_manager.replicas.unwrap_or_else(|| {
        let parallelism = spec.job.parallelism.unwrap_or(1);
        parallelism.div_ceil(task_manager.slots.max(1)).max(1)
    })
}

/// The ControllerRevision that keeps a spec.
pub fn controller_revision(owner: &Owner, revision: &str, number: i64, spec: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": names::revision(&owner.name, revision),
            "namespace": owner.namespace,
            "labels": {
                "app.kubernetes.io/managed-by": "weir",
                names::JOB_LABEL: owner.name,
            },
            "annotations": { names::REVISION_ANNOTATION: revision },
            "ownerReferences": [owner_reference(owner)],
        },
        "revision": number,
        "data": { "spec": spec },
    })
}

fn owner_reference(owner: &Owner) -> Value {
    json!({
        "apiVersion": format!("{}/{}", weir_crd::GROUP, weir_crd::VERSION),
        "kind": "StreamJob",
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

#[cfg(test)]
mod tests;
