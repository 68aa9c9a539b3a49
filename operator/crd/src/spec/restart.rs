//! Restart and failover strategies (Flink's `RestartStrategyOptions` and
//! `FailoverStrategyFactoryLoader`).

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ManifestDuration;

/// What is restarted when one task fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailoverStrategy {
    /// The whole job.
    Full,
    /// The pipelined region of the task, and the regions that consume its data.
    #[default]
    Region,
    /// Only the task, where the job's graph and guarantees allow it.
    Individual,
}

/// Whether, and how often, a failed job is started again. Each type has fields of its own; naming
/// another type's field is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RestartStrategySpec {
    /// The strategy. Without it, `ExponentialDelay` where checkpoints are on, otherwise `None`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<RestartStrategyType>,
    /// FixedDelay: how many restarts there may be, 1 if not given. ExponentialDelay: how many there
    /// may be without a quiet time of `resetAfter` in between, without a limit if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub attempts: Option<u32>,
    /// FixedDelay and FailureRate: the time before a restart, `1s` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay: Option<ManifestDuration>,
    /// FailureRate: how many failures there may be within `interval`, 1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_failures: Option<u32>,
    /// FailureRate: the time over which failures are counted, `1m` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<ManifestDuration>,
    /// ExponentialDelay: the time before the first restart, `1s` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<ManifestDuration>,
    /// ExponentialDelay: the most time before a restart, `1m` if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<ManifestDuration>,
    /// ExponentialDelay: by what the time grows with each restart, 1.5 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub multiplier: Option<f64>,
    /// ExponentialDelay: the part of the time by which it varies at random, 0.1 if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub jitter: Option<f64>,
    /// ExponentialDelay: after this long without a failure, the time is the first one again; `1h`
    /// if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset_after: Option<ManifestDuration>,
}

/// The kinds of restart strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RestartStrategyType {
    /// The first failure ends the job.
    None,
    /// So many restarts, with the same delay before each.
    FixedDelay,
    /// Restarts until failures come too often.
    FailureRate,
    /// Restarts with a growing delay, without end if there is no limit.
    ExponentialDelay,
}

/// A restart strategy with every value filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartPolicy {
    /// The first failure ends the job.
    None,
    /// So many restarts, with the same delay before each.
    FixedDelay {
        /// How many restarts there may be.
        attempts: u32,
        /// The time before each.
        delay: Duration,
    },
    /// Restarts until failures come too often.
    FailureRate {
        /// How many failures there may be within `interval`.
        max_failures: u32,
        /// The time over which failures are counted.
        interval: Duration,
        /// The time before each restart.
        delay: Duration,
    },
    /// Restarts with a growing delay.
    ExponentialDelay {
        /// How many restarts there may be without a quiet time in between; none: without end.
        attempts: Option<u32>,
        /// The time before the first restart.
        initial_delay: Duration,
        /// The most time before a restart.
        max_delay: Duration,
        /// By what the time grows with each restart.
        multiplier: f64,
        /// The part of the time by which it varies at random.
        jitter: f64,
        /// After this long without a failure, the time is the first one again.
        reset_after: Duration,
    },
}

impl RestartStrategySpec {
    /// The strategy with its defaults filled in. Whether checkpoints are on decides the type where
    /// the manifest names none: without them a restart would begin with the first record again.
    pub fn policy(&self, checkpoints_on: bool) -> RestartPolicy {
        let default = if checkpoints_on {
            RestartStrategyType::ExponentialDelay
        } else {
            RestartStrategyType::None
        };
        let or = |given: Option<ManifestDuration>, secs: u64| {
            let default = ManifestDuration::from_secs(secs);
            given.unwrap_or(default).get()
        };
        match self.kind.unwrap_or(default) {
            RestartStrategyType::None => RestartPolicy::None,
            RestartStrategyType::FixedDelay => RestartPolicy::FixedDelay {
                attempts: self.attempts.unwrap_or(1),
                delay: or(self.delay, 1),
            },
            RestartStrategyType::FailureRate => RestartPolicy::FailureRate {
                max_failures: self.max_failures.unwrap_or(1),
                interval: or(self.interval, 60),
                delay: or(self.delay, 1),
            },
            RestartStrategyType::ExponentialDelay => RestartPolicy::ExponentialDelay {
                attempts: self.attempts,
                initial_delay: or(self.initial_delay, 1),
                max_delay: or(self.max_delay, 60),
                multiplier: self.multiplier.unwrap_or(1.5),
                jitter: self.jitter.unwrap_or(0.1),
                reset_after: or(self.reset_after, 3600),
            },
        }
    }
}
