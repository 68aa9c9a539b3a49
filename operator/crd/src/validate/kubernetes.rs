//! What holds on Kubernetes only, and what depends on the spec as it was before.
//!
//! The API server checks the same by the rules of the custom resource definition; the controller
//! checks again, because a definition may be older than the controller, and a spec may come from a
//! backup.

use super::{Violation, Violations};
use crate::spec::{S3Storage, StreamJobSpec, UpgradeMode};
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
    let place = |spec: &StreamJobSpec| {
        let s3 = spec
            .storage
            .as_ref()
            .and_then(|storage| storage.s3.as_ref());
        s3.map(|S3Storage { bucket, prefix, .. }| (bucket.clone(), prefix.clone()))
    };
    let moved = place(now).zip(place(before)).is_some_and(|(a, b)| a != b);
    found.check(
        !moved || nonce != nonce_before,
        "spec.storage.s3",
        "has another bucket or prefix: that can only be changed together with \
         `spec.restore.path` and `spec.restore.nonce`, as the job's state is found there",
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
