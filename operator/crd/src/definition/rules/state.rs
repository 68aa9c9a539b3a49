//! What holds of where state is and how it is stored.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "checkpoint-interval-is-long-enough",
        "spec.checkpoint",
        "self.interval == duration('0s') || self.interval >= duration('100ms')",
        "checkpoint.interval must be at least 100ms, or 0s for no checkpoints",
    ),
    rule(
        "checkpoint-has-time",
        "spec.checkpoint",
        "self.timeout > duration('0s')",
        "checkpoint.timeout must be more than 0s",
    ),
    rule(
        "pause-between-checkpoints-is-short-enough",
        "spec.checkpoint",
        "self.minPause < duration('24h')",
        "checkpoint.minPause must be less than 24h",
    ),
    rule(
        "savepoint-has-time",
        "spec.savepoint",
        "self.timeout > duration('0s')",
        "savepoint.timeout must be more than 0s",
    ),
    rule(
        "one-storage",
        "spec.storage",
        "has(self.s3) != has(self.local)",
        "storage needs one of `s3` and `local`, and not both",
    ),
    rule(
        "one-kind-of-credentials",
        "spec.storage.s3.credentials",
        "has(self.workloadIdentity) != has(self.secretRef)",
        "needs one of `workloadIdentity: {}` and `secretRef`, and not both",
    ),
    rule(
        "key-id-is-for-kms",
        "spec.storage.s3.sse",
        "!has(self.keyId) || self.type == 'KMS'",
        "sse.keyId needs type KMS",
    ),
    rule(
        "local-disk-has-room",
        "spec.stateBackend",
        "quantity(string(self.localSize)).isGreaterThan(quantity('0'))",
        "stateBackend.localSize must be more than 0",
    ),
];
