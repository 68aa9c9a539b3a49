//! What holds of how a job begins, changes and ends: upgrade, restore, rollback, health, deletion.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "state-loss-is-confirmed",
        "spec.upgrade",
        "self.mode != 'Stateless' || oldSelf.mode == 'Stateless' || self.confirmStateLoss",
        "upgrade.mode Stateless throws the job's state away: set upgrade.confirmStateLoss to true if that is meant",
    ),
    rule(
        "drain-takes-a-savepoint",
        "spec.upgrade",
        "!self.drain || self.mode == 'Savepoint'",
        "upgrade.drain needs upgrade.mode Savepoint",
    ),
    rule(
        "checkpoint-age-is-for-last-state",
        "spec.upgrade",
        "!has(self.maxCheckpointAge) || self.mode == 'LastState'",
        "upgrade.maxCheckpointAge has an effect only with mode LastState",
    ),
    rule(
        "savepoint-of-an-upgrade-has-time",
        "spec.upgrade.savepointTimeout",
        "self > duration('0s')",
        "must be more than 0s",
    ),
    rule(
        "new-pods-have-time",
        "spec.upgrade.preWarmTimeout",
        "self > duration('0s')",
        "must be more than 0s",
    ),
    rule(
        "path-with-from-path",
        "spec.restore",
        "(self.from == 'Path') == has(self.path)",
        "restore.path goes with restore.from Path, and only with it",
    ),
    rule(
        "restore-nonce-names-a-start",
        "spec.restore",
        "!has(self.nonce) || self.from != 'Latest'",
        "restore.nonce needs restore.from Path, with a path, or None",
    ),
    rule(
        "restore-nonce-grows",
        "spec.restore",
        "!has(oldSelf.nonce) || !has(self.nonce) || self.nonce >= oldSelf.nonce",
        "restore.nonce can't become less: raise it to restore again",
    ),
    rule(
        "new-revision-has-time",
        "spec.rollback",
        "self.readinessTimeout > duration('0s')",
        "rollback.readinessTimeout must be more than 0s",
    ),
    rule(
        "restarts-are-counted-over-a-time",
        "spec.health",
        "self.restartWindow > duration('0s')",
        "health.restartWindow must be more than 0s",
    ),
    rule(
        "required-savepoint-keeps-state",
        "spec.onDelete",
        "self.state != 'Delete' || self.savepoint != 'Required'",
        "onDelete.state must be Retain where onDelete.savepoint is Required",
    ),
    rule(
        "savepoint-at-deletion-has-time",
        "spec.onDelete",
        "self.timeout > duration('0s')",
        "onDelete.timeout must be more than 0s",
    ),
];
