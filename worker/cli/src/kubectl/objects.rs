//! What the plugin reads of the cluster's objects. A cluster may hold more than this version knows,
//! so everything else is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use weir_crd::StreamJobStatus;
use weir_lease::parse_rfc3339;

/// What `kubectl get KIND -o json` gives.
#[derive(Debug, Default, Deserialize)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) resource_version: String,
    pub(super) creation_timestamp: Option<String>,
    pub(super) deletion_timestamp: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) finalizers: Vec<String>,
}

/// A StreamJob.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Job {
    pub(super) metadata: Metadata,
    pub(super) spec: Spec,
    pub(super) status: StreamJobStatus,
}

impl Job {
    pub(super) fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Whether an annotation says `true`.
    pub(super) fn says(&self, annotation: &str) -> bool {
        self.metadata
            .annotations
            .get(annotation)
            .map(String::as_str)
            == Some("true")
    }

    /// Whether the operator has seen the spec as it is now.
    pub(super) fn is_seen(&self) -> bool {
        self.status.observed_generation.unwrap_or(0) >= self.metadata.generation
    }
}

/// What the plugin needs of a spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Spec {
    pub(super) image: Option<String>,
    pub(super) suspend: bool,
    pub(super) restart_nonce: Option<i64>,
    pub(super) ui: Ui,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(super) struct Ui {
    pub(super) enabled: bool,
}

impl Default for Ui {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Metadata,
    pub(super) spec: PodSpec,
    pub(super) status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodSpec {
    pub(super) node_name: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodStatus {
    pub(super) phase: String,
    pub(super) conditions: Vec<PodCondition>,
    pub(super) init_container_statuses: Vec<Container>,
    pub(super) container_statuses: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct PodCondition {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) restart_count: u32,
    pub(super) state: ContainerState,
    pub(super) last_state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ContainerState {
    pub(super) waiting: Option<Waiting>,
    pub(super) terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Waiting {
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) reason: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Event {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) involved_object: Involved,
    event_time: Option<String>,
    last_timestamp: Option<String>,
    first_timestamp: Option<String>,
    series: Option<Series>,
    #[serde(deserialize_with = "or_default")]
    count: u32,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Involved {
    pub(super) uid: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Series {
    count: u32,
    last_observed_time: Option<String>,
}

fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Event {
    /// When it was seen last, in milliseconds since 1970.
    pub(super) fn at_ms(&self) -> Option<i64> {
        let series = self
            .series
            .as_ref()
            .and_then(|series| series.last_observed_time.as_ref());
        let times = [
            series,
            self.last_timestamp.as_ref(),
            self.event_time.as_ref(),
        ];
        let mut times = times
            .into_iter()
            .chain([self.first_timestamp.as_ref()])
            .flatten();
        times.find_map(|time| parse_rfc3339(time))
    }

    /// How often it was seen.
    pub(super) fn times(&self) -> u32 {
        let series = self.series.as_ref().map_or(0, |series| series.count);
        series.max(self.count).max(1)
    }
}

/// A ControllerRevision, which keeps a spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Revision {
    pub(super) metadata: Metadata,
    /// A number that grows with every spec that is kept.
    pub(super) revision: i64,
}
