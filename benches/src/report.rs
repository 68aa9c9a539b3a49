//! Arguments `--key=value`, what a process has used, and the one JSON object at the end.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use weir::local::{CheckpointState, JobCheckpoints, SnapshotMetrics};

/// The arguments of a workload.
pub(crate) struct Flags(BTreeMap<String, String>);

impl Flags {
    /// Reads `--key=value` and `--key`.
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Self> {
        let mut flags = BTreeMap::new();
        for arg in args {
            let Some(flag) = arg.strip_prefix("--") else {
                bail!("`{arg}`: want --key=value");
            };
            let (key, value) = flag.split_once('=').unwrap_or((flag, "true"));
            flags.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self(flags))
    }

    /// A text, or its default.
    pub(crate) fn text(&self, key: &str, default: &str) -> String {
        self.0
            .get(key)
            .map_or_else(|| default.to_owned(), Clone::clone)
    }

    /// A number, or its default; `10M` and `5K` are understood.
    pub(crate) fn number(&self, key: &str, default: u64) -> Result<u64> {
        let Some(text) = self.0.get(key) else {
            return Ok(default);
        };
        let digits = text.replace('_', "");
        let (digits, unit) = match digits.strip_suffix(['M', 'K', 'k']) {
            Some(rest) if digits.ends_with('M') => (rest, 1_000_000),
            Some(rest) => (rest, 1_000),
            None => (digits.as_str(), 1),
        };
        let number: u64 = digits.parse().with_context(|| format!("--{key}={text}"))?;
        Ok(number * unit)
    }
}

/// Milliseconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// User and system time of this process so far, in seconds.
pub(crate) fn cpu_seconds() -> Result<f64> {
    stat_seconds(2)
}

/// The same, with that of the processes it started and waited for.
pub(crate) fn cpu_seconds_with_children() -> Result<f64> {
    stat_seconds(4)
}

/// The sum of so many fields of the process's times: its own user and system time, then that of
/// its children.
fn stat_seconds(count: usize) -> Result<f64> {
    // Fields 14 to 17, of which 1 and 2 are before the command's bracket, in ticks of 1/100 s.
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after = stat.rsplit_once(')').context("/proc/self/stat")?.1;
    let fields = after.split_ascii_whitespace().skip(11).take(count);
    let mut ticks = 0.0;
    for field in fields {
        ticks += field.parse::<f64>().context("/proc/self/stat")?;
    }
    Ok(ticks / 100.0)
}

/// The most memory that this process has had, in MiB.
pub(crate) fn peak_rss_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line
        .and_then(|line| line.trim().strip_suffix(" kB"))
        .context("VmHWM")?;
    Ok(kib.trim().parse::<f64>()? / 1024.0)
}

/// The result, in the keys and types of the comparison program.
pub(crate) struct Report(Map<String, Value>);

impl Report {
    /// For one workload.
    pub(crate) fn new(workload: &str) -> Self {
        let mut report = Self(Map::new());
        report.put("engine", json!(concat!("weir-", env!("CARGO_PKG_VERSION"))));
        report.put("workload", json!(workload));
        report
    }

    /// Adds a value.
    pub(crate) fn put(&mut self, key: &str, value: Value) {
        self.0.insert(key.to_owned(), value);
    }

    /// Adds a time or share, rounded to three digits.
    pub(crate) fn put_rounded(&mut self, key: &str, value: f64) {
        self.put(key, json!((value * 1000.0).round() / 1000.0));
    }

    /// Counts and sizes of the checkpoints that completed.
    pub(crate) fn put_checkpoints(&mut self, checkpoints: Option<&JobCheckpoints>) {
        let Some(checkpoints) = checkpoints else {
            return;
        };
        let done = checkpoints
            .history
            .iter()
            .filter(|checkpoint| checkpoint.state == CheckpointState::Completed);
        let list: Vec<_> = done
            .rev()
            .map(|checkpoint| {
                let sum = |of: fn(&SnapshotMetrics) -> u64| -> u64 {
                    checkpoint
                        .subtasks
                        .iter()
                        .map(|subtask| of(&subtask.metrics))
                        .sum()
                };
                let max = |of: fn(&SnapshotMetrics) -> u64| -> u64 {
                    let all = checkpoint
                        .subtasks
                        .iter()
                        .map(|subtask| of(&subtask.metrics));
                    all.max().unwrap_or(0)
                };
                json!({
                    "ms": millis(checkpoint.duration),
                    "written_mb": sum(|metrics| metrics.written_bytes) / 1_000_000,
                    "full_mb": sum(|metrics| metrics.full_bytes) / 1_000_000,
                    "sync_us_max": max(|metrics| metrics.sync_us),
                    "async_ms_max": max(|metrics| metrics.async_us) / 1000,
                    "alignment_us_max": max(|metrics| metrics.alignment_us),
                })
            })
            .collect();
        self.put("checkpoints", json!(checkpoints.completed));
        self.put("checkpoints_failed", json!(checkpoints.failed));
        self.put("checkpoint_list", json!(list));
    }

    /// Adds what follows from the events, the time and the CPU time they took.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(crate) fn put_throughput(&mut self, events: u64, seconds: f64, cpu: f64) {
        self.put("events", json!(events));
        self.put_rounded("seconds", seconds);
        self.put("events_per_s", json!((events as f64 / seconds).round()));
        self.put_rounded("job_cpu_seconds", cpu);
        let per_million = cpu / (events as f64 / 1e6);
        self.put(
            "cpu_s_per_m_events",
            json!((per_million * 1e4).round() / 1e4),
        );
    }

    /// Prints it as one line.
    pub(crate) fn print(self) {
        println!("{}", Value::Object(self.0));
    }
}
