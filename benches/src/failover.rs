//! From `kill -9` of a TaskManager process to the first output of the job behind it: a large keyed
//! state, checkpoints on an S3 server of this machine, a TaskManager in reserve. The time has in it
//! how long the loss takes to be seen, the download, and whatever the restart does; there is no
//! delay before the restart.
//!
//! This program plays the JobManager and the TaskManagers, too (see `processes`). The sinks say
//! what they see on standard output, with the time.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;
use weir::api::StreamEnv;
use weir::stream::sink::{CommitHandle, Sink, SinkWriter};
use weir::stream::{Batch, BoxError, Commit, OperatorContext};
use weir::types::{Clock, ExecutionAttemptId, SystemClock};
use weir_testkit::{JobManager, Process, S3Server, command, until_within};

use crate::report::{Flags, Report};
use crate::seq::SeqSource;
use crate::wide::{Wide, record};

/// The program of the job's processes.
pub(crate) const PROGRAM: &str = "bench-failover";

/// How long loading may take, and going on.
const PATIENCE: Duration = Duration::from_secs(300);

/// What sinks say, with a time in milliseconds since 1970 behind it: a checkpoint of all keys is
/// complete; an attempt that was started again has put out its first records.
const LOADED: &str = "loaded-and-stored ";
const AGAIN: &str = "first-output-of-a-restart ";

/// What the job's processes run.
pub(crate) fn build(env: &mut StreamEnv, keys: u64) {
    let make = move |index| record(index, keys, keys);
    // Without an end, for as long as anybody looks.
    env.from_source(SeqSource::new(make, u64::MAX / 2, 1000, 200_000).unpaced_until(keys))
        .key_by(|(key, _)| *key)
        .aggregate(Wide)
        .sink_to(Says { keys });
}

pub(crate) fn run(flags: &Flags) -> Result<Report> {
    let keys = flags.number("keys", 9_500_000)?;
    let backend = flags.text("backend", "rocksdb");
    let interval = flags.number("checkpoint-ms", 5000)?;
    let Some(server) = S3Server::start() else {
        bail!("there is no S3 server: see tests/tools/versitygw");
    };
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("failover.yaml");
    std::fs::write(&manifest, manifest_text(keys, &backend, interval))?;
    let binary = std::env::current_exe()?;
    let with_server = |mut command: Command| {
        command.env("AWS_ACCESS_KEY_ID", S3Server::ACCESS_KEY);
        command.env("AWS_SECRET_ACCESS_KEY", S3Server::SECRET_KEY);
        command
    };
    let mut jobmanager = command(&binary, ["jobmanager"]);
    let bucket = format!("s3://{}/bench", S3Server::BUCKET);
    jobmanager
        .arg(&manifest)
        .args(["--checkpoint-dir", &bucket]);
    jobmanager.arg("--election-dir").arg(folder.path());
    server.reach(&mut jobmanager);
    let manager = JobManager::of_command(with_server(jobmanager));
    let start = || {
        let args = ["--slots", "1"];
        Process::start(with_server(manager.taskmanager_command(&args)))
    };
    let mut workers: Vec<Process> = (0..3).map(|_| start()).collect();
    let said = |workers: &[Process], what: &str| -> Vec<(usize, i64)> {
        let all = workers.iter().enumerate().flat_map(|(nth, worker)| {
            let out = worker.stdout();
            let lines = out.lines().filter_map(|line| line.strip_prefix(what));
            let times: Vec<_> = lines.filter_map(|time| time.parse().ok()).collect();
            times.into_iter().map(move |time| (nth, time))
        });
        all.collect()
    };
    until_within(PATIENCE, "a checkpoint of all keys", || {
        said(&workers, LOADED).len() >= 2
    });
    let (victim, _) = said(&workers, LOADED)[0];
    let killed = SystemClock.unix_ms();
    workers[victim].kill_nine();
    until_within(PATIENCE, "output after the kill", || {
        !said(&workers, AGAIN).is_empty()
    });
    let first = said(&workers, AGAIN).iter().map(|(_, time)| *time).min();
    let first = first.context("there was output")?;
    // Counters come with the next heartbeat.
    let mut told = manager.rest.job();
    until_within(PATIENCE, "how much was read", || {
        told = manager.rest.job();
        restored(&told)["store_mb"] != 0
    });
    let mut report = Report::new("failover");
    report.put("keys", json!(keys));
    report.put("state_mb", json!(keys * 112 / 1_000_000));
    report.put("backend", json!(backend));
    report.put("kill_to_first_output_ms", json!(first - killed));
    report.put("restored", restored(&told));
    Ok(report)
}

/// How much the restarted subtasks have read from where.
fn restored(job: &serde_json::Value) -> serde_json::Value {
    let vertices = job["vertices"].as_array().into_iter().flatten();
    let sum = |name: &str| -> u64 {
        let all = vertices.clone();
        all.filter_map(|vertex| vertex["metrics"][name].as_u64())
            .sum()
    };
    json!({
        "local_mb": sum("restored-local-bytes") / 1_000_000,
        "store_mb": sum("restored-store-bytes") / 1_000_000,
    })
}

fn manifest_text(keys: u64, backend: &str, interval_ms: u64) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: StreamJob\nmetadata: {{name: failover}}\nspec:\n  \
         job:\n    program: {PROGRAM}\n    args: {{keys: '{keys}'}}\n    parallelism: 2\n  \
         stateBackend: {{type: {backend}}}\n  checkpoint: {{interval: {interval_ms}ms}}\n  \
         restartStrategy: {{type: FixedDelay, attempts: 10, delay: 0s}}\n"
    )
}

/// Says what it sees.
#[derive(Clone)]
struct Says {
    keys: u64,
}

impl Sink for Says {
    type In = (u64, (u64, u64));
    type Writer = Writer;

    fn kind(&self) -> &'static str {
        "says"
    }

    fn commits(&self) -> bool {
        true
    }

    fn make_writer(&self) -> Writer {
        Writer {
            keys: self.keys,
            clock: None,
            attempt: None,
            loaded: false,
            said: false,
        }
    }
}

struct Writer {
    keys: u64,
    clock: Option<Arc<dyn Clock>>,
    attempt: Option<ExecutionAttemptId>,
    /// A record behind the load has come.
    loaded: bool,
    said: bool,
}

impl Writer {
    fn say(&self, what: &str) {
        if let Some(clock) = &self.clock {
            let mut out = std::io::stdout().lock();
            let said = writeln!(out, "{what}{}", clock.unix_ms());
            // Nobody listens any more: nobody is left to be told.
            drop(said.and_then(|()| out.flush()));
        }
    }
}

impl SinkWriter<(u64, (u64, u64))> for Writer {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.clock = Some(Arc::clone(&context.clock));
        self.attempt = Some(context.attempt);
        Ok(())
    }

    fn write(&mut self, batch: Batch<(u64, (u64, u64))>) -> Result<(), BoxError> {
        let Some((_, (_, index))) = batch.rows().last() else {
            return Ok(());
        };
        self.loaded |= *index >= self.keys;
        if !self.said && self.attempt.is_some_and(|attempt| attempt.attempt.0 > 0) {
            self.said = true;
            self.say(AGAIN);
        }
        Ok(())
    }

    fn prepare_commit(&mut self, _by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        let all_there = self.loaded && !self.said;
        Ok(all_there.then(Vec::new).into_iter().collect())
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        if !handles.is_empty() && !self.said {
            self.say(LOADED);
        }
        Ok(())
    }
}
