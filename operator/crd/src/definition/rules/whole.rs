//! What holds of a manifest as a whole.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "job-name",
        "",
        "self.metadata.name.size() <= 45 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
        "metadata.name: use at most 45 lower-case letters, digits and `-`, beginning with a letter",
    ),
    rule(
        "state-id-stays",
        "spec",
        "has(self.stateId) == has(oldSelf.stateId) && (!has(self.stateId) || self.stateId == oldSelf.stateId)",
        "stateId can't be changed: the job's state is found by it. Make a new StreamJob",
    ),
    rule(
        "storage-where-checkpoints-are-on",
        "spec",
        "has(self.storage) || self.checkpoint.interval == duration('0s')",
        "storage is needed where checkpoints are on: set it, or set checkpoint.interval to 0s",
    ),
    rule(
        "slots-for-the-parallelism",
        "spec",
        "!has(self.taskManager.replicas) || !has(self.job.parallelism) || self.taskManager.replicas * self.taskManager.slots >= self.job.parallelism",
        "taskManager.replicas × taskManager.slots is less than job.parallelism: raise one of them, or leave replicas out",
    ),
    rule(
        "restart-nonce-grows",
        "spec",
        "!has(oldSelf.restartNonce) || (has(self.restartNonce) && self.restartNonce >= oldSelf.restartNonce)",
        "restartNonce can't become less: raise it to restart the job",
    ),
    rule(
        "storage-moves-with-restore",
        "spec",
        "!has(self.storage) || !has(oldSelf.storage) || (has(self.storage.s3) && has(oldSelf.storage.s3) ? (self.storage.s3.bucket == oldSelf.storage.s3.bucket && (has(self.storage.s3.prefix) ? self.storage.s3.prefix : '') == (has(oldSelf.storage.s3.prefix) ? oldSelf.storage.s3.prefix : '')) : (has(self.storage.local) && has(oldSelf.storage.local) && self.storage.local.path == oldSelf.storage.local.path)) || (has(self.restore.nonce) && (!has(oldSelf.restore.nonce) || self.restore.nonce != oldSelf.restore.nonce))",
        "storage can only become another bucket, prefix, folder or kind together with a new restore.nonce, and restore.from and path for what the job is to start from: its state is found there",
    ),
    rule(
        "storage-goes-when-loss-is-confirmed",
        "spec",
        "has(self.storage) || !has(oldSelf.storage) || self.upgrade.confirmStateLoss || (has(self.restore.nonce) && (!has(oldSelf.restore.nonce) || self.restore.nonce != oldSelf.restore.nonce))",
        "without storage the job's state is thrown away: set upgrade.confirmStateLoss to true if that is meant",
    ),
    rule(
        "ports-differ",
        "spec",
        "!(self.ui.enabled && self.metrics.enabled && self.ui.port == self.metrics.port)",
        "metrics.port is ui.port too: choose another",
    ),
];
