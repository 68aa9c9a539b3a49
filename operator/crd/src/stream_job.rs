//! The manifest as a whole: what `kubectl apply` takes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::StreamJobSpec;

/// A stream job: a registered program with its arguments, and how to run it.
///
/// The `status` that Kubernetes keeps beside the spec is not part of a manifest: it is ignored
/// when a file holds one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamJob {
    /// The version of the manifest's format: `weir.dev/v1alpha1`.
    pub api_version: ApiVersion,
    /// The kind of the object: `StreamJob`.
    pub kind: Kind,
    /// Name, namespace, labels and annotations.
    pub metadata: Metadata,
    /// What to run, and how.
    pub spec: StreamJobSpec,
}

impl StreamJob {
    /// A manifest of this name and spec, without namespace, labels and annotations.
    pub fn new(name: impl Into<String>, spec: StreamJobSpec) -> Self {
        Self {
            api_version: ApiVersion::V1Alpha1,
            kind: Kind::StreamJob,
            metadata: Metadata {
                name: name.into(),
                ..Metadata::default()
            },
            spec,
        }
    }
}

/// The versions of the manifest's format that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ApiVersion {
    /// The first version, which may still change.
    #[serde(rename = "weir.dev/v1alpha1")]
    V1Alpha1,
}

/// The kinds of object that this program reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A stream job.
    StreamJob,
}

/// The part of Kubernetes' object metadata that means something to a stream job. The other
/// standard fields, such as `uid` and `managedFields`, are accepted in a file and dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// The job's name: at most 45 lower-case letters, digits and `-`, beginning with a letter.
    pub name: String,
    /// The Kubernetes namespace. Has no effect on a local run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Kubernetes labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Kubernetes annotations; requests to the controller are made with some of them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}
