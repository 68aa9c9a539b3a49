//! From a failure to the first record after it: a job with a large keyed state fails once, and goes
//! on from its newest checkpoint in the same process. As the comparison program: 10 M keys with 104
//! bytes each, no delay before the restart. The loss of a key would show in the tests, not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use weir::state::AggregateFunction;
use weir::stream::sink::{Sink, SinkWriter};
use weir::stream::{Batch, BoxError, OperatorContext};
use weir::types::{Clock, Timestamp};

use crate::report::{Flags, Report, peak_rss_mb};
use crate::rng::{at, below, mix64};
use crate::run::{Plan, measure_plan, state};
use crate::seq::SeqSource;

/// Words of a value: 104 bytes.
const WORDS: usize = 13;

/// When all keys had been written, the failure, and the first record after it; 0: not yet.
static LOADED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let keys = flags.number("keys", 10_000_000)?;
    let updates = flags.number("updates", 30_000_000)?;
    let wait = Duration::from_millis(flags.number("fail-after-ms", 12_000)?);
    let Some(state) = state(flags, 4000)? else {
        bail!("--checkpoint-ms=0: without checkpoints nothing can be recovered");
    };
    let plan = Plan {
        parallelism: flags.number("parallelism", 2)?,
        state: Some(state),
        restart_at_once: true,
    };
    let measured = measure_plan(plan, |env| {
        let make = move |index| {
            if index < keys {
                (index, index)
            } else {
                (below(at(23, index), keys), index)
            }
        };
        env.from_source(SeqSource::new(make, keys + updates, 1000, 0))
            .key_by(|(key, _)| *key)
            .aggregate(Wide)
            .sink_to(FailsOnce { keys, wait });
    })?;
    let instant = |of: &AtomicU64| of.load(Ordering::SeqCst);
    let (failed, first) = (instant(&FAILED), instant(&FIRST));
    if failed == 0 || first == 0 {
        bail!("the job ended before it could fail: take more --updates or less --fail-after-ms");
    }
    let mut report = Report::new("recovery");
    report.put_throughput(keys + updates, measured.seconds, measured.cpu_seconds);
    report.put("keys", json!(keys));
    report.put_rounded(
        "fail_to_first_record_ms",
        Duration::from_nanos(first - failed).as_secs_f64() * 1e3,
    );
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put_checkpoints(measured.checkpoints.as_ref());
    Ok(report)
}

/// Keeps 104 bytes a key, which do not compress, and counts the key's records in the first 8.
#[derive(Clone)]
struct Wide;

impl AggregateFunction for Wide {
    type In = (u64, u64);
    type Acc = [u64; WORDS];
    /// The number of records, and the index of the last one.
    type Out = (u64, u64);

    fn create_accumulator(&self) -> Self::Acc {
        [0; WORDS]
    }

    fn add(&self, value: &mut Self::Acc, (key, index): (u64, u64)) {
        value[0] += 1;
        value[1] = index;
        for (nth, word) in (0u64..).zip(&mut value[2..]) {
            *word = mix64(key ^ nth) >> 8;
        }
    }

    fn result(&self, value: &Self::Acc) -> (u64, u64) {
        (value[0], value[1])
    }

    fn merge(&self, into: &mut Self::Acc, other: Self::Acc) {
        into[0] += other[0];
        into[1] = into[1].max(other[1]);
    }
}

#[derive(Clone)]
struct FailsOnce {
    keys: u64,
    wait: Duration,
}

impl Sink for FailsOnce {
    type In = (u64, (u64, u64));
    type Writer = Writer;

    fn kind(&self) -> &'static str {
        "fails-once"
    }

    fn make_writer(&self) -> Writer {
        Writer {
            sink: self.clone(),
            clock: None,
            restarted: false,
        }
    }
}

struct Writer {
    sink: FailsOnce,
    clock: Option<Arc<dyn Clock>>,
    /// It was opened after the failure: before, the other subtasks still go on for a moment.
    restarted: bool,
}

/// Whoever comes first says when it was.
fn once(of: &AtomicU64, now: Timestamp) -> bool {
    of.compare_exchange(0, now.0, Ordering::SeqCst, Ordering::SeqCst)
        .is_ok()
}

impl SinkWriter<(u64, (u64, u64))> for Writer {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.clock = Some(Arc::clone(&context.clock));
        self.restarted = FAILED.load(Ordering::SeqCst) > 0;
        Ok(())
    }

    fn write(&mut self, batch: Batch<(u64, (u64, u64))>) -> Result<(), BoxError> {
        let (Some(clock), Some((_, (_, index)))) = (&self.clock, batch.rows().last()) else {
            return Ok(());
        };
        let now = clock.now();
        if self.restarted {
            once(&FIRST, now);
        }
        if *index < self.sink.keys {
            return Ok(());
        }
        once(&LOADED, now);
        let loaded = Timestamp(LOADED.load(Ordering::SeqCst));
        if now.since(loaded) >= self.sink.wait && once(&FAILED, now) {
            return Err("this benchmark fails once".into());
        }
        Ok(())
    }
}
