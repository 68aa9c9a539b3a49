//! What of a spec is in no revision and is in force all the same while its deployment is there:
//! what stands around the pods, and what they are told when they are made.
//!
//! It follows the newest spec that was accepted. A deployment's ConfigMap has it written down, for
//! the time that the newest spec is refused: the spec that is kept of the revision may be older.

use serde::{Deserialize, Serialize};
use weir_crd::{LoggingSpec, MetricsSpec, NetworkPolicySpec, PdbSpec, StreamJobSpec, UiSpec};

use crate::observe::Observed;
use crate::plan;

/// What surrounds a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Surroundings {
    /// The REST interface.
    pub ui: UiSpec,
    /// Prometheus metrics.
    pub metrics: MetricsSpec,
    /// The PodDisruptionBudgets.
    pub pdb: PdbSpec,
    /// The NetworkPolicy.
    pub network_policy: NetworkPolicySpec,
    /// The logs of pods that are made.
    pub logging: LoggingSpec,
    /// Whether pods that are made fail rather than start empty.
    pub require_state: bool,
}

impl From<&StreamJobSpec> for Surroundings {
    fn from(spec: &StreamJobSpec) -> Self {
        Self {
            ui: spec.ui.clone(),
            metrics: spec.metrics.clone(),
            pdb: spec.pdb.clone(),
            network_policy: spec.network_policy.clone(),
            logging: spec.logging.clone(),
            require_state: spec.restore.require_state,
        }
    }
}

impl Surroundings {
    /// Those of the newest spec; none while that is refused.
    pub fn accepted(observed: &Observed) -> Option<Self> {
        plan::accepted(observed).map(Self::from)
    }

    /// As a ConfigMap has them written down.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// As [`Self::read`] takes them.
    pub(crate) fn text(&self) -> String {
        // Only values that serialize by construction.
        serde_json::to_string(self).unwrap_or_default()
    }
}
