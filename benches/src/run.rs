//! Runs a program in this process and measures it.

use anyhow::{Result, bail};
use weir::api::{EnvSettings, StreamEnv};
use weir::local::{JobResult, LocalOptions};
use weir::types::{Clock, SystemClock};

use crate::report::cpu_seconds;

/// What a run took, from submission to the job's end.
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
}

/// Builds and runs: JobManager, TaskManager and all subtasks in this process, as `weir run`.
pub(crate) fn measure(parallelism: u64, build: impl FnOnce(&mut StreamEnv)) -> Result<Measured> {
    let parallelism = u32::try_from(parallelism)?;
    let mut env = StreamEnv::new(&EnvSettings {
        parallelism,
        ..EnvSettings::default()
    });
    build(&mut env);
    let built = env.build()?;
    let (from, cpu) = (SystemClock.now(), cpu_seconds()?);
    match weir::local::run(built, LocalOptions::default())? {
        JobResult::Finished => {}
        other => bail!("the job {other}"),
    }
    let seconds = SystemClock.now().since(from).as_secs_f64();
    Ok(Measured {
        seconds,
        cpu_seconds: cpu_seconds()? - cpu,
    })
}
