//! What holds of restarts after a failure.

use super::{Rule, rule};

pub(super) const RULES: &[Rule] = &[
    rule(
        "attempts-field",
        "spec.restartStrategy",
        "!has(self.attempts) || (has(self.type) && self.type in ['FixedDelay', 'ExponentialDelay'])",
        "restartStrategy.attempts needs type FixedDelay or ExponentialDelay",
    ),
    rule(
        "failure-rate-fields",
        "spec.restartStrategy",
        "!(has(self.maxFailures) || has(self.interval)) || (has(self.type) && self.type == 'FailureRate')",
        "restartStrategy.maxFailures and interval need type FailureRate",
    ),
    rule(
        "delay-fields",
        "spec.restartStrategy",
        "!has(self.delay) || (has(self.type) && self.type in ['FixedDelay', 'FailureRate'])",
        "restartStrategy.delay needs type FixedDelay or FailureRate",
    ),
    rule(
        "exponential-delay-fields",
        "spec.restartStrategy",
        "!(has(self.initialDelay) || has(self.maxDelay) || has(self.multiplier) || has(self.jitter) || has(self.resetAfter)) || (has(self.type) && self.type == 'ExponentialDelay')",
        "restartStrategy.initialDelay, maxDelay, multiplier, jitter and resetAfter need type ExponentialDelay",
    ),
    rule(
        "first-delay-within-the-longest",
        "spec.restartStrategy",
        "!has(self.initialDelay) || !has(self.maxDelay) || self.initialDelay <= self.maxDelay",
        "restartStrategy.initialDelay is more than maxDelay",
    ),
];
