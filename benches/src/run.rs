//! Runs a program in this process and measures it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail};
use weir::api::{EnvSettings, StreamEnv};
use weir::local::{
    JobCheckpoints, JobManagerOptions, JobResult, LocalOptions, LocalState, RestartStrategy,
};
use weir::types::{Clock, SystemClock};

use crate::report::{Flags, cpu_seconds};

/// What a run took, from submission to the job's end.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// The job's checkpoints, if it took any.
    pub(crate) checkpoints: Option<JobCheckpoints>,
}

/// How a job is run.
pub(crate) struct Plan {
    pub(crate) parallelism: u64,
    pub(crate) state: Option<LocalState>,
    /// What fails is started again without delay.
    pub(crate) restart_at_once: bool,
    /// As `spec.job.config`.
    pub(crate) config: BTreeMap<String, String>,
}

/// What keyed state lies on: `--backend=heap|rocksdb`, and `--memory` for each slot of the latter.
pub(crate) fn backend(flags: &Flags) -> Result<BTreeMap<String, String>> {
    let name = flags.text("backend", "heap");
    let name = match name.as_str() {
        "heap" | "hashmap" => "heap",
        "rocksdb" => "rocksdb",
        _ => bail!("--backend={name}: want heap or rocksdb"),
    };
    let mut config = BTreeMap::from([("state.backend.type".to_owned(), name.to_owned())]);
    let memory = flags.text("memory", "");
    if !memory.is_empty() {
        let option = "state.backend.rocksdb.memory.fixed-per-slot";
        config.insert(option.to_owned(), memory);
    }
    Ok(config)
}

/// How a workload takes checkpoints: `--checkpoint-ms`, `--checkpoint-dir`, `--incremental`,
/// `--local-recovery`.
pub(crate) fn state(flags: &Flags, interval_ms: u64) -> Result<Option<LocalState>> {
    let ms = flags.number("checkpoint-ms", interval_ms)?;
    let scratch = std::env::temp_dir().join(format!("weir-bench-state-{}", std::process::id()));
    let dir = flags.text("checkpoint-dir", &scratch.to_string_lossy());
    let incremental = flags.text("incremental", "true") == "true";
    let local_recovery = flags.text("local-recovery", "true") == "true";
    Ok((ms > 0).then(|| LocalState {
        dir,
        interval: Duration::from_millis(ms),
        incremental,
        local_recovery,
    }))
}

/// Builds and runs: JobManager, TaskManager and all subtasks in this process, as `weir run`.
pub(crate) fn measure(parallelism: u64, build: impl FnOnce(&mut StreamEnv)) -> Result<Measured> {
    measure_with(parallelism, None, BTreeMap::new(), build)
}

/// The same with checkpoints, and a backend.
pub(crate) fn measure_with(
    parallelism: u64,
    state: Option<LocalState>,
    config: BTreeMap<String, String>,
    build: impl FnOnce(&mut StreamEnv),
) -> Result<Measured> {
    let plan = Plan {
        parallelism,
        state,
        restart_at_once: false,
        config,
    };
    measure_plan(plan, build)
}

/// The same with all that can be said about it.
pub(crate) fn measure_plan(plan: Plan, build: impl FnOnce(&mut StreamEnv)) -> Result<Measured> {
    let Plan {
        parallelism,
        state,
        restart_at_once,
        config,
    } = plan;
    let parallelism = u32::try_from(parallelism)?;
    let mut env = StreamEnv::new(&EnvSettings {
        parallelism,
        ..EnvSettings::default()
    });
    build(&mut env);
    let built = env.build()?;
    let (from, cpu) = (SystemClock.now(), cpu_seconds()?);
    let dir = state.as_ref().map(|state| state.dir.clone());
    let mut jobmanager = JobManagerOptions::default();
    if restart_at_once {
        jobmanager.restart = RestartStrategy::FixedDelay {
            attempts: 1,
            delay: Duration::ZERO,
        };
    }
    let options = LocalOptions {
        state,
        jobmanager,
        config,
        ..LocalOptions::default()
    };
    let (result, checkpoints) = weir::local::run_observed(built, options)?;
    if let JobResult::Failed(_) | JobResult::Canceled = result {
        bail!("the job {result}");
    }
    let seconds = SystemClock.now().since(from).as_secs_f64();
    if let Some(dir) = dir {
        // What a benchmark leaves behind is of no use to anybody.
        std::fs::remove_dir_all(dir).ok();
    }
    Ok(Measured {
        seconds,
        cpu_seconds: cpu_seconds()? - cpu,
        checkpoints,
    })
}
