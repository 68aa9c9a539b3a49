//! How long checkpoints take when the state grows: one in a hundred of the keys is written between
//! two checkpoints, or (`--dirty-keys=N`) as many at either size, which shows whether the time
//! depends on the state or on what has changed. Two sizes, one after the other in the same process.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Result, bail};
use serde_json::{Value, json};
use weir::local::{CheckpointDetails, CheckpointState, JobCheckpoints};
use weir::types::{Clock, SystemClock};

use crate::report::{Flags, Report, millis, peak_rss_mb};
use crate::run::{Plan, backend, measure_plan, state};
use crate::seq::{self, SeqSource};
use crate::sums::Sums;
use crate::wide::{Wide, record};

/// Bytes of a key's state: 8 of the key, 104 of the value.
const KEY_BYTES: u64 = 112;

/// Which part of the keys is written between two checkpoints: one in so many.
const DIRTY: u64 = 100;

/// When the first record behind the load came, in milliseconds since 1970; 0: not yet.
static LOADED_MS: AtomicI64 = AtomicI64::new(0);

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let (small, large) = (
        flags.number("small-mb", 1000)?,
        flags.number("large-mb", 4000)?,
    );
    let mut report = Report::new("growth");
    report.put("backend", json!(flags.text("backend", "heap")));
    let mut all = Vec::new();
    for (name, megabytes) in [("small", small), ("large", large)] {
        let (checkpoints, times) = one(flags, megabytes)?;
        report.put(
            name,
            json!({ "state_mb": megabytes, "checkpoint_ms_avg": times.average,
            "checkpoint_ms_median": times.median, "checkpoints": checkpoints }),
        );
        all.push(times);
    }
    if let [small, large] = &all[..] {
        report.put_rounded("grows_by", large.average / small.average);
        report.put_rounded("median_grows_by", large.median / small.median);
    }
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    Ok(report)
}

/// How long checkpoints took, in milliseconds.
struct Times {
    average: f64,
    median: f64,
}

impl Times {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    fn of(mut times: Vec<f64>) -> Option<Self> {
        times.sort_by(f64::total_cmp);
        let at = |place: usize| times.get(place).copied();
        let median = (at((times.len().checked_sub(1)?) / 2)? + at(times.len() / 2)?) / 2.0;
        let average = times.iter().sum::<f64>() / times.len() as f64;
        Some(Self { average, median })
    }
}

/// The checkpoints of one size once all keys are there and each holds one in a hundred only, and
/// how long they took.
fn one(flags: &Flags, megabytes: u64) -> Result<(Vec<Value>, Times)> {
    let keys = megabytes * 1_000_000 / KEY_BYTES;
    let interval_ms = flags.number("checkpoint-ms", 5000)?;
    let rounds = flags.number("rounds", 8)?;
    let hot = flags.number("dirty-keys", keys / DIRTY)?;
    // Each of the hot keys about thrice, so that few are missed.
    let rate = 3 * hot * 1000 / interval_ms;
    let updates = rate * interval_ms * rounds / 1000;
    let Some(state) = state(flags, 5000)? else {
        bail!("--checkpoint-ms=0: there is nothing to measure without checkpoints");
    };
    seq::forget_start();
    LOADED_MS.store(0, Ordering::SeqCst);
    let plan = Plan {
        parallelism: flags.number("parallelism", 2)?,
        state: Some(state),
        restart_at_once: false,
        config: backend(flags)?,
    };
    let measured = measure_plan(plan, |env| {
        let make = move |index| record(index, keys, hot);
        env.from_source(SeqSource::new(make, keys + updates, 1000, rate).unpaced_until(keys))
            .key_by(|(key, _)| *key)
            .aggregate(Wide)
            .sink_to(Sums::new(move |(_, (count, index)): &(u64, (u64, u64))| {
                if *index >= keys && LOADED_MS.load(Ordering::Relaxed) == 0 {
                    LOADED_MS.store(SystemClock.unix_ms(), Ordering::Relaxed);
                }
                *count
            }));
    })?;
    let loaded = LOADED_MS.load(Ordering::SeqCst);
    let checkpoints = measured.checkpoints.unwrap_or_default();
    let counted = counted(&checkpoints, loaded);
    let times = counted.iter().map(|one| millis(one.duration));
    let Some(times) = Times::of(times.collect()) else {
        bail!("no checkpoint was begun and completed behind the load: take more --rounds");
    };
    let shown = counted.iter().map(|checkpoint| {
        let written = checkpoint.subtasks.iter();
        let written: u64 = written.map(|part| part.metrics.written_bytes).sum();
        json!({ "ms": millis(checkpoint.duration), "written_mb": written / 1_000_000 })
    });
    Ok((shown.collect(), times))
}

/// Those behind the load, without the first two, which hold what the load has changed, without the
/// one after them, as a subtask writes ahead once it has seen two such, and without the job's last,
/// which waits for the end.
fn counted(checkpoints: &JobCheckpoints, loaded_ms: i64) -> Vec<&CheckpointDetails> {
    let done = checkpoints
        .history
        .iter()
        .rev()
        .filter(|one| one.state == CheckpointState::Completed && one.triggered_ms > loaded_ms);
    let done: Vec<_> = done.collect();
    let last = done.len().saturating_sub(1);
    done.into_iter().take(last).skip(3).collect()
}
