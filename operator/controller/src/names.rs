//! Names of a job's objects: the same inputs give the same names, so that making an object twice
//! finds the first one.
//!
//! What belongs to one deployment bears its number. With a job's name of at most 45 characters all
//! of them fit into a label.

/// The label that names the job; its value is the StreamJob's name.
pub const JOB_LABEL: &str = "weir.dev/job";
/// The label that says what a pod is: `jobmanager`, `taskmanager` or `cleaner`.
pub const COMPONENT_LABEL: &str = "weir.dev/component";
/// Its value on the operator's own pods, by which NetworkPolicies let the operator in.
pub const OPERATOR: &str = "operator";
/// The label that names the deployment.
pub const DEPLOYMENT_LABEL: &str = "weir.dev/deployment";
/// The label that the JobManager which leads puts on its own pod.
pub const LEADER_LABEL: &str = "weir.dev/leader";
/// The annotation that a JobManager which leads puts on its own pod while its Lease is missing.
pub const LEASE_MISSING_ANNOTATION: &str = "weir.dev/lease-missing";
/// The annotation that names the revision of a pod.
pub const REVISION_ANNOTATION: &str = "weir.dev/revision";
/// The annotation of a deployment's ConfigMap that names the image of its pods, if their spec names
/// none.
pub const IMAGE_ANNOTATION: &str = "weir.dev/image";
/// The annotation of a deployment's ConfigMap that has what surrounds its pods, as the newest spec
/// that was accepted says.
pub const SURROUNDINGS_ANNOTATION: &str = "weir.dev/surroundings";

/// What all objects of one deployment are called by: its ConfigMap, Lease, Role and so on.
pub fn deployment(job: &str, deployment: i64) -> String {
    format!("{job}-d{deployment}")
}

/// The headless Service by which JobManagers are found.
pub fn jobmanagers(job: &str, deployment: i64) -> String {
    format!("{job}-j{deployment}")
}

/// A JobManager's pod.
pub fn jobmanager(job: &str, deployment: i64, index: u32) -> String {
    format!("{job}-j{deployment}-{index}")
}

/// A TaskManager's pod.
pub fn taskmanager(job: &str, deployment: i64, index: u32) -> String {
    format!("{job}-t{deployment}-{index}")
}

/// The pod that deletes the job's checkpoints.
pub fn cleaner(job: &str, deployment: i64) -> String {
    format!("{job}-c{deployment}")
}

/// The Service of the REST interface.
pub fn rest(job: &str) -> String {
    format!("{job}-rest")
}

/// The service account of the job's pods.
pub fn service_account(job: &str) -> String {
    format!("{job}-weir")
}

/// The ControllerRevision that keeps a spec.
pub fn revision(job: &str, revision: &str) -> String {
    format!("{job}-r{revision}")
}

/// The name that the JobManager knows a savepoint by: the same nonce gives the same name, whoever
/// asks and whenever.
pub fn snapshot(kind: &str, nonce: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !nonce.is_empty() && nonce.chars().all(plain) {
        return format!("{kind}-{nonce}");
    }
    let hex: String = nonce.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}-x{hex}").chars().take(120).collect()
}
