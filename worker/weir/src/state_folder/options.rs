//! From what the manifest and the command line say of checkpoints to the JobMaster's options.

use std::time::Duration;

use anyhow::{Context, anyhow};
use weir_checkpoint::collector::upkeep::UpkeepOptions;
use weir_cli::{CheckpointArgs, Failure};
use weir_crd::{CheckpointCompression, CheckpointExternalized, CheckpointMode};
use weir_jobmanager::{CheckpointOptions, Claimed, RestoreFrom};
use weir_rpc::CheckpointSettings;

use super::{Folder, StateOf};
use crate::random;

pub(super) fn options(
    job: &StateOf<'_>,
    args: &CheckpointArgs,
    folder: Folder,
    claimed: Claimed,
    restore: Option<RestoreFrom>,
) -> CheckpointOptions {
    let spec = job.checkpoint;
    CheckpointOptions {
        store: folder.store,
        settings: CheckpointSettings {
            folder: folder.address,
            store: folder.config,
            exactly_once: spec.mode == CheckpointMode::ExactlyOnce,
            incremental: spec.incremental,
            compress: spec.compression == CheckpointCompression::Lz4,
            local_recovery: job.local_recovery,
        },
        claimed,
        restore,
        allow_non_restored_state: args.allow_non_restored_state || job.allow_non_restored_state,
        interval: args.interval.unwrap_or_else(|| spec.interval.get()),
        timeout: spec.timeout.get(),
        savepoint_timeout: job.savepoint_timeout,
        min_pause: spec.min_pause.get(),
        max_concurrent: spec.max_concurrent,
        tolerable_failures: spec.tolerable_failures,
        retained: spec.retained,
        delete_on_cancel: spec.externalized == CheckpointExternalized::DeleteOnCancel,
        upkeep: upkeep(spec.timeout.get().max(job.savepoint_timeout)),
        seed: random::word(),
    }
}

/// What the running job may delete: nothing that the longest snapshot could still need.
fn upkeep(longest: Duration) -> UpkeepOptions {
    let usual = UpkeepOptions::default();
    UpkeepOptions {
        grace: usual.grace.max(longest.saturating_mul(2)),
        ..usual
    }
}

/// Folders mean the same to all processes of a job, wherever they were started.
pub(super) fn absolute(dir: &str) -> Result<String, Failure> {
    if dir.contains("://") {
        return Ok(dir.to_owned());
    }
    let path = std::path::absolute(dir.trim_start_matches("file:"))
        .with_context(|| format!("find the folder `{dir}`"))
        .map_err(Failure::usage)?;
    let path = path.to_str().map(str::to_owned);
    path.ok_or_else(|| Failure::usage(anyhow!("the folder `{dir}` has a name that is not UTF-8")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_folder_is_made_absolute_and_an_address_is_left_alone() {
        let here = std::env::current_dir().unwrap();
        let want = here.join("state").to_str().unwrap().to_owned();
        assert_eq!(absolute("state").unwrap(), want);
        assert_eq!(absolute("s3://bucket/a").unwrap(), "s3://bucket/a");
    }
}
