//! `weir run`: the whole job in this process.

use weir_cli::{Exit, Failure, RunRequest};

use crate::job::{self, Watched};
use crate::local::{LocalCluster, LocalOptions};
use crate::registry::Registry;
use crate::{environment, program};

pub(crate) fn run(registry: &Registry, request: RunRequest) -> Result<Exit, Failure> {
    let RunRequest { job, rest, output } = request;
    environment::ensure(&job.env)?;
    let plan = program::plan(registry, &job)?;
    let options = LocalOptions {
        slots: None,
        jobmanager: job::options(&job, &plan)?,
    };
    job::block_on(async {
        let listener = job::bind_rest(rest).await?;
        let spec = job::spec(&job.name, &plan, "");
        let mut cluster = LocalCluster::start(&plan, spec, options)
            .await
            .map_err(Failure::failed)?;
        let dispatcher = cluster.dispatcher();
        let watched = Watched::new(
            &plan.program.graph,
            cluster.job(),
            cluster.dispatcher(),
            output,
        )?;
        let server = job::serve_rest(listener, dispatcher);
        watched.say(&format!(
            "job {} runs; REST at http://{}",
            job.name,
            server.address()
        ));
        cluster.start_taskmanager();
        watched
            .until(async { cluster.wait().await.map_err(Failure::failed) })
            .await
    })
}
