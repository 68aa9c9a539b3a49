//! Pods and what surrounds them: images, replicas, resources, leader election, ports, policies and
//! logs. None of it has an effect on a local run.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ManifestDuration, Object, Quantity};

/// When a node pulls an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ImagePullPolicy {
    /// At each start of a container.
    Always,
    /// When the node doesn't have it.
    #[default]
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

/// The name of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretName {
    /// The Secret's name.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// The JobManager's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct JobManagerSpec {
    /// How many JobManagers run; all but one are standbys.
    #[schemars(range(min = 1, max = 3))]
    pub replicas: u32,
    /// The container's requests and limits.
    pub resources: ResourcesSpec,
    /// A pod template, merged by name over `spec.podTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Object>,
}

impl Default for JobManagerSpec {
    fn default() -> Self {
        Self {
            replicas: 2,
            resources: ResourcesSpec::default(),
            pod_template: None,
        }
    }
}

/// The TaskManagers' pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct TaskManagerSpec {
    /// How many slots a TaskManager has.
    #[schemars(range(min = 1, max = 1024))]
    pub slots: u32,
    /// How many TaskManagers run. Without it, as many as `job.parallelism` needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32768))]
    pub replicas: Option<u32>,
    /// The container's requests and limits.
    pub resources: ResourcesSpec,
    /// A pod template, merged by name over `spec.podTemplate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Object>,
    /// How long a TaskManager has to hand over its work before it is killed.
    #[schemars(range(min = 0, max = 86400))]
    pub termination_grace_period_seconds: u32,
}

impl Default for TaskManagerSpec {
    fn default() -> Self {
        Self {
            slots: 1,
            replicas: None,
            resources: ResourcesSpec::default(),
            pod_template: None,
            termination_grace_period_seconds: 60,
        }
    }
}

/// A container's requests and limits, as in a pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourcesSpec {
    /// What the node must have free, by resource (`cpu`, `memory`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// What the container may use at most, by resource (`cpu`, `memory`, …).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// The timing of the JobManagers' leader election; the job has one Lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HaSpec {
    /// After this long without a renewal, a standby may take over.
    pub lease_duration: ManifestDuration,
    /// A leader that could not renew for this long gives up; less than `leaseDuration`.
    pub renew_deadline: ManifestDuration,
    /// The time between two attempts; less than `renewDeadline`.
    pub retry_period: ManifestDuration,
}

impl Default for HaSpec {
    fn default() -> Self {
        Self {
            lease_duration: ManifestDuration::from_secs(4),
            renew_deadline: ManifestDuration::from_secs(3),
            retry_period: ManifestDuration::from_millis(500),
        }
    }
}

/// The REST interface.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct UiSpec {
    /// Whether there is a Service for it.
    pub enabled: bool,
    /// The port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

impl Default for UiSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            port: 8081,
        }
    }
}

/// The PodDisruptionBudgets of the job's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct PdbSpec {
    /// Whether a node drain evicts the pods one at a time.
    pub enabled: bool,
}

impl Default for PdbSpec {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Prometheus metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricsSpec {
    /// Whether the job's Service has a port for Prometheus. The JobManager that leads tells what
    /// all of the job's processes count.
    pub enabled: bool,
    /// The Service's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
}

impl Default for MetricsSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            port: 9249,
        }
    }
}

/// The pods' logs. A change of them restarts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LoggingSpec {
    /// The least severe level that is logged.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// A log level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a fault in the program.
    Debug,
    /// What happens in a job's life.
    #[default]
    Info,
    /// What was unexpected, but survived.
    Warn,
    /// What somebody has to act on.
    Error,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Text for people.
    Text,
}
