//! Checkpoints, savepoints, storage and the state backend.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ManifestDuration, Quantity};

/// When and how checkpoints are made (Flink's `CheckpointConfig`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckpointSpec {
    /// The time from one checkpoint's start to the next; at least `100ms`. `0s` turns checkpoints
    /// off.
    pub interval: ManifestDuration,
    /// How long a checkpoint may take before it is given up.
    pub timeout: ManifestDuration,
    /// The least time from the end of a checkpoint to the start of the next.
    pub min_pause: ManifestDuration,
    /// How many checkpoints may run at once.
    #[schemars(range(min = 1, max = 100))]
    pub max_concurrent: u32,
    /// Whether inputs wait for each other's barriers.
    pub mode: CheckpointMode,
    /// Whether a checkpoint holds only what changed since the one before.
    pub incremental: bool,
    /// Whether keyed state is compressed on its way into checkpoints and savepoints. Snapshots of
    /// either kind are read whatever this says.
    pub compression: CheckpointCompression,
    /// How many completed checkpoints are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub retained: u32,
    /// How many checkpoints in a row may fail before the job does.
    pub tolerable_failures: u32,
    /// What happens to the checkpoints of a cancelled job.
    pub externalized: CheckpointExternalized,
}

impl CheckpointSpec {
    /// Whether checkpoints are on.
    pub fn enabled(&self) -> bool {
        !self.interval.is_zero()
    }
}

impl Default for CheckpointSpec {
    fn default() -> Self {
        Self {
            interval: ManifestDuration::from_secs(30),
            timeout: ManifestDuration::from_mins(10),
            min_pause: ManifestDuration::from_secs(0),
            max_concurrent: 1,
            mode: CheckpointMode::ExactlyOnce,
            incremental: true,
            compression: CheckpointCompression::None,
            retained: 3,
            tolerable_failures: 3,
            externalized: CheckpointExternalized::RetainOnCancel,
        }
    }
}

/// Whether inputs wait for each other's barriers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckpointMode {
    /// They wait: each record changes the state once.
    #[default]
    ExactlyOnce,
    /// They don't wait: after a failure, some records change the state twice.
    AtLeastOnce,
}

/// How keyed state is compressed on its way into checkpoints and savepoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckpointCompression {
    /// It is stored as it is.
    #[default]
    None,
    /// Each key group by itself with LZ4, where that makes it smaller.
    Lz4,
}

/// What happens to the checkpoints of a cancelled job. Those of a job that failed, finished or was
/// stopped always stay, and so do savepoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum CheckpointExternalized {
    /// They stay.
    #[default]
    RetainOnCancel,
    /// They are deleted, once all of the job's tasks have ended.
    DeleteOnCancel,
}

/// Periodic savepoints, and how long savepoints are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SavepointSpec {
    /// When periodic savepoints are taken, in cron's five fields (minute, hour, day of month,
    /// month, day of week) in UTC. Without it, none are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// The most by which a periodic savepoint is put off, so that many jobs don't start theirs
    /// together.
    pub jitter: ManifestDuration,
    /// Which savepoints are kept.
    pub retain: SnapshotRetention,
    /// How long a savepoint may take before it is given up.
    pub timeout: ManifestDuration,
}

impl Default for SavepointSpec {
    fn default() -> Self {
        Self {
            schedule: None,
            jitter: ManifestDuration::from_secs(60),
            retain: SnapshotRetention::default(),
            timeout: ManifestDuration::from_mins(10),
        }
    }
}

/// Which savepoints are kept. The newest one, and those that a restore may still need, always are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SnapshotRetention {
    /// How many are kept. (The status lists at most ten of them.)
    #[schemars(range(min = 1, max = 10000))]
    pub count: u32,
    /// How old one may become. Without it, age doesn't matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<ManifestDuration>,
    /// Whether the others are deleted. Otherwise only their entries in the status go: they stay in
    /// the storage, and the job knows of them, until a person deletes them.
    pub delete_data: bool,
}

