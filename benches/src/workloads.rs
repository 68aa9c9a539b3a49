//! The throughput workloads, and the time to the first record.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, bail};
use compact_str::CompactString;
use serde_json::json;
use weir::ProgramEntry;
use weir::api::StreamEnv;
use weir::connectors::FileSource;
use weir::types::{Clock, SystemClock};

use crate::report::{Flags, Report, peak_rss_mb};
use crate::rng::{at, below, mix64};
use crate::run::{backend, measure, measure_with, state};
use crate::seq::SeqSource;
use crate::sums::{Sums, totals};
use crate::words;
use crate::{failover, processes};

/// Where generated input is kept.
fn scratch() -> Result<PathBuf> {
    let folder = match std::env::var_os("BENCH_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => std::env::temp_dir().join("weir-bench"),
    };
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Java's `String.hashCode`, sign extended: the checksum of the comparison program.
fn java_hash(word: &str) -> u64 {
    let mut hash = 0i32;
    for byte in word.bytes() {
        hash = hash.wrapping_mul(31).wrapping_add(i32::from(byte));
    }
    #[expect(clippy::cast_sign_loss, reason = "two's complement is wanted")]
    {
        i64::from(hash) as u64
    }
}

pub(crate) fn wordcount(flags: &Flags) -> Result<Report> {
    let count = flags.number("words", 50_000_000)?;
    let input = match flags.text("input", "") {
        none if none.is_empty() => words::folder(&scratch()?, count)?,
        input => PathBuf::from(input),
    };
    let parallelism = flags.number("parallelism", 2)?;
    let taskmanagers = flags.number("taskmanagers", 0)?;
    let mut report = Report::new("wordcount");
    let (rows, sum, peak) = if taskmanagers == 0 {
        let measured = measure(parallelism, |env| build_wordcount(env, &input))?;
        let (rows, sum) = totals();
        report.put_throughput(rows, measured.seconds, measured.cpu_seconds);
        (rows, sum, peak_rss_mb()?)
    } else {
        let outcome = processes::run(&scratch()?, WORDCOUNT, &input, parallelism, taskmanagers)?;
        report.put_throughput(outcome.rows, outcome.seconds, outcome.cpu_seconds);
        report.put("taskmanagers", json!(taskmanagers));
        (outcome.rows, outcome.sum, outcome.peak_rss_mb)
    };
    report.put_rounded("peak_rss_mb", peak);
    report.put("out_rows", json!(rows));
    report.put("checksum", json!(sum.to_string()));
    Ok(report)
}

const WORDCOUNT: &str = "bench-wordcount";

/// What the other processes of a job run.
pub(crate) const PROGRAMS: [ProgramEntry; 2] = [
    ProgramEntry {
        name: WORDCOUNT,
        summary: "counts words and adds up a checksum",
        build: |env, args| {
            build_wordcount(env, Path::new(args.required("input")?));
            Ok(())
        },
    },
    ProgramEntry {
        name: failover::PROGRAM,
        summary: "updates a large state and says when it goes on",
        build: |env, args| {
            failover::build(env, args.required("keys")?.parse()?);
            Ok(())
        },
    },
];

fn build_wordcount(env: &mut StreamEnv, input: &Path) {
    env.from_source(FileSource::lines(input))
        .flat_map(|line: String, out| {
            for word in line.split(' ').filter(|word| !word.is_empty()) {
                out.collect(CompactString::new(word));
            }
        })
        .key_by(CompactString::clone)
        .aggregate(Count)
        .sink_to(Sums::new(|(word, count): &(CompactString, u64)| {
            java_hash(word).wrapping_mul(*count)
        }));
}

pub(crate) fn keyed(flags: &Flags) -> Result<Report> {
    let (keys, events) = (
        flags.number("keys", 10_000_000)?,
        flags.number("events", 50_000_000)?,
    );
    let config = backend(flags)?;
    let (state, rate) = (state(flags, 0)?, flags.number("rate", 0)?);
    let measured = measure_with(flags.number("parallelism", 2)?, state, config, |env| {
        let make = move |index| {
            let key = below(at(11, index), keys);
            (key, 1 + key % 7)
        };
        env.from_source(SeqSource::new(make, events, 1000, rate))
            .key_by(|(key, _)| *key)
            .aggregate(SumOfSeconds)
            .sink_to(Sums::new(|(key, sum): &(u64, u64)| {
                mix64(*key ^ mix64(*sum))
            }));
    })?;
    let (rows, sum) = totals();
    let mut report = Report::new("keyed");
    report.put_throughput(events, measured.seconds, measured.cpu_seconds);
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put("backend", json!(flags.text("backend", "heap")));
    report.put("keys", json!(keys));
    report.put_checkpoints(measured.checkpoints.as_ref());
    report.put("out_rows", json!(rows));
    report.put("checksum", json!(sum.to_string()));
    Ok(report)
}

/// The running sum of the pairs' second numbers.
#[derive(Clone)]
struct SumOfSeconds;

impl weir::state::AggregateFunction for SumOfSeconds {
    type In = (u64, u64);
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, sum: &mut u64, row: (u64, u64)) {
        *sum = sum.wrapping_add(row.1);
    }

    fn result(&self, sum: &u64) -> u64 {
        *sum
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into = into.wrapping_add(other);
    }
}

/// How many words there were.
#[derive(Clone)]
struct Count;

impl weir::state::AggregateFunction for Count {
    type In = CompactString;
    type Acc = u64;
    type Out = u64;

    fn create_accumulator(&self) -> u64 {
        0
    }

    fn add(&self, count: &mut u64, _word: CompactString) {
        *count += 1;
    }

    fn result(&self, count: &u64) -> u64 {
        *count
    }

    fn merge(&self, into: &mut u64, other: u64) {
        *into += other;
    }
}

static FIRST_UNIX_NS: AtomicU64 = AtomicU64::new(0);

fn unix_ns() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "compared with the shell's clock")]
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn startup(flags: &Flags) -> Result<Report> {
    let events = flags.number("events", 2)?;
    let began = match flags.number("t0", 0)? {
        0 => bail!("--t0: nanoseconds since 1970 before the process was started"),
        began => began,
    };
    let from = SystemClock.now();
    let measured = measure(flags.number("parallelism", 2)?, |env| {
        env.from_source(SeqSource::new(|index| index, events, 1, 0))
            .key_by(|key| *key)
            .into_stream()
            .map(|key| {
                // Only the first record of the process sets it.
                FIRST_UNIX_NS
                    .compare_exchange(0, unix_ns(), Ordering::SeqCst, Ordering::SeqCst)
                    .ok();
                key
            })
            .sink_to(Sums::new(|key: &u64| *key));
    })?;
    let first = FIRST_UNIX_NS.load(Ordering::SeqCst);
    let mut report = Report::new("startup");
    report.put_throughput(events, measured.seconds, measured.cpu_seconds);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    report.put_rounded("first_record_ms", first.saturating_sub(began) as f64 / 1e6);
    report.put_rounded(
        "submit_to_end_ms",
        SystemClock.now().since(from).as_secs_f64() * 1e3,
    );
    report.put_rounded("peak_rss_mb", peak_rss_mb()?);
    report.put("checksum", json!(totals().1.to_string()));
    Ok(report)
}
