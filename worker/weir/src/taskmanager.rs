//! `weir taskmanager`: a process that offers slots.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;

use anyhow::Context;
use weir_cli::{Exit, Failure, TaskManagerRequest};
use weir_rpc::{JobInfo, JobMasterClient, JobMasterClientOptions, JobMasterGateway};
use weir_stream::BoxError;
use weir_task::Program;
use weir_taskmanager::{TaskManager, TaskManagerError, TaskManagerOptions};
use weir_types::TaskManagerId;

use crate::any_job_master::AnyJobMaster;
use crate::registry::Registry;
use crate::signals::Signals;
use crate::{environment, executable, job, program, random, state_backend};

pub(crate) fn run(registry: &Registry, request: TaskManagerRequest) -> Result<Exit, Failure> {
    let TaskManagerRequest {
        jobmanagers,
        slots,
        reconnect_timeout,
        data,
        local_dir,
        data_advertised,
        id,
        deployment,
    } = request;
    let id = id.unwrap_or_else(|| TaskManagerId(random::bits()));
    let mut options = TaskManagerOptions::new(id, name(), slots);
    options.data_bind = Some(data.unwrap_or_else(|| data_address(&jobmanagers)));
    options.data_advertised = data_advertised;
    options.deployment = deployment.unwrap_or(options.deployment);
    options.network_threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(4);
    options.reconnect_timeout = reconnect_timeout;
    options.state_backends = Arc::new(state_backend::provider(local_dir));
    options.executable = executable::hash()
        .context("read this executable")
        .map_err(Failure::failed)?;
    let client = |address| -> Arc<dyn JobMasterGateway> {
        Arc::new(JobMasterClient::new(
            address,
            JobMasterClientOptions::default(),
        ))
    };
    let gateway = AnyJobMaster::new(jobmanagers.into_iter().map(client).collect());
    let registry = registry.clone();
    let provider = move |job: &JobInfo| build(&registry, job);
    job::block_on(async {
        let mut signals = Signals::new()?;
        tokio::select! {
            ended = TaskManager::run(options, Arc::new(gateway), Arc::new(provider)) => {
                let result = ended.map_err(failed)?;
                tracing::info!("the job has ended: {result}");
                Ok(Exit::Finished)
            }
            // The JobManager notices that the connection is gone.
            _ = signals.next() => Ok(Exit::Canceled),
        }
    })
}

fn build(registry: &Registry, job: &JobInfo) -> Result<Arc<Program>, BoxError> {
    let missing = environment::missing(&job.program.environment);
    if !missing.is_empty() {
        let names = missing.join(", ");
        return Err(format!(
            "the job needs environment variables that this process lacks or has with another \
             value: {names}; start it with the ones in spec.job.env"
        )
        .into());
    }
    Ok(program::of_job(registry, job)?)
}

/// Names the option that helps.
fn failed(error: TaskManagerError) -> Failure {
    match error {
        TaskManagerError::Bind { address, source } => {
            Failure::failed(anyhow::Error::new(source).context(format!(
                "listen for other TaskManagers on {address}: choose another port with `--data \
                 HOST:PORT`"
            )))
        }
        error => Failure::failed(error),
    }
}

/// What a person calls this process.
fn name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let host = host.as_deref().map_or("taskmanager", str::trim);
    format!("{host}-{}", std::process::id())
}

/// Where other TaskManagers reach this one, if nothing was said: a JobManager on the loopback
/// interface has all its TaskManagers on this machine, and nobody else needs to get in.
fn data_address(jobmanagers: &[String]) -> SocketAddr {
    let found = jobmanagers
        .iter()
        .flat_map(|address| address.to_socket_addrs());
    let found: Vec<SocketAddr> = found.flatten().collect();
    let host = match found.first() {
        Some(first) if found.iter().all(|address| address.ip().is_loopback()) => first.ip(),
        Some(SocketAddr::V6(_)) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    };
    SocketAddr::new(host, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_jobmanager_on_this_machine_keeps_the_data_port_to_it() {
        let data = |jobmanager: &str| data_address(&[jobmanager.to_owned()]).to_string();
        assert_eq!(data("127.0.0.1:6123"), "127.0.0.1:0");
        assert_eq!(data("[::1]:6123"), "[::1]:0");
        assert_eq!(data("192.0.2.7:6123"), "0.0.0.0:0");
        assert_eq!(data("no.such.host.invalid:6123"), "0.0.0.0:0");
    }
}
