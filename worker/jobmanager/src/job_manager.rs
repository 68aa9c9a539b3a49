//! Starts a JobManager and holds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use weir_rpc::{DispatcherGateway, JobInfo, JobMasterGateway, JobResult, LocalJobMaster, serve};
use weir_types::{Fault, FaultClass};

use crate::dispatcher::{Dispatcher, QUESTIONS_WAITING_MAX};
use crate::driver::Driver;
use crate::job_master::{JobMaster, JobMasterConfig, Now};
use crate::source_coordinator::SourceCoordinators;
use crate::{JobManagerOptions, JobSpec};

/// How many events of sources' threads may wait; a thread waits beyond it.
const REPORTS_WAITING_MAX: usize = 256;

/// A JobManager did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its port could not be opened.
    #[error("listen for TaskManagers on {address}: choose another port with `--rpc HOST:PORT`")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// A running JobManager with its one job. Dropping it stops it; a job that has not ended is left
/// without a master, and its TaskManagers notice.
pub struct JobManager {
    dispatcher: Arc<dyn DispatcherGateway>,
    gateway: Arc<dyn JobMasterGateway>,
    rpc_address: Option<SocketAddr>,
    result: watch::Receiver<Option<JobResult>>,
    /// Dropped with the JobManager, which ends the driver.
    _driver: oneshot::Sender<()>,
    /// Dropped with the JobManager, which ends the server.
    _server: Option<oneshot::Sender<()>>,
}

impl JobManager {
    /// Opens the port, if there is to be one, and starts the job. Must be called within a tokio
    /// runtime, which the JobManager then lives on.
    pub async fn start(options: JobManagerOptions, spec: JobSpec) -> Result<Self, StartError> {
        let (gateway, inbox) = LocalJobMaster::new();
        let gateway: Arc<dyn JobMasterGateway> = Arc::new(gateway);
        let listener = match options.rpc_bind {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        let rpc_address = listener.as_ref().map(|(_, address)| *address);
        let server = listener.map(|(listener, _)| {
            let (held, released) = oneshot::channel::<()>();
            let (gateway, limits) = (Arc::clone(&gateway), options.server);
            tokio::spawn(async move {
                let released = async move { drop(released.await) };
                if let Err(error) = serve(listener, gateway, limits, released).await {
                    tracing::error!(cause = ?error.source, "{error}");
                }
            });
            held
        });
        let (questions, asked) = mpsc::channel(QUESTIONS_WAITING_MAX);
        let (reports, reported) = mpsc::channel(REPORTS_WAITING_MAX);
        let (told, result) = watch::channel(None);
        let sources = SourceCoordinators::new(&spec.graph, spec.factories.clone(), reports);
        let now = Now {
            at: options.clock.now(),
            unix_ms: options.clock.unix_ms(),
        };
        let config = config(&options, &spec, &sources, rpc_address);
        let (master, first) = JobMaster::new(config, now);
        let driver = Driver {
            master,
            job: job_info(&options, spec),
            clock: Arc::clone(&options.clock),
            tick: options.heartbeat_interval.min(Duration::from_secs(1)) / 4,
            goodbye_timeout: options.goodbye_timeout,
            inbox,
            questions: asked,
            reports: reported,
            sources,
            executors: BTreeMap::new(),
            applicants: BTreeMap::new(),
            result: told,
            ended: None,
        };
        let (held, released) = oneshot::channel();
        tokio::spawn(driver.run(first, released));
        let dispatcher = Dispatcher {
            questions,
            config: options.config.into_iter().collect(),
        };
        Ok(Self {
            dispatcher: Arc::new(dispatcher),
            gateway,
            rpc_address,
            result,
            _driver: held,
            _server: server,
        })
    }

    /// For REST and the command line.
    pub fn dispatcher(&self) -> Arc<dyn DispatcherGateway> {
        Arc::clone(&self.dispatcher)
    }

    /// For a TaskManager of this process.
    pub fn gateway(&self) -> Arc<dyn JobMasterGateway> {
        Arc::clone(&self.gateway)
    }

    /// Where it listens for TaskManagers, if it does.
    pub fn rpc_address(&self) -> Option<SocketAddr> {
        self.rpc_address
    }

    /// Waits for the end of the job. The JobManager goes on answering questions afterwards.
    pub async fn wait(&self) -> JobResult {
        let mut result = self.result.clone();
        let ended = result.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|result| result.clone())
            .unwrap_or_else(|| {
                let cause = "the JobManager stopped by a fault of its own; its log says why";
                JobResult::Failed(Fault::job(FaultClass::Recoverable, cause))
            })
    }
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Bind { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

fn config(
    options: &JobManagerOptions,
    spec: &JobSpec,
    sources: &SourceCoordinators,
    rpc_address: Option<SocketAddr>,
) -> JobMasterConfig {
    JobMasterConfig {
        id: spec.id,
        name: spec.name.clone(),
        job_graph: spec.job_graph.clone(),
        fingerprint: spec.fingerprint,
        epoch: options.epoch,
        deployment: options.deployment,
        preparations: sources.preparations().collect(),
        rpc_address: rpc_address.map(|address| address.to_string()),
        heartbeat_interval: options.heartbeat_interval,
        heartbeat_timeout: options.heartbeat_timeout,
        slot_request_timeout: options.slot_request_timeout,
        waiting_message_interval: options.waiting_message_interval,
        cancellation_timeout: options.cancellation_timeout,
    }
}

fn job_info(options: &JobManagerOptions, spec: JobSpec) -> JobInfo {
    JobInfo {
        epoch: options.epoch,
        id: spec.id,
        name: spec.name,
        program: spec.program,
        fingerprint: spec.fingerprint,
        heartbeat_interval: options.heartbeat_interval,
        heartbeat_timeout: options.heartbeat_timeout,
    }
}

#[cfg(test)]
mod tests;
