//! Whether a job that failed is started again, and after what delay (Flink's
//! `RestartBackoffTimeStrategy` and its four kinds). Pure: time and randomness are arguments.
//!
//! Where Flink's failure rate counts the failure that makes the limit full as one too many, here
//! `max_failures` of them within the interval are still survived, as the name says.

use std::collections::VecDeque;
use std::time::Duration;

use weir_types::Timestamp;

/// What the user chose.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestartStrategy {
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

/// A strategy and what it has seen.
#[derive(Debug)]
pub(crate) struct RestartBackoff {
    strategy: RestartStrategy,
    /// Failures: of a fixed delay all, of a failure rate the latest, of an exponential delay those
    /// since the last quiet time.
    failures: VecDeque<Timestamp>,
    count: u32,
}

/// What a failure means for the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Start again after this time.
    Restart(Duration),
    /// It is over; the reason for people.
    GiveUp(String),
}

impl RestartBackoff {
    pub(crate) fn new(strategy: RestartStrategy) -> Self {
        Self {
            strategy,
            failures: VecDeque::new(),
            count: 0,
        }
    }

    /// Whether there can be restarts at all.
    pub(crate) fn may_restart(&self) -> bool {
        self.strategy != RestartStrategy::None
    }

    /// The job has failed. `random` lies between 0 and 1.
    pub(crate) fn on_failure(&mut self, now: Timestamp, random: f64) -> Verdict {
        match self.strategy {
            RestartStrategy::None => Verdict::GiveUp("the restart strategy is `None`".to_owned()),
            RestartStrategy::FixedDelay { attempts, delay } => {
                self.count = self.count.saturating_add(1);
                if self.count > attempts {
                    return Verdict::GiveUp(format!(
                        "it was restarted {}, as often as the restart strategy allows",
                        times(attempts)
                    ));
                }
                Verdict::Restart(delay)
            }
            RestartStrategy::FailureRate {
                max_failures,
                interval,
                delay,
            } => {
                self.failures.retain(|at| now.since(*at) < interval);
                self.failures.push_back(now);
                if self.failures.len() > max_failures as usize {
                    return Verdict::GiveUp(format!(
                        "it failed {} times within {interval:?}; the restart strategy allows \
                         {max_failures}",
                        self.failures.len()
                    ));
                }
                Verdict::Restart(delay)
            }
            RestartStrategy::ExponentialDelay {
                attempts,
                reset_after,
                ..
            } => {
                let quiet = self.failures.back().map(|last| now.since(*last));
                if quiet.is_some_and(|quiet| quiet >= reset_after) {
                    self.count = 0;
                }
                self.failures.clear();
                self.failures.push_back(now);
                if attempts.is_some_and(|attempts| self.count >= attempts) {
                    return Verdict::GiveUp(format!(
                        "it was restarted {} without {reset_after:?} of quiet in between, as often \
                         as the restart strategy allows",
                        times(self.count)
                    ));
                }
                let delay = self.exponential_delay(random);
                self.count = self.count.saturating_add(1);
                Verdict::Restart(delay)
            }
        }
    }

    /// The delay after `count` earlier failures.
    fn exponential_delay(&self, random: f64) -> Duration {
        let RestartStrategy::ExponentialDelay {
            initial_delay,
            max_delay,
            multiplier,
            jitter,
            ..
        } = self.strategy
        else {
            return Duration::ZERO;
        };
        let limit = max_delay.as_secs_f64();
        let exponent = i32::try_from(self.count).unwrap_or(i32::MAX);
        let grown = (initial_delay.as_secs_f64() * multiplier.max(1.0).powi(exponent)).min(limit);
        let varied = grown * (1.0 + jitter * (2.0 * random.clamp(0.0, 1.0) - 1.0));
        Duration::try_from_secs_f64(varied.clamp(0.0, limit)).unwrap_or(max_delay)
    }
}

