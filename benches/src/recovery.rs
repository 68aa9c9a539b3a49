//! From a failure to the first record after it: a job with a large keyed state fails once, and goes
//! on from its newest checkpoint in the same process. As the comparison program: 10 M keys with 104
//! bytes each, no delay before the restart; it fails a twentieth of the keys behind the first
//! checkpoint that has all of them. The loss of a key would show in the tests, not here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::json;
use weir::stream::sink::{CommitHandle, Sink, SinkWriter};
use weir::stream::{Batch, BoxError, Commit, OperatorContext};
use weir::types::{Clock, Timestamp};

use crate::report::{Flags, Report, peak_rss_mb};
use crate::run::{Plan, backend, measure_plan, state};
use crate::seq::SeqSource;
use crate::wide::{Wide, record};

/// When a checkpoint with all keys was complete, the failure, and the first record after it; 0: not
/// yet.
static STORED: AtomicU64 = AtomicU64::new(0);
static FAILED: AtomicU64 = AtomicU64::new(0);
static FIRST: AtomicU64 = AtomicU64::new(0);

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let keys = flags.number("keys", 10_000_000)?;
    let updates = flags.number("updates", 100_000_000)?;
    let Some(state) = state(flags, 4000)? else {
        bail!("--checkpoint-ms=0: without checkpoints nothing can be recovered");
    };
    let plan = Plan {
        parallelism: flags.number("parallelism", 2)?,
        state: Some(state),
        restart_at_once: true,
        config: backend(flags)?,
    };
    let measured = measure_plan(plan, |env| {
        let make = move |index| record(index, keys, keys);
        env.from_source(SeqSource::new(make, keys + updates, 1000, 0))
            .key_by(|(key, _)| *key)
            .aggregate(Wide)
            .sink_to(FailsOnce { keys });
    })?;
    let instant = |of: &AtomicU64| of.load(Ordering::SeqCst);
    let (failed, first) = (instant(&FAILED), instant(&FIRST));
    if failed == 0 || first == 0 {
        bail!("the job ended before it could fail: take more --updates or less --checkpoint-ms");
    }
    let mut report = Report::new("recovery");
    report.put_throughput(keys + updates, measured.seconds, measured.cpu_seconds);
    report.put("keys", json!(keys));
    report.put("backend", json!(flags.text("backend", "heap")));
    report.put(
        "local_recovery",
        json!(flags.text("local-recovery", "true")),
    );
    report.put_rounded(
        "fail_to_first_record_ms",
        Duration::from_nanos(first - failed).as_secs_f64() * 1e3,
    );
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put_checkpoints(measured.checkpoints.as_ref());
    Ok(report)
}

#[derive(Clone)]
struct FailsOnce {
    keys: u64,
}

impl Sink for FailsOnce {
    type In = (u64, (u64, u64));
    type Writer = Writer;

    fn kind(&self) -> &'static str {
        "fails-once"
    }

    fn commits(&self) -> bool {
        true
    }

    fn make_writer(&self) -> Writer {
        Writer {
            sink: self.clone(),
            clock: None,
            restarted: false,
            loaded: false,
            rows_behind: 0,
        }
    }
}

struct Writer {
    sink: FailsOnce,
    clock: Option<Arc<dyn Clock>>,
    /// It was opened after the failure: before, the other subtasks still go on for a moment.
    restarted: bool,
    /// A record behind the load has come.
    loaded: bool,
    /// Rows since a checkpoint with all keys was complete.
    rows_behind: u64,
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
        self.loaded |= *index >= self.sink.keys;
        if STORED.load(Ordering::SeqCst) == 0 {
            return Ok(());
        }
        self.rows_behind += batch.rows().len() as u64;
        // As many as the comparison program lets pass.
        if self.rows_behind >= self.sink.keys / 40 && once(&FAILED, now) {
            return Err("this benchmark fails once".into());
        }
        Ok(())
    }

    fn prepare_commit(&mut self, _by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        Ok(self.loaded.then(Vec::new).into_iter().collect())
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        if let (Some(clock), false) = (&self.clock, handles.is_empty()) {
            once(&STORED, clock.now());
        }
        Ok(())
    }
}
