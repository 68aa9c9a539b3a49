//! `spec.job`: the program, its arguments and its parallelism. All of it means the same on a local
//! run and on Kubernetes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Object;

/// The program, its arguments and its parallelism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema, Default)]
#[serde(rename_all = "camelCase")]
pub struct JobSpec {
    /// The name under which the program is registered.
    #[schemars(length(min = 1))]
    pub program: String,
    /// The program's arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, String>,
    /// Environment variables of the job's processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Configuration of the runtime, by key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// How many subtasks an operator has unless the program says otherwise. Without it, the slots
    /// of `taskManager` (`replicas` × `slots`) if `replicas` is set, otherwise 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32768))]
    pub parallelism: Option<u32>,
    /// The number of key groups, which is the most that `parallelism` can ever be. Can't be
    /// changed while the job has state. Without it, that of the checkpoint or savepoint that the
    /// job begins with, and 128 for a job that begins without state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 32768))]
    pub max_parallelism: Option<u32>,
    /// Start even if the snapshot holds state of operators that the program no longer has.
    #[serde(default)]
    pub allow_non_restored_state: bool,
}

impl JobSpec {
    /// The number of key groups of a job that names none and begins without state.
    pub const DEFAULT_MAX_PARALLELISM: u32 = 128;

    /// The number of key groups, unless what the job begins with says otherwise.
    pub fn max_parallelism_or_default(&self) -> u32 {
        self.max_parallelism
            .unwrap_or(Self::DEFAULT_MAX_PARALLELISM)
    }
}

/// An environment variable: a name with either a value or a source of the value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// The variable's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The variable's value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where Kubernetes takes the value from, as in a container's `env`. Has no effect on a local
    /// run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<Object>,
}