fn times(count: u32) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} time{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp(secs * 1_000_000_000)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn exponential(jitter: f64) -> RestartBackoff {
        RestartBackoff::new(RestartStrategy::ExponentialDelay {
            attempts: None,
            initial_delay: secs(1),
            max_delay: secs(10),
            multiplier: 2.0,
            jitter,
            reset_after: secs(100),
        })
    }

    #[test]
    fn a_job_without_a_strategy_ends_with_its_first_failure() {
        let mut none = RestartBackoff::new(RestartStrategy::None);
        assert!(!none.may_restart());
        assert!(matches!(none.on_failure(at(0), 0.5), Verdict::GiveUp(_)));
    }

    #[test]
    fn a_fixed_delay_ends_after_its_attempts_however_far_apart() {
        let mut fixed = RestartBackoff::new(RestartStrategy::FixedDelay {
            attempts: 2,
            delay: secs(3),
        });
        assert_eq!(fixed.on_failure(at(0), 0.5), Verdict::Restart(secs(3)));
        assert_eq!(fixed.on_failure(at(9_000), 0.5), Verdict::Restart(secs(3)));
        let Verdict::GiveUp(reason) = fixed.on_failure(at(90_000), 0.5) else {
            panic!("a third restart");
        };
        assert!(reason.contains("2 times"), "{reason}");
    }

    #[test]
    fn a_failure_rate_counts_only_what_lies_within_its_interval() {
        let mut rate = RestartBackoff::new(RestartStrategy::FailureRate {
            max_failures: 2,
            interval: secs(60),
            delay: secs(1),
        });
        for time in [0, 50, 70, 120, 140] {
            let verdict = rate.on_failure(at(time), 0.5);
            assert_eq!(verdict, Verdict::Restart(secs(1)), "at {time}");
        }
        assert!(matches!(rate.on_failure(at(150), 0.5), Verdict::GiveUp(_)));
    }

    #[test]
    fn an_exponential_delay_grows_to_its_limit_and_starts_over_after_a_quiet_time() {
        let mut growing = exponential(0.0);
        let delays: Vec<_> = (0..6).map(|n| growing.on_failure(at(n), 0.5)).collect();
        let want = [1, 2, 4, 8, 10, 10].map(|n| Verdict::Restart(secs(n)));
        assert_eq!(delays, want);
        assert_eq!(growing.on_failure(at(105), 0.5), Verdict::Restart(secs(1)));
    }

    #[test]
    fn an_exponential_delay_with_a_limit_ends_unless_a_quiet_time_comes_in_between() {
        let mut limited = RestartBackoff::new(RestartStrategy::ExponentialDelay {
            attempts: Some(2),
            initial_delay: secs(1),
            max_delay: secs(10),
            multiplier: 2.0,
            jitter: 0.0,
            reset_after: secs(100),
        });
        for (time, delay) in [(0, 1), (10, 2), (200, 1), (210, 2)] {
            let verdict = limited.on_failure(at(time), 0.5);
            assert_eq!(verdict, Verdict::Restart(secs(delay)), "at {time}");
        }
        let Verdict::GiveUp(reason) = limited.on_failure(at(220), 0.5) else {
            panic!("a third restart");
        };
        assert!(reason.contains("2 times"), "{reason}");
    }

    #[test]
    fn jitter_moves_the_delay_both_ways_but_never_beyond_the_limit() {
        let delay = |random| exponential(0.5).on_failure(at(0), random);
        assert_eq!(delay(0.0), Verdict::Restart(Duration::from_millis(500)));
        assert_eq!(delay(1.0), Verdict::Restart(Duration::from_millis(1_500)));
        let mut grown = exponential(0.5);
        for n in 0..20 {
            let Verdict::Restart(delay) = grown.on_failure(at(n), 1.0) else {
                panic!("it never gives up");
            };
            assert!(delay <= secs(10), "{delay:?}");
        }
    }
}
