//! `weir jobmanager`: the JobManager of one job.

use std::io::Write;

use anyhow::{Context, anyhow};
use weir_cli::{Exit, Failure, JobManagerRequest};
use weir_jobmanager::JobManager;

use crate::job::{self, Watched};
use crate::registry::Registry;
use crate::{environment, executable, program};

pub(crate) fn run(registry: &Registry, request: JobManagerRequest) -> Result<Exit, Failure> {
    let JobManagerRequest {
        job,
        rpc,
        rest,
        output,
    } = request;
    environment::ensure(&job.env)?;
    let plan = program::plan(registry, &job)?;
    let mut options = job::options(&job, &plan)?;
    options.rpc_bind = Some(rpc);
    let executable = executable::hash()
        .context("read this executable")
        .map_err(Failure::failed)?;
    job::block_on(async {
        let listener = job::bind_rest(rest).await?;
        let spec = job::spec(&job.name, &plan, &executable);
        let id = spec.id;
        let manager = JobManager::start(options, spec)
            .await
            .map_err(Failure::failed)?;
        let watched = Watched::new(&plan.program.graph, id, manager.dispatcher(), output)?;
        let server = job::serve_rest(listener, manager.dispatcher());
        let address = manager.rpc_address().ok_or_else(|| {
            Failure::failed(anyhow!("the JobManager does not listen for TaskManagers"))
        })?;
        announce(&format!(
            "jobmanager rpc {address}\nrest {}\n",
            server.address()
        ))?;
        watched.until(async { Ok(manager.wait().await) }).await
    })
}

/// Tells whoever started this process where it listens.
fn announce(text: &str) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written
        .context("write to standard output")
        .map_err(Failure::failed)
}
