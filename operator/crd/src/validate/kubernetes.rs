//! What holds on Kubernetes only, and what depends on the spec as it was before.
//!
//! The API server checks the same by the rules of the custom resource definition; the controller
//! checks again, because a definition may be older than the controller, and a spec may come from a
//! backup.

use super::{Violation, Violations};
use crate::spec::{S3Storage, StorageSpec, StreamJobSpec, UpgradeMode};
use crate::stream_job::StreamJob;

impl StreamJob {
    /// The rules that the manifest breaks on Kubernetes; none, if the controller may act on it.
    /// `before` is the spec that was in force until now, if there was one.
    pub fn validate_on_kubernetes(&self, before: Option<&StreamJobSpec>) -> Vec<Violation> {
        let mut found = Violations::default();
        found.0.extend(self.validate());
        on_kubernetes(&mut found, &self.spec);
        if let Some(before) = before {
            changes(&mut found, before, &self.spec);
        }
        found.0
    }
}

fn on_kubernetes(found: &mut Violations, spec: &StreamJobSpec) {
    found.check(
        spec.storage.is_some() || !spec.checkpoint.enabled(),
        "spec.storage",
        "is needed where checkpoints are on: set it, or set `spec.checkpoint.interval` to `0s`",
    );
    let upgrade = &spec.upgrade;
    found.check(
        !upgrade.drain || upgrade.mode == UpgradeMode::Savepoint,
        "spec.upgrade.drain",
        "needs `mode: Savepoint`",
    );
    found.check(
        upgrade.max_checkpoint_age.is_none() || upgrade.mode == UpgradeMode::LastState,
        "spec.upgrade.maxCheckpointAge",
        "has an effect only with `mode: LastState`",
    );
}

fn changes(found: &mut Violations, before: &StreamJobSpec, now: &StreamJobSpec) {
    let was = before.job.max_parallelism;
    let was = was.map_or_else(|| "not set".to_owned(), |number| number.to_string());
    found.check(
        now.job.max_parallelism == before.job.max_parallelism,
        "spec.job.maxParallelism",
        format_args!(
            "was {was} and can't be changed: state is dealt out by it. Set it back, or make a new \
             StreamJob"
        ),
    );
    found.check(
        now.state_id == before.state_id,
        "spec.stateId",
        "can't be changed: the job's state is found by it. Set it back, or make a new StreamJob",
    );
    found.check(
        now.restart_nonce >= before.restart_nonce,
        "spec.restartNonce",
        "can't become less: raise it to restart the job",
    );
    let (nonce, nonce_before) = (now.restore.nonce, before.restore.nonce);
    found.check(
        nonce.is_none() || nonce >= nonce_before,
        "spec.restore.nonce",
        "can't become less: raise it to restore again",
    );
    let restored = nonce.is_some() && nonce != nonce_before;
    let (storage, storage_before) = (now.storage.as_ref(), before.storage.as_ref());
    let moved = storage.zip(storage_before).is_some_and(is_elsewhere);
    found.check(
        !moved || restored,
        "spec.storage",
        "is another bucket, prefix, folder or kind: that takes a new `spec.restore.nonce`, and \
         `spec.restore.from` and `path` for what the job is to start from, as its state is found \
         there",
    );
    found.check(
        storage.is_some() || storage_before.is_none() || restored || now.upgrade.confirm_state_loss,
        "spec.storage",
        "is gone, and with it the job's state: set `spec.upgrade.confirmStateLoss` to `true` if \
         that is meant",
    );
    let loses =
        now.upgrade.mode == UpgradeMode::Stateless && before.upgrade.mode != UpgradeMode::Stateless;
    found.check(
        !loses || now.upgrade.confirm_state_loss,
        "spec.upgrade.mode",
        "`Stateless` throws the job's state away: set `spec.upgrade.confirmStateLoss` to `true` \
         if that is meant",
    );
}

/// Whether what is stored in one is not found in the other.
fn is_elsewhere((now, before): (&StorageSpec, &StorageSpec)) -> bool {
    match (&now.s3, &before.s3) {
        (Some(now), Some(before)) => {
            let prefix = |s3: &S3Storage| s3.prefix.clone().unwrap_or_default();
            now.bucket != before.bucket || prefix(now) != prefix(before)
        }
        (None, None) => now.local != before.local,
        _ => true,
    }
}
