//! `spec`: what to run, and how. Each group of fields has its own file.
//!
//! Conventions: every field has a description and, unless it is required or its absence means
//! something, a default that shows in the schema. Names are those of the YAML in camel case.

mod duration;
mod job;
mod lifecycle;
mod network;
mod object;
mod pods;
mod quantity;
mod restart;
mod state;

pub use duration::{DurationError, ManifestDuration};
pub use job::{EnvVar, JobSpec};
pub use lifecycle::{
    HealthSpec, OnDeleteSpec, OnDeleteState, PreWarmFallback, RestoreFrom, RestoreSpec,
    RollbackSpec, SavepointOnDelete, UpgradeFallback, UpgradeMode, UpgradeSpec, UpgradeStrategy,
};
pub use network::{
    IpBlock, LabelOperator, LabelRequirement, LabelSelector, NetworkPeer, NetworkPolicySpec,
};
pub use object::Object;
pub use pods::{
    HaSpec, ImagePullPolicy, JobManagerSpec, LogFormat, LogLevel, LoggingSpec, MetricsSpec,
    PdbSpec, ResourcesSpec, SecretName, TaskManagerSpec, UiSpec,
};
pub use quantity::{Quantity, QuantityError};
pub use restart::{FailoverStrategy, RestartPolicy, RestartStrategySpec, RestartStrategyType};
pub use state::{
    CheckpointCompression, CheckpointExternalized, CheckpointMode, CheckpointSpec, KeyRef,
    LocalStorage, S3Credentials, S3SecretRef, S3Storage, SavepointSpec, SnapshotRetention, SseSpec,
    SseType, StateBackendSpec, StateBackendType, StorageSpec, WorkloadIdentity,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What to run, and how. Only `job` is required; what concerns pods, images and other Kubernetes
/// objects has no effect on a local run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StreamJobSpec {
    /// The program, its arguments and its parallelism.
    pub job: JobSpec,

    /// The container image that holds the program. Without it, the operator's default image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When a node pulls the image.
    #[serde(default)]
    pub image_pull_policy: ImagePullPolicy,
    /// The Secrets that let a node pull the image.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<SecretName>,
    /// The line of the job's state format. A change of it forces an upgrade through a savepoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_version: Option<String>,

    /// Stop the job with a savepoint and remove its pods; set back to `false` to resume.
    #[serde(default)]
    pub suspend: bool,
    /// A change of this number restarts the job in the way that `upgrade` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_nonce: Option<i64>,
    /// How a changed spec replaces the running job.
    #[serde(default)]
    pub upgrade: UpgradeSpec,
    /// What state the first start uses.
    #[serde(default)]
    pub restore: RestoreSpec,
    /// The job's name in the storage; a renamed or moved job keeps its state by keeping this.
    /// Without it `NAMESPACE/NAME`. Can't be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_id: Option<String>,

    /// When and how checkpoints are made.
    #[serde(default)]
    pub checkpoint: CheckpointSpec,
    /// Periodic savepoints, and how long savepoints are kept.
    #[serde(default)]
    pub savepoint: SavepointSpec,
    /// Where checkpoints and savepoints are kept. Required on Kubernetes where checkpoints are on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageSpec>,
    /// Where keyed state lives while the job runs.
    #[serde(default)]
    pub state_backend: StateBackendSpec,

    /// The JobManager's pods.
    #[serde(default)]
    pub job_manager: JobManagerSpec,
    /// The TaskManagers' pods.
    #[serde(default)]
    pub task_manager: TaskManagerSpec,
    /// A pod template for all of the job's pods; those of `jobManager` and `taskManager` are
    /// merged over it by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<Object>,
    /// The timing of the JobManagers' leader election.
    #[serde(default)]
    pub ha: HaSpec,

    /// Whether, and how often, a failed job is started again.
    #[serde(default)]
    pub restart_strategy: RestartStrategySpec,
    /// What is restarted when one task fails.
    #[serde(default)]
    pub failover_strategy: FailoverStrategy,
    /// When a new spec counts as failed and the last stable one returns.
    #[serde(default)]
    pub rollback: RollbackSpec,
    /// From when on a running job counts as unhealthy.
    #[serde(default)]
    pub health: HealthSpec,

    /// What happens to the job's state when the StreamJob is deleted.
    #[serde(default)]
    pub on_delete: OnDeleteSpec,
    /// How long a finished StreamJob stays before it is deleted. Without it, for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_after_finished: Option<ManifestDuration>,

    /// The pods' service account. Without it one is made for the job, with the rights that it
    /// needs and no others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// The REST interface.
    #[serde(default)]
    pub ui: UiSpec,
    /// The NetworkPolicy of the job's pods.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,
    /// The PodDisruptionBudgets of the job's pods.
    #[serde(default)]
    pub pdb: PdbSpec,
    /// Prometheus metrics.
    #[serde(default)]
    pub metrics: MetricsSpec,
    /// The pods' logs.
    #[serde(default)]
    pub logging: LoggingSpec,
}
