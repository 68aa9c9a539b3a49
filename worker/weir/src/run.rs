//! `weir run`: the whole job in this process.

use weir_cli::{Exit, Failure, RunRequest};

use crate::job::{self, Watched};
use crate::local::{LocalCluster, LocalOptions};
use crate::registry::Registry;
use crate::state_folder::{self, Candidate, Start};
use crate::{config, environment, program};

pub(crate) fn run(registry: &Registry, request: RunRequest) -> Result<Exit, Failure> {
    let RunRequest {
        mut job,
        rest,
        mut checkpoints,
        local_dir,
        output,
    } = request;
    environment::ensure(&job.env)?;
    config::unite_stores(&mut job, &mut checkpoints);
    let plan = program::plan(registry, &job)?;
    let candidate = Candidate {
        pod: None,
        dir: None,
        deployment: None,
    };
    let say = |text: &str| job::say(&output, &job.name, text);
    let options = job::options(&job, &plan, &checkpoints)?;
    let adopt = program::adopting(registry, &job);
    let state = (&job).into();
    let (start, plan) = state_folder::lead(state, &checkpoints, plan, &adopt, &candidate, &say)?;
    let lead = match start {
        Start::Leads(lead) => Some(*lead),
        Start::WithoutCheckpoints(_) => None,
        Start::Over(exit) => return Ok(exit),
    };
    let options = LocalOptions {
        jobmanager: job::led(options, &plan, lead.as_ref()),
        local_dir,
        ..LocalOptions::default()
    };
    let (state, leadership) = job::split(lead);
    job::block_on(async {
        let listener = job::bind_rest(rest).await?;
        let spec = job::spec(&job.name, &plan, "", state);
        let mut cluster = LocalCluster::start(&plan, spec, options).map_err(Failure::failed)?;
        let dispatcher = cluster.dispatcher();
        let watched = Watched::new(
            &plan.program.graph,
            cluster.job(),
            cluster.dispatcher(),
            output,
        )?
        .cancelled_by_signals()?;
        let server = job::serve_rest(listener, dispatcher);
        watched.say(&format!(
            "job {} runs; REST at http://{}",
            job.name,
            server.address()
        ));
        cluster.start_taskmanager();
        let ended = job::while_leading(leadership, async {
            cluster.wait().await.map_err(Failure::failed)
        });
        watched.until(ended, server).await
    })
}
