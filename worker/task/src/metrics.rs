//! What a subtask tells about itself. One thread writes, any thread reads.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use weir_graph::NodeId;
use weir_network::GateFill;
use weir_state::{IdleTime, Spent};
use weir_stream::metrics::OperatorMetrics;
use weir_types::{Clock, EventTime, OperatorId, Timestamp};

use crate::restore::Sources;

/// A number that one thread adds to: no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds. Only the subtask's own thread calls it.
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One operator of the chain.
#[derive(Debug)]
pub struct ChainedOperatorMetrics {
    /// Its place in the program's graph.
    pub node: NodeId,
    /// The logical operator.
    pub operator: OperatorId,
    /// Its name.
    pub name: Arc<str>,
    /// Records it was given; for a source, records it read.
    pub records_in: Counter,
    /// Records it passed on, side outputs included.
    pub records_out: Counter,
    /// Counters that it feeds itself.
    pub own: Arc<OperatorMetrics>,
}

/// How a subtask has spent its time since it began to run.
#[derive(Debug)]
pub struct TaskTimes {
    /// When it began, in nanoseconds of the process's clock; 0 before.
    began: AtomicU64,
    /// When it ended; 0 before.
    ended: AtomicU64,
    idle_ns: Counter,
    /// Since when it has been waiting for input; 0 while it does not.
    idle_since: AtomicU64,
    /// Counts on while it waits for room.
    backpressured_ns: Arc<AtomicU64>,
}

/// What [`TaskTimes`] comes to at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimesSpent {
    /// Working.
    pub busy_ns: u64,
    /// Waiting for input.
    pub idle_ns: u64,
    /// Waiting for room downstream.
    pub backpressured_ns: u64,
}

impl TaskTimes {
    pub(crate) fn new(backpressured_ns: Arc<AtomicU64>) -> Self {
        Self {
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            idle_ns: Counter::default(),
            idle_since: AtomicU64::new(0),
            backpressured_ns,
        }
    }

    pub(crate) fn begin(&self, now: Timestamp) {
        self.began.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn end(&self, now: Timestamp) {
        self.ended.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn idle_from(&self, now: Timestamp) {
        self.idle_since.store(now.0, Ordering::Relaxed);
    }

    pub(crate) fn idle_until(&self, now: Timestamp) {
        let since = self.idle_since.swap(0, Ordering::Relaxed);
        self.idle_ns.add(now.0.saturating_sub(since));
    }

    /// For how long it has waited for room.
    pub(crate) fn blocked(&self) -> Duration {
        Duration::from_nanos(self.backpressured_ns.load(Ordering::Relaxed))
    }

    /// The sums as of `now`; waits that have not ended are included.
    pub fn spent(&self, now: Timestamp) -> TimesSpent {
        let began = self.began.load(Ordering::Relaxed);
        if began == 0 {
            return TimesSpent::default();
        }
        let end = match self.ended.load(Ordering::Relaxed) {
            0 => now.0,
            ended => ended,
        };
        let current = match self.idle_since.load(Ordering::Relaxed) {
            0 => 0,
            since => end.saturating_sub(since),
        };
        let elapsed = end.saturating_sub(began);
        let idle_ns = (self.idle_ns.get() + current).min(elapsed);
        let backpressured_ns = self
            .backpressured_ns
            .load(Ordering::Relaxed)
            .min(elapsed - idle_ns);
        TimesSpent {
            busy_ns: elapsed - idle_ns - backpressured_ns,
            idle_ns,
            backpressured_ns,
        }
    }
}

/// A subtask's idle time, for those who give way to it.
pub(crate) struct Idle {
    times: Arc<TaskTimes>,
    clock: Arc<dyn Clock>,
}

impl Idle {
    pub(crate) fn of(metrics: &TaskMetrics, clock: &Arc<dyn Clock>) -> Arc<dyn IdleTime> {
        Arc::new(Self {
            times: Arc::clone(&metrics.times),
            clock: Arc::clone(clock),
        })
    }
}

impl IdleTime for Idle {
    fn spent(&self) -> Spent {
        let spent = self.times.spent(self.clock.now());
        Spent {
            idle: Duration::from_nanos(spent.idle_ns),
            all: Duration::from_nanos(spent.busy_ns + spent.idle_ns + spent.backpressured_ns),
        }
    }
}

/// A subtask's counters.
#[derive(Debug)]
pub struct TaskMetrics {
    /// Records taken from the input gate; for a source, records read.
    pub records_in: Counter,
    /// Records given to the result partitions.
    pub records_out: Counter,
    /// Bytes taken from the input gate.
    pub bytes_in: Counter,
    /// Bytes given to the result partitions.
    pub bytes_out: Counter,
    /// Busy, idle and back-pressured time.
    pub times: Arc<TaskTimes>,
    watermark: AtomicI64,
    /// How full its input queues are, if it has any.
    input: OnceLock<GateFill>,
    /// Whether the chain begins with a source.
    is_source: bool,
    /// Where the state that it began with came from.
    pub restored: RestoredBytes,
    /// The chain's operators, its head first.
    pub operators: Vec<ChainedOperatorMetrics>,
}

/// How much of the state that a subtask began with came from where.
#[derive(Debug, Default)]
pub struct RestoredBytes {
    local: AtomicU64,
    store: AtomicU64,
}

impl RestoredBytes {
    pub(crate) fn set(&self, sources: Sources) {
        self.local.store(sources.local_bytes, Ordering::Relaxed);
        self.store.store(sources.store_bytes, Ordering::Relaxed);
    }

    /// From copies on the local disk.
    pub fn local(&self) -> u64 {
        self.local.load(Ordering::Relaxed)
    }

    /// From the store.
    pub fn store(&self) -> u64 {
        self.store.load(Ordering::Relaxed)
    }
}

impl TaskMetrics {
    pub(crate) fn new(
        operators: Vec<ChainedOperatorMetrics>,
        is_source: bool,
        backpressured_ns: Arc<AtomicU64>,
    ) -> Self {
        Self {
            records_in: Counter::default(),
            records_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            times: Arc::new(TaskTimes::new(backpressured_ns)),
            watermark: AtomicI64::new(EventTime::MIN.0),
            input: OnceLock::new(),
            is_source,
            restored: RestoredBytes::default(),
            operators,
        }
    }

    /// The smallest watermark over all inputs; `EventTime::MIN` before the first.
    pub fn watermark(&self) -> EventTime {
        EventTime(self.watermark.load(Ordering::Relaxed))
    }

    /// About how many bytes wait in its input queues.
    pub fn queue_bytes(&self) -> usize {
        self.input.get().map_or(0, GateFill::bytes)
    }

    pub(crate) fn set_input(&self, fill: GateFill) {
        // A subtask has one gate.
        drop(self.input.set(fill));
    }

    /// How old a source's newest record was when it went out: by the event time that the source
    /// gives it, or else the first operator behind it in the chain that gives it one.
    pub fn source_event_time_lag_ms(&self) -> Option<i64> {
        let mut lags = self.operators.iter().map(|operator| &operator.own);
        let lag = lags.find_map(|own| own.event_time_lag_ms());
        lag.filter(|_| self.is_source)
    }

    pub(crate) fn set_watermark(&self, watermark: EventTime) {
        self.watermark.store(watermark.0, Ordering::Relaxed);
    }
}
