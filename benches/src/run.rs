//! Runs a program in this process and measures it.

use std::sync::Arc;

use anyhow::{Result, bail};
use weir_api::{BoxError, EnvSettings, StreamEnv};
use weir_graph::{JobGraph, fingerprint};
use weir_jobmanager::{JobManager, JobManagerOptions, JobResult, JobSpec};
use weir_rpc::{JobInfo, ProgramSpec};
use weir_task::Program;
use weir_taskmanager::{TaskManager, TaskManagerOptions};
use weir_types::{Clock, JobId, SystemClock, TaskManagerId};

use crate::report::cpu_seconds;

/// What a run took, from submission to the job's end.
pub(crate) struct Measured {
    pub seconds: f64,
    pub cpu_seconds: f64,
}

/// Builds and runs.
pub(crate) fn measure(parallelism: u64, build: impl FnOnce(&mut StreamEnv)) -> Result<Measured> {
    let parallelism = u32::try_from(parallelism)?;
    let settings = EnvSettings {
        parallelism,
        ..EnvSettings::default()
    };
    let mut env = StreamEnv::new(&settings);
    build(&mut env);
    let built = env.build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let (from, cpu) = (SystemClock.now(), cpu_seconds()?);
    let result = runtime.block_on(async {
        let job_graph = JobGraph::from_stream_graph(&built.graph);
        let spec = ProgramSpec::default();
        let fp = fingerprint(&job_graph, &spec.args, &spec.config, "");
        let job = JobSpec {
            id: JobId(1),
            name: "bench".to_owned(),
            graph: built.graph.clone(),
            job_graph: job_graph.clone(),
            factories: built.factories.clone(),
            program: spec,
            fingerprint: fp,
        };
        let jm = JobManager::start(JobManagerOptions::default(), job).await?;
        let program = Arc::new(Program {
            graph: built.graph,
            job_graph,
            factories: built.factories,
        });
        let provider =
            move |_: &JobInfo| -> Result<Arc<Program>, BoxError> { Ok(Arc::clone(&program)) };
        let mut options = TaskManagerOptions::new(TaskManagerId(1), "local", parallelism);
        options.data_bind = None;
        let tm = tokio::spawn(TaskManager::run(options, jm.gateway(), Arc::new(provider)));
        let result = jm.wait().await;
        tm.await??;
        anyhow::Ok(result)
    })?;
    if result != JobResult::Finished {
        bail!("the job {result}");
    }
    let seconds = SystemClock.now().since(from).as_secs_f64();
    Ok(Measured {
        seconds,
        cpu_seconds: cpu_seconds()? - cpu,
    })
}
