//! What is known of a job's processes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The JobManagers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JobManagerStatus {
    /// The pod that leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The name of the job's Lease.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_name: Option<String>,
    /// How many are ready.
    pub ready_replicas: u32,
    /// The Service of the REST interface, as `HOST:PORT` within the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rest_endpoint: Option<String>,
}

/// The TaskManagers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TaskManagerStatus {
    /// How many there are.
    pub replicas: u32,
    /// How many are ready.
    pub ready_replicas: u32,
    /// What selects their pods, for autoscalers.
    pub selector: String,
}

/// How often the job was started again after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestartStatus {
    /// In all, over the StreamJob's life.
    pub total: u64,
    /// Why, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reason: Option<String>,
    /// When it was noticed, the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_time: Option<String>,
    /// When the last ones were noticed, newest first: as many as `spec.health.restartThreshold`
    /// counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<String>,
    /// The epoch whose restarts were counted last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i64>,
    /// How many of that epoch are in `total`.
    pub of_epoch: u64,
}
