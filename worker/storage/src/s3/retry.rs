//! Attempts and the pauses between them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_types::{Clock, Timestamp};

use super::failure::{Class, Failure};
use crate::StoreOptions;

/// The longest first pause; each next one may be twice as long.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// How long a store is patient.
pub(super) struct Patience {
    clock: Arc<dyn Clock>,
    request_timeout: Duration,
    retry_timeout: Duration,
    random: AtomicU64,
}

/// How a request ended after all its attempts.
pub(super) struct Ended<T> {
    pub(super) result: Result<T, Failure>,
    /// An attempt that seemed to fail may have been carried out, or may yet be.
    pub(super) in_doubt: bool,
}

impl Patience {
    pub(super) fn new(options: &StoreOptions) -> Self {
        Self {
            clock: Arc::clone(&options.clock),
            request_timeout: options.request_timeout,
            retry_timeout: options.retry_timeout,
            random: AtomicU64::new(options.seed),
        }
    }

    /// How long one attempt may take that moves this many bytes: slow lines move a MiB a second.
    pub(super) fn of_bytes(&self, bytes: usize) -> Duration {
        let mib = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
        self.request_timeout + Duration::from_secs(1) * mib
    }

    /// How much of the time of an attempt that moves this many bytes is left.
    pub(super) fn left_of_bytes(&self, bytes: usize, begun: Timestamp) -> Duration {
        let spent = self.now().since(begun);
        self.of_bytes(bytes).saturating_sub(spent)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Repeats a request of this many bytes until it succeeds, fails for good, or patience ends.
    pub(super) async fn attempts<T, F>(&self, bytes: usize, request: impl Fn() -> F) -> Ended<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.repeat(Some(self.of_bytes(bytes)), request).await
    }

    /// The same for a request that limits the time of each attempt itself, as it learns only from
    /// the answer how many bytes it moves.
    pub(super) async fn attempts_with_own_limit<T, F>(&self, request: impl Fn() -> F) -> Ended<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        self.repeat(None, request).await
    }

    /// `limit`: of each attempt.
    async fn repeat<T, F>(&self, limit: Option<Duration>, request: impl Fn() -> F) -> Ended<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let begun = self.clock.now();
        let mut in_doubt = false;
        let mut attempt = 0;
        loop {
            let attempted = Box::pin(request());
            let result = match limit {
                Some(limit) => tokio::time::timeout(limit, attempted)
                    .await
                    .unwrap_or_else(|_| Err(Failure::lost("no answer in time"))),
                None => attempted.await,
            };
            attempt += 1;
            let mut failure = match result {
                Err(failure) if failure.class == Class::Passing => failure,
                result => return Ended { result, in_doubt },
            };
            in_doubt |= failure.maybe_done;
            let pause = self.pause(attempt);
            let spent = self.clock.now().since(begun);
            if spent + pause >= self.retry_timeout {
                let spent_ms = spent.as_millis();
                failure.text = format!("{} ({attempt} attempts in {spent_ms} ms)", failure.text);
                return Ended {
                    result: Err(failure),
                    in_doubt,
                };
            }
            tracing::debug!(%failure, attempt, ?pause, "a request will be repeated");
            tokio::time::sleep(pause).await;
        }
    }

    /// A random pause, up to twice as long after each attempt ("full jitter"): clients that failed
    /// together do not return together.
    fn pause(&self, attempt: u32) -> Duration {
        let longest = PAUSE_FIRST * 2_u32.saturating_pow(attempt.saturating_sub(1).min(16));
        let longest_us = u64::try_from(longest.min(PAUSE_MAX).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.next_random() % longest_us)
    }

    /// SplitMix64: every state differs, so threads may share it.
    fn next_random(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut mixed = self
            .random
            .fetch_add(STEP, Ordering::Relaxed)
            .wrapping_add(STEP);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_differ_but_not_beyond_the_longest() {
        let patience = Patience::new(&StoreOptions {
            seed: 7,
            ..StoreOptions::default()
        });
        let longest = |attempt| (0..500).map(|_| patience.pause(attempt)).max().unwrap();
        assert!(longest(1) < Duration::from_millis(50));
        assert!(longest(3) > Duration::from_millis(150) && longest(3) < Duration::from_millis(200));
        assert!(longest(40) > Duration::from_millis(1_800) && longest(40) < PAUSE_MAX);
        let other = Patience::new(&StoreOptions {
            seed: 8,
            ..StoreOptions::default()
        });
        let same = Patience::new(&StoreOptions {
            seed: 8,
            ..StoreOptions::default()
        });
        let draw = |patience: &Patience| (0..9).map(|n| patience.pause(n)).collect::<Vec<_>>();
        assert_eq!(draw(&other), draw(&same));
        assert_ne!(draw(&other), draw(&patience));
    }
}
