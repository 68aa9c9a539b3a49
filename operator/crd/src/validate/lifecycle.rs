//! Rules for restore, deletion, leader election, time-outs and restarts.

use super::Violations;
use crate::spec::{
    OnDeleteState, RestartStrategySpec, RestartStrategyType, RestoreFrom, SavepointOnDelete,
    StreamJobSpec,
};

pub(super) fn lifecycle(found: &mut Violations, spec: &StreamJobSpec) {
    let restore = &spec.restore;
    match (restore.from, &restore.path) {
        (RestoreFrom::Path, None) => {
            found.add(
                "spec.restore.from",
                "is `Path`, but `spec.restore.path` is not given",
            );
        }
        (RestoreFrom::None | RestoreFrom::Latest, Some(_)) => {
            found.add("spec.restore.path", "has an effect only with `from: Path`");
        }
        _ => {}
    }
    found.check(
        restore.nonce.is_none() || restore.from != RestoreFrom::Latest,
        "spec.restore.nonce",
        "needs `from: Path`, with a `path`, or `from: None`",
    );
    let on_delete = &spec.on_delete;
    found.check(
        on_delete.state == OnDeleteState::Retain
            || on_delete.savepoint != SavepointOnDelete::Required,
        "spec.onDelete.state",
        "must be `Retain` where `spec.onDelete.savepoint` is `Required`",
    );
    let ha = &spec.ha;
    found.check(
        ha.renew_deadline < ha.lease_duration,
        "spec.ha.renewDeadline",
        format_args!(
            "is {}; it must be less than `spec.ha.leaseDuration`, which is {}",
            ha.renew_deadline, ha.lease_duration
        ),
    );
    found.check(
        ha.retry_period < ha.renew_deadline,
        "spec.ha.retryPeriod",
        format_args!(
            "is {}; it must be less than `spec.ha.renewDeadline`, which is {}",
            ha.retry_period, ha.renew_deadline
        ),
    );
    for (path, duration) in [
        (
            "spec.upgrade.savepointTimeout",
            spec.upgrade.savepoint_timeout,
        ),
        ("spec.upgrade.preWarmTimeout", spec.upgrade.pre_warm_timeout),
        ("spec.checkpoint.timeout", spec.checkpoint.timeout),
        ("spec.savepoint.timeout", spec.savepoint.timeout),
        (
            "spec.rollback.readinessTimeout",
            spec.rollback.readiness_timeout,
        ),
        ("spec.health.restartWindow", spec.health.restart_window),
        ("spec.onDelete.timeout", spec.on_delete.timeout),
        ("spec.ha.retryPeriod", ha.retry_period),
    ] {
        found.check(!duration.is_zero(), path, "must be more than 0s");
    }
}

pub(super) fn restart_strategy(found: &mut Violations, strategy: &RestartStrategySpec) {
    use RestartStrategyType::{ExponentialDelay, FailureRate, FixedDelay};
    let given: [(&str, bool, &[RestartStrategyType]); 9] = [
        (
            "attempts",
            strategy.attempts.is_some(),
            &[FixedDelay, ExponentialDelay],
        ),
        (
            "delay",
            strategy.delay.is_some(),
            &[FixedDelay, FailureRate],
        ),
        (
            "maxFailures",
            strategy.max_failures.is_some(),
            &[FailureRate],
        ),
        ("interval", strategy.interval.is_some(), &[FailureRate]),
        (
            "initialDelay",
            strategy.initial_delay.is_some(),
            &[ExponentialDelay],
        ),
        (
            "maxDelay",
            strategy.max_delay.is_some(),
            &[ExponentialDelay],
        ),
        (
            "multiplier",
            strategy.multiplier.is_some(),
            &[ExponentialDelay],
        ),
        ("jitter", strategy.jitter.is_some(), &[ExponentialDelay]),
        (
            "resetAfter",
            strategy.reset_after.is_some(),
            &[ExponentialDelay],
        ),
    ];
    for (field, is_given, kinds) in given {
        let fits = strategy.kind.is_some_and(|kind| kinds.contains(&kind));
        if is_given && !fits {
            let kinds: Vec<_> = kinds
                .iter()
                .map(|kind| format!("`type: {kind:?}`"))
                .collect();
            found.add(
                format!("spec.restartStrategy.{field}"),
                format!("needs {}", kinds.join(" or ")),
            );
        }
    }
    if let (Some(initial), Some(max)) = (strategy.initial_delay, strategy.max_delay) {
        found.check(
            initial <= max,
            "spec.restartStrategy.initialDelay",
            format_args!("is {initial}, more than `maxDelay`, which is {max}"),
        );
    }
}
