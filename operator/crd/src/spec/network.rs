//! Who may reach the job's pods.
//!
//! The peers are those of Kubernetes' own NetworkPolicy, described here field by field: what is
//! wrong with one is found when the manifest is applied, not when the policy is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The NetworkPolicy of the job's pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether other pods are kept from the ports that the job's pods have for each other. Their
    /// REST port, where jobs are watched, scraped and cancelled, is open to those of `restFrom`.
    pub enabled: bool,
    /// Who may reach the REST port beside the job's own pods and the operator, as peers of a
    /// NetworkPolicy. Without any, everyone may.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rest_from: Vec<NetworkPeer>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self {
            enabled: true,
            rest_from: Vec::new(),
        }
    }
}

/// Addresses, or pods: an `ipBlock`, or one or both of the selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct NetworkPeer {
    /// Addresses outside the cluster. It goes with no selector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_block: Option<IpBlock>,
    /// Pods, in the job's own namespace, or in those of `namespaceSelector`. `{}` are all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_selector: Option<LabelSelector>,
    /// Namespaces: all of their pods, or those of `podSelector`. `{}` are all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
}

/// A range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IpBlock {
    /// The range, such as `10.0.0.0/8` or `2001:db8::/32`.
    #[schemars(length(min = 1))]
    pub cidr: String,
    /// Ranges within it that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// What labels objects must have. All of it must hold; with none of it, all objects are selected.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LabelSelector {
    /// Labels with their values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Requirements for labels.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelRequirement>,
}

/// A requirement for a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LabelRequirement {
    /// The label's key.
    #[schemars(length(min = 1))]
    pub key: String,
    /// What is required of it.
    pub operator: LabelOperator,
    /// The values of `In` and `NotIn`, at least one. The others have none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What is required of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It has none of the values, or is not there.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}
