//! `weir jobmanager`: the JobManager of one job.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use weir_cli::{Exit, Failure, JobManagerRequest};
use weir_jobmanager::{JobManager, RpcPort};

use crate::job::{self, Watched};
use crate::kubernetes::{self, Pod, gate};
use crate::registry::Registry;
use crate::signals::{self, Signals};
use crate::standby::Standby;
use crate::state_folder::{self, Candidate, Start};
use crate::{config, environment, executable, program, termination};

/// How long giving up the Lease may hold up the end of the process, and how often it is looked.
const LEAVE_CHECKS: u32 = 40;
const LEAVE_CHECK: Duration = Duration::from_millis(50);

pub(crate) fn run(registry: &Registry, request: JobManagerRequest) -> Result<Exit, Failure> {
    let Some(log) = kubernetes::termination_log() else {
        return serve(registry, request);
    };
    let name = state_folder::state_name(&request.job).to_owned();
    let (checkpoints, deployment) = (request.checkpoints.clone(), request.deployment);
    let ended = serve(registry, request);
    termination::tell(&log, &name, &checkpoints, deployment, &ended);
    ended
}

fn serve(registry: &Registry, request: JobManagerRequest) -> Result<Exit, Failure> {
    let JobManagerRequest {
        mut job,
        rpc,
        rest,
        mut checkpoints,
        deployment,
        election_dir,
        output,
    } = request;
    environment::ensure(&job.env)?;
    config::unite_stores(&mut job, &mut checkpoints);
    let plan = program::plan(registry, &job)?;
    let executable = executable::hash()
        .context("read this executable")
        .map_err(Failure::failed)?;
    let candidate = Candidate {
        pod: Pod::from_environment()?,
        dir: election_dir,
        deployment,
    };
    job::block_on(async {
        let listener = job::bind_rest(rest).await?;
        let port = RpcPort::bind(rpc).map_err(Failure::failed)?;
        announce(&format!(
            "jobmanager rpc {}\nrest {}\n",
            port.address(),
            listener.address()
        ))?;
        let say = |text: &str| job::say(&output, &job.name, text);
        let standby = Standby::default();
        let server = job::serve_rest(listener, Arc::new(standby.clone()));
        if let Some(pod) = &candidate.pod {
            tokio::spawn(leave_on_signal(pod.clone(), Signals::new()?));
        }
        // Standing by may take for ever; a signal ends the process at once meanwhile.
        let start = tokio::task::block_in_place(|| {
            if let Some(pod) = &candidate.pod {
                let mut check = state_folder::Check::new(registry, &job, &checkpoints, deployment);
                gate::wait(pod, &standby, &say, move || check.run())?;
            }
            state_folder::lead((&job).into(), &checkpoints, &plan, &candidate, &say)
        })?;
        let plan = start.adopted(registry, &job, plan, &say)?;
        let lead = match start {
            Start::Leads(lead) => Some(*lead),
            Start::WithoutCheckpoints => None,
            Start::Over(exit) => return Ok(exit),
        };
        let mut options = job::options(&job, &plan, lead.as_ref())?;
        if let Some(deployment) = deployment {
            options.deployment = deployment;
        }
        let (state, leadership) = job::split(lead);
        let spec = job::spec(&job.name, &plan, &executable, state);
        let id = spec.id;
        let manager = JobManager::start_on(Some(port), options, spec).map_err(Failure::failed)?;
        standby.lead(manager.dispatcher());
        let mut watched = Watched::new(&plan.program.graph, id, manager.dispatcher(), output)?;
        if candidate.pod.is_none() {
            watched = watched.cancelled_by_signals()?;
        }
        let ended = job::while_leading(leadership, async { Ok(manager.wait().await) });
        watched.until(ended, server).await
    })
}

/// A pod that is told to end is to make room for another one: the job goes on there. Whoever wants
/// the job cancelled says so over REST.
async fn leave_on_signal(pod: Pod, mut signals: Signals) {
    signals.next().await;
    pod.leave();
    for _ in 0..LEAVE_CHECKS {
        if pod.has_left() {
            break;
        }
        tokio::time::sleep(LEAVE_CHECK).await;
    }
    signals::end_at_once();
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
