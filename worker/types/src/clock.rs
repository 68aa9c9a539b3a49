//! Time comes in through a trait, so that tests and the simulator can hold it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// A point on a clock that never goes back: nanoseconds since an arbitrary start of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The time that passed since an earlier point; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rest: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync {
    /// A point for measuring how long something takes, and for time-outs. It never goes back.
    fn now(&self) -> Timestamp;

    /// Milliseconds since 1970-01-01 UTC. It may jump: never measure with it.
    fn unix_ms(&self) -> i64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the ambient clock comes in"
    )]
    fn now(&self) -> Timestamp {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        let start = *START.get_or_init(Instant::now);
        Timestamp(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is where the ambient clock comes in"
    )]
    fn unix_ms(&self) -> i64 {
        use std::time::SystemTime;
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that moves only when told.
#[derive(Debug, Default)]
pub struct ManualClock {
    now_ns: AtomicU64,
    unix_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `unix_ms`.
    pub fn at(unix_ms: i64) -> Self {
        Self {
            now_ns: AtomicU64::new(0),
            unix_ms: AtomicI64::new(unix_ms),
        }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, rest: Duration) {
        let ns = u64::try_from(rest.as_nanos()).unwrap_or(u64::MAX);
        self.now_ns.fetch_add(ns, Ordering::SeqCst);
        let ms = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
        self.unix_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as an administrator might.
    pub fn set_unix_ms(&self, unix_ms: i64) {
        self.unix_ms.store(unix_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now_ns.load(Ordering::SeqCst))
    }

    fn unix_ms(&self) -> i64 {
        self.unix_ms.load(Ordering::SeqCst)
    }
}