impl Default for SnapshotRetention {
    fn default() -> Self {
        Self {
            count: 10,
            age: None,
            delete_data: false,
        }
    }
}

/// Where checkpoints and savepoints are kept: exactly one of `s3` and `local`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageSpec {
    /// A bucket of an S3-compatible store with conditional writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Storage>,
    /// A folder that all of the job's processes see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<LocalStorage>,
}

/// A folder that all of the job's processes see.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorage {
    /// The folder's path.
    #[schemars(length(min = 1))]
    pub path: String,
}

/// A bucket of an S3-compatible store. Bucket and prefix can only be changed together with
/// `restore.nonce`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3Storage {
    /// The bucket's name.
    #[schemars(length(min = 1))]
    pub bucket: String,
    /// The start of every object's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The region. Without it, the one that the environment names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The store's URL. Without it, the region's AWS endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether the bucket is named in the path instead of in the host name.
    #[serde(default)]
    pub path_style: bool,
    /// How the job's pods identify themselves: exactly one kind.
    pub credentials: S3Credentials,
    /// Encryption by the store.
    #[serde(default)]
    pub sse: SseSpec,
    /// The key of a Secret that holds the certificate authority of the store, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<KeyRef>,
}

/// How the job's pods identify themselves to the store: exactly one kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct S3Credentials {
    /// The identity of the pods' service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<WorkloadIdentity>,
    /// A Secret that holds an access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<S3SecretRef>,
}

/// The identity of the pods' service account (IRSA, Pod Identity, web identity): `{}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkloadIdentity {}

/// A Secret that holds an access key. It is mounted as files: a rotated key needs no restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct S3SecretRef {
    /// The Secret's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in the Secret under which the access key's id is.
    #[serde(default = "default_access_key_id_key")]
    pub access_key_id_key: String,
    /// The key in the Secret under which the secret access key is.
    #[serde(default = "default_secret_access_key_key")]
    pub secret_access_key_key: String,
    /// The key in the Secret under which a session token is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token_key: Option<String>,
}

fn default_access_key_id_key() -> String {
    "accessKeyId".to_owned()
}

fn default_secret_access_key_key() -> String {
    "secretAccessKey".to_owned()
}

/// Encryption by the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SseSpec {
    /// The kind of encryption.
    #[serde(rename = "type")]
    pub kind: SseType,
    /// The key's id for `type: KMS`. Without it, the account's default key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// The kind of encryption by the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SseType {
    /// What the bucket says.
    #[default]
    None,
    /// With keys that the store manages.
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of the key management service.
    #[serde(rename = "KMS")]
    Kms,
}

/// A key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyRef {
    /// The Secret's name.
    #[schemars(length(min = 1))]
    pub name: String,
    /// The key in the Secret.
    #[schemars(length(min = 1))]
    pub key: String,
}

/// Where keyed state lives while the job runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct StateBackendSpec {
    /// The backend. A local run takes `heap` unless the manifest names one.
    // An `Option`, so that a local run sees whether the manifest names one; the schema still has
    // the default that holds on Kubernetes.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = "rocksdb"))]
    pub kind: Option<StateBackendType>,
    /// The size of each TaskManager's local disk for state, a volume at `/var/lib/weir`. Where
    /// `job.config` has `state.backend.rocksdb.localdir`, state is in that folder instead.
    pub local_size: Quantity,
    /// Whether a TaskManager keeps a copy of its newest checkpoint on the local disk, from which a
    /// restarted task is restored.
    pub local_recovery: bool,
}

impl Default for StateBackendSpec {
    fn default() -> Self {
        Self {
            kind: None,
            local_size: Quantity::gibibytes(10),
            local_recovery: true,
        }
    }
}

/// Where keyed state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StateBackendType {
    /// In memory: state must fit there.
    Heap,
    /// In memory and, beyond it, in RocksDB on the local disk.
    Rocksdb,
}
