//! `weir jobmanager`: the JobManager of one job.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use weir_cli::{Exit, Failure, JobManagerRequest};
use weir_jobmanager::{JobManager, JobResult, RpcPort};

use crate::job::{self, JobFailed, Watched};
use crate::kubernetes::{self, Ended, Pod, gate};
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
    let options = job::options(&job, &plan, &checkpoints)?;
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
        announce(&candidate, port.address(), listener.address())?;
        let say = |text: &str| job::say(&output, &job.name, text);
        let standby = Standby::default();
        let server = job::serve_rest(listener, Arc::new(standby.clone()));
        if let Some(pod) = &candidate.pod {
            tokio::spawn(leave_on_signal(pod.clone(), Signals::new()?));
        }
        // Standing by may take for ever; a signal ends the process at once meanwhile.
        let (start, plan) = tokio::task::block_in_place(|| {
            if let Some(pod) = &candidate.pod {
                let mut check = state_folder::Check::new(registry, &job, &checkpoints, deployment);
                gate::wait(pod, &standby, &say, move || check.run())?;
            }
            let adopt = program::adopting(registry, &job);
            let state = (&job).into();
            state_folder::lead(state, &checkpoints, plan, &adopt, &candidate, &say)
        })?;
        let (lead, by_lease) = match start {
            Start::Leads(lead) => (Some(*lead), None),
            Start::WithoutCheckpoints(leadership) => (None, leadership),
            Start::Over(exit) => return Ok(exit),
        };
        let keeps_state = lead.is_some();
        let mut options = job::led(options, &plan, lead.as_ref());
        if let Some(deployment) = deployment {
            options.deployment = deployment;
        }
        let (state, leadership) = job::split(lead);
        let leadership = leadership.or(by_lease);
        let spec = job::spec(&job.name, &plan, &executable, state);
        let id = spec.id;
        let manager = JobManager::start_on(Some(port), options, spec).map_err(Failure::failed)?;
        standby.lead(manager.dispatcher());
        let mut watched = Watched::new(&plan.program.graph, id, manager.dispatcher(), output)?;
        if candidate.pod.is_none() {
            watched = watched.cancelled_by_signals()?;
        }
        let ended = job::while_leading(leadership, async {
            let result = manager.wait().await;
            if let Some(pod) = candidate.pod.as_ref().filter(|_| !keeps_state) {
                let ended = ended(&job.name, &result);
                tokio::task::block_in_place(|| pod.conclude(&ended));
            }
            Ok(result)
        });
        watched.until(ended, server).await
    })
}

fn ended(job: &str, result: &JobResult) -> Ended {
    match result {
        JobResult::Finished => Ended::Finished,
        JobResult::Canceled => Ended::Cancelled,
        JobResult::Failed(fault) => Ended::Failed(JobFailed::new(job, fault).to_string()),
    }
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

/// Tells whoever started this process where it listens. In a pod everybody knows, and the lines of
/// its log are for programs.
fn announce(candidate: &Candidate, rpc: SocketAddr, rest: SocketAddr) -> Result<(), Failure> {
    if candidate.pod.is_some() {
        tracing::info!(%rpc, %rest, "listens");
        return Ok(());
    }
    let text = format!("jobmanager rpc {rpc}\nrest {rest}\n");
    let mut stdout = std::io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    written
        .context("write to standard output")
        .map_err(Failure::failed)
}
