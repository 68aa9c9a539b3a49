//! Upgrade, restore, rollback, health and deletion: what the controller does with a job over its
//! life. None of it has an effect on a local run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ManifestDuration;

/// How a changed spec replaces the running job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct UpgradeSpec {
    /// What state the new job starts from.
    pub mode: UpgradeMode,
    /// What to do when mode `Savepoint` can't take a savepoint.
    pub fallback: UpgradeFallback,
    /// The order of stopping the old job and starting the new one's pods.
    pub strategy: UpgradeStrategy,
    /// How long the new pods may take to be scheduled and to have their images, before the old job
    /// is stopped. Then strategy `PreWarm` becomes what `preWarmFallback` says; without a
    /// JobManager the upgrade is given up, and the old job goes on.
    pub pre_warm_timeout: ManifestDuration,
    /// What strategy `PreWarm` becomes where there is no room for old and new pods at once.
    pub pre_warm_fallback: PreWarmFallback,
    /// How long the savepoint may take before `fallback` applies.
    pub savepoint_timeout: ManifestDuration,
    /// Mode `LastState` takes a savepoint first when the newest checkpoint is older than this and
    /// the job is healthy. Without it, it never does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_checkpoint_age: Option<ManifestDuration>,
    /// Send the greatest watermark before stopping, so that every window fires.
    pub drain: bool,
    /// Must be `true` to move a job to mode `Stateless`, or to take out its storage without a new
    /// `restore.nonce`: the job then starts without its state.
    pub confirm_state_loss: bool,
}

impl Default for UpgradeSpec {
    fn default() -> Self {
        Self {
            mode: UpgradeMode::Savepoint,
            fallback: UpgradeFallback::LastState,
            strategy: UpgradeStrategy::PreWarm,
            pre_warm_timeout: ManifestDuration::from_mins(2),
            pre_warm_fallback: PreWarmFallback::Recreate,
            savepoint_timeout: ManifestDuration::from_mins(10),
            max_checkpoint_age: None,
            drain: false,
            confirm_state_loss: false,
        }
    }
}

/// What state the new job of an upgrade starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeMode {
    /// A savepoint that the old job makes as it stops.
    #[default]
    Savepoint,
    /// The old job's newest completed checkpoint.
    LastState,
    /// None.
    Stateless,
}

/// What an upgrade does when it can't take a savepoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeFallback {
    /// Keep the old job running and report.
    None,
    /// Use the newest completed checkpoint.
    #[default]
    LastState,
}

/// The order of stopping the old job and starting the new one's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeStrategy {
    /// Start one new JobManager, which checks the state's compatibility, then stop the old job,
    /// then make the other new pods. Two jobs never run at once.
    Recreate,
    /// Make the new pods and check the state's compatibility first, then stop the old job. Two
    /// jobs never run at once.
    #[default]
    PreWarm,
}

/// What strategy `PreWarm` becomes where there is no room for old and new pods at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PreWarmFallback {
    /// The upgrade is given up, and the old job goes on.
    None,
    /// Strategy `Recreate`: only a JobManager is started first, which checks the state.
    #[default]
    Recreate,
}

/// What state the first start uses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestoreSpec {
    /// Which snapshot the first start uses.
    pub from: RestoreFrom,
    /// The snapshot for `from: Path`. It stays whoever's it was: the job never deletes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub path: Option<String>,
    /// Fail rather than start empty.
    pub require_state: bool,
    /// A change of this number starts the job anew now, as `from` says: from `path`, or empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nonce: Option<i64>,
}

/// Which snapshot the first start uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestoreFrom {
    /// Start empty.
    None,
    /// The newest complete snapshot in the storage under the job's state id, empty if there is
    /// none.
    #[default]
    Latest,
    /// The snapshot that `path` names.
    Path,
}

/// When a new spec counts as failed and the last stable one returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RollbackSpec {
    /// Whether the last stable spec returns when a new one doesn't become stable.
    pub enabled: bool,
    /// How long a new spec may take until it runs. One that runs is given this time, `minStable`
    /// and `minCheckpoints` times the checkpoint interval, all three together, to become stable.
    pub readiness_timeout: ManifestDuration,
    /// How long a job must have run to count as stable.
    pub min_stable: ManifestDuration,
    /// How many checkpoints a job must have completed to count as stable.
    pub min_checkpoints: u32,
    /// How many earlier specs are kept.
    #[schemars(range(min = 1, max = 100))]
    pub history_limit: u32,
}

impl Default for RollbackSpec {
    fn default() -> Self {
        Self {
            enabled: true,
            readiness_timeout: ManifestDuration::from_mins(5),
            min_stable: ManifestDuration::from_secs(60),
            min_checkpoints: 1,
            history_limit: 5,
        }
    }
}

/// From when on a running job counts as unhealthy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct HealthSpec {
    /// So many restarts within `restartWindow` make a job unhealthy.
    #[schemars(range(min = 1, max = 100))]
    pub restart_threshold: u32,
    /// The time over which restarts are counted.
    pub restart_window: ManifestDuration,
    /// A job that completes no checkpoint for this long is unhealthy. Without it, a time derived
    /// from the checkpoint interval and timeout.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_progress_window: Option<ManifestDuration>,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self {
            restart_threshold: 10,
            restart_window: ManifestDuration::from_mins(5),
            checkpoint_progress_window: None,
        }
    }
}

/// What happens to the job's state when the StreamJob is deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct OnDeleteSpec {
    /// Whether a savepoint is taken first. Anything but `None` adds a finalizer.
    pub savepoint: SavepointOnDelete,
    /// How long that savepoint may take, and then, how long the deletion of the state.
    pub timeout: ManifestDuration,
    /// Whether the job's checkpoints are kept. `Delete` adds a finalizer.
    pub state: OnDeleteState,
}

impl Default for OnDeleteSpec {
    fn default() -> Self {
        Self {
            savepoint: SavepointOnDelete::None,
            timeout: ManifestDuration::from_mins(10),
            state: OnDeleteState::Retain,
        }
    }
}

/// Whether a savepoint is taken before a StreamJob is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SavepointOnDelete {
    /// No savepoint; the newest checkpoint stays.
    #[default]
    None,
    /// A savepoint if one can be had in time.
    BestEffort,
    /// The StreamJob stays until there is a savepoint.
    Required,
}

/// Whether a deleted job's checkpoints are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDeleteState {
    /// Keep them.
    #[default]
    Retain,
    /// Delete them. Savepoints stay, as they are a person's.
    Delete,
}
