//! What a checkpoint costs while it runs: how many records pass in the time from a checkpoint's
//! trigger to its completion, beside the time without one.
//!
//! A thread looks at a counter every few milliseconds. The job runs at its full speed, or at a rate
//! of which the machine has something to spare.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weir::local::CheckpointState;
use weir::types::{Clock, SystemClock};

use crate::report::{Flags, Report, peak_rss_mb};
use crate::rng::{at, below};
use crate::run::{backend, measure_with, state};
use crate::seq::SeqSource;
use crate::sums::{Sums, passed};

/// How often the counter is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// The beginning of the run is left out: tables grow.
const WARM_UP: i64 = 3000;

/// When, and how many records had passed.
type Look = (i64, u64);

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let keys = flags.number("keys", 1_000_000)?;
    let events = flags.number("events", 200_000_000)?;
    let rate = flags.number("rate", 0)?;
    let Some(state) = state(flags, 2000)? else {
        bail!("--checkpoint-ms=0: there is nothing to measure without checkpoints");
    };
    let looks = Arc::new(Mutex::new(Vec::<Look>::new()));
    let over = Arc::new(AtomicBool::new(false));
    let watcher = thread::Builder::new().name("watcher".to_owned()).spawn({
        let (looks, over) = (Arc::clone(&looks), Arc::clone(&over));
        move || {
            while !over.load(Ordering::Relaxed) {
                let look = (SystemClock.unix_ms(), passed());
                let mut looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
                looks.push(look);
                drop(looks);
                thread::sleep(LOOK);
            }
        }
    })?;
    let config = backend(flags)?;
    let measured = measure_with(
        flags.number("parallelism", 2)?,
        Some(state),
        config,
        |env| {
            let make = move |index| (below(at(11, index), keys), 1u64);
            env.from_source(SeqSource::new(make, events, 1000, rate))
                .key_by(|(key, _)| *key)
                .reduce(|into: &mut (u64, u64), row: (u64, u64)| into.1 += row.1)
                .sink_to(Sums::new(|(key, sum): &(u64, u64)| key ^ sum));
        },
    );
    over.store(true, Ordering::Relaxed);
    drop(watcher.join());
    let measured = measured?;
    let looks = looks.lock().unwrap_or_else(PoisonError::into_inner);
    let checkpoints = measured.checkpoints.context("there were checkpoints")?;
    let done = checkpoints.history.iter();
    let done = done.filter(|one| one.state == CheckpointState::Completed);
    let end = |took: Duration| i64::try_from(took.as_millis()).unwrap_or(i64::MAX);
    let spans: Vec<(i64, i64)> = done
        .map(|one| (one.triggered_ms, one.triggered_ms + end(one.duration)))
        .collect();
    let (during, between) = speeds(&looks, &spans);
    let mut report = Report::new("dip");
    report.put_throughput(events, measured.seconds, measured.cpu_seconds);
    report.put("backend", json!(flags.text("backend", "heap")));
    report.put("keys", json!(keys));
    report.put_rounded("records_per_ms_during_checkpoints", during);
    report.put_rounded("records_per_ms_between", between);
    report.put_rounded("dip_percent", 100.0 * (1.0 - during / between));
    report.put(
        "records_per_ms_behind_triggers",
        json!(behind(&looks, &spans)),
    );
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put_checkpoints(Some(&checkpoints));
    Ok(report)
}

/// Records per millisecond inside of the spans, and outside of them from the first to the last.
fn speeds(looks: &[Look], spans: &[(i64, i64)]) -> (f64, f64) {
    let (Some((begin, _)), Some(first), Some(last)) = (
        looks.first(),
        spans.iter().map(|(start, _)| *start).min(),
        // What comes behind the last may be the job's end.
        spans.iter().map(|(start, _)| *start).max(),
    ) else {
        return (0.0, 0.0);
    };
    let from = first.max(begin + WARM_UP);
    let (mut during, mut between) = ((0, 0), (0, 0));
    for pair in looks.windows(2) {
        let [(since, before), (now, passed)] = pair else {
            continue;
        };
        if *since < from || *now > last {
            continue;
        }
        let inside = spans
            .iter()
            .any(|(start, end)| start <= since && now <= end);
        let outside = spans.iter().all(|(start, end)| now < start || end < since);
        // One that is half inside says nothing.
        let sums = match (inside, outside) {
            (true, _) => &mut during,
            (_, true) => &mut between,
            _ => continue,
        };
        sums.0 += passed - before;
        sums.1 += now - since;
    }
    (speed(during), speed(between))
}

/// How long one step of the course behind a checkpoint's trigger is.
const STEP_MS: i64 = 20;

/// How many of them are told.
const STEPS: usize = 40;

/// The mean course of the speed behind a checkpoint's trigger. The last one may be the job's end:
/// then no records are left.
fn behind(looks: &[Look], spans: &[(i64, i64)]) -> Vec<f64> {
    let mut steps = [(0, 0); STEPS];
    let begin = looks.first().map_or(0, |(begin, _)| begin + WARM_UP);
    let last = spans.iter().map(|(start, _)| *start).max().unwrap_or(0);
    for pair in looks.windows(2) {
        let [(since, before), (now, passed)] = pair else {
            continue;
        };
        let trigger = spans.iter().map(|(start, _)| *start);
        let trigger = trigger.filter(|start| *start >= begin && start <= since);
        let Some(trigger) = trigger.max().filter(|trigger| *trigger < last) else {
            continue;
        };
        let step = usize::try_from((since - trigger) / STEP_MS).ok();
        let Some(sums) = step.and_then(|step| steps.get_mut(step)) else {
            continue;
        };
        sums.0 += passed - before;
        sums.1 += now - since;
    }
    steps.into_iter().map(speed).map(f64::round).collect()
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn speed((records, ms): (u64, i64)) -> f64 {
    records as f64 / ms.max(1) as f64
}
