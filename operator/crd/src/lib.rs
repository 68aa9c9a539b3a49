//! The `StreamJob` manifest: its types, their defaults, and strict parsing.
//!
//! One set of types serves everyone who reads a manifest: `weir run JOB.yaml`, the JobManager and
//! the controller, so that a file means the same everywhere. The types' documentation becomes the
//! descriptions in the custom resource definition.
//!
//! There are two ways in. [`StreamJob::from_yaml`] is for files that a person wrote: it refuses
//! whatever it does not know, with line, column and the nearest valid field. Plain serde
//! (`Deserialize`) is for objects that the Kubernetes API server has admitted: it ignores fields
//! that a newer version added, so that an older program can still read them.
//!
//! [`custom_resource_definition`] makes the definition of the Kubernetes resource from the same
//! types, and [`StreamJobStatus`] is what the controller writes beside the spec.
//!
//! This crate does no I/O, knows no Kubernetes client and no other crate of the tree.

#![warn(missing_docs)]

mod definition;
mod local;
mod manifest;
mod spec;
mod status;
mod stream_job;
mod validate;

pub use definition::{
    CRD_NAME, GROUP, Rule, VERSION, custom_resource_definition, custom_resource_definition_yaml,
    rules,
};
pub use local::{LocalJob, OverrideError, Overrides};
pub use manifest::{
    Advice, MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX, MANIFEST_NODES_MAX, ManifestError,
    ManifestErrorKind,
};
pub use spec::{
    CheckpointCompression, CheckpointExternalized, CheckpointMode, CheckpointSpec, DurationError,
    EnvVar, FailoverStrategy, HaSpec, HealthSpec, ImagePullPolicy, IpBlock, JobManagerSpec,
    JobSpec, KeyRef, LabelOperator, LabelRequirement, LabelSelector, LocalStorage, LogFormat,
    LogLevel, LoggingSpec, ManifestDuration, MetricsSpec, NetworkPeer, NetworkPolicySpec, Object,
    OnDeleteSpec, OnDeleteState, PdbSpec, PreWarmFallback, Quantity, QuantityError, ResourcesSpec,
    RestartPolicy, RestartStrategySpec, RestartStrategyType, RestoreFrom, RestoreSpec,
    RollbackSpec, S3Credentials, S3SecretRef, S3Storage, SavepointOnDelete, SavepointSpec,
    SecretName, SnapshotRetention, SseSpec, SseType, StateBackendSpec, StateBackendType,
    StorageSpec, StreamJobSpec, TaskManagerSpec, UiSpec, UpgradeFallback, UpgradeMode, UpgradeSpec,
    UpgradeStrategy, WorkloadIdentity,
};
pub use status::{
    CheckpointStatus, Condition, ConditionStatus, HandledNonces, JobManagerStatus, LastError,
    Operation, OperationType, Phase, RestartStatus, Restored, Retry, RolledBack, Savepoint,
    SavepointStatus, SnapshotState, StartFrom, Step, StreamJobStatus, TaskManagerStatus,
};
pub use stream_job::{ApiVersion, Kind, Metadata, StreamJob};
pub use validate::{Schedule, Violation};
