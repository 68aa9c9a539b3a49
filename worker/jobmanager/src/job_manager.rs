//! Starts a JobManager and holds it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{mpsc, oneshot, watch};
use weir_checkpoint::coordinator::CoordinatorConfig;
use weir_checkpoint::restore::RestoreError;
use weir_rpc::{DispatcherGateway, JobInfo, JobMasterGateway, JobResult, LocalJobMaster, serve};
use weir_types::{Clock, Fault, FaultClass};

use crate::checkpoint_store::{StoreThread, StoreWork};
use crate::collection::{Collector, CollectorWork};
use crate::dispatcher::{Dispatcher, QUESTIONS_WAITING_MAX};
use crate::driver::Driver;
use crate::failover::check_failover;
use crate::job_master::{CheckpointStart, Checkpoints, Event, JobMaster, JobMasterConfig, Now};
use crate::source_coordinator::SourceCoordinators;
use crate::{CheckpointOptions, JobManagerOptions, JobSpec};

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
    /// What it should go on from does not fit the program.
    #[error("restore snapshot {id}")]
    Restore {
        /// Its number.
        id: weir_types::CheckpointId,
        /// What does not fit.
        #[source]
        source: RestoreError,
    },
    /// The failover strategy is not for this job.
    #[error("{0}")]
    Failover(&'static str),
    /// No threads.
    #[error("start the thread that completes checkpoints")]
    Threads(#[source] std::io::Error),
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
    pub fn start(options: JobManagerOptions, spec: JobSpec) -> Result<Self, StartError> {
        let port = match options.rpc_bind {
            Some(address) => Some(RpcPort::bind(address)?),
            None => None,
        };
        Self::start_on(port, options, spec)
    }

    /// The same on a port that was opened before: whoever stands by holds its port already.
    pub fn start_on(
        port: Option<RpcPort>,
        options: JobManagerOptions,
        spec: JobSpec,
    ) -> Result<Self, StartError> {
        let (gateway, inbox) = LocalJobMaster::new();
        let gateway: Arc<dyn JobMasterGateway> = Arc::new(gateway);
        let rpc_address = port.as_ref().map(RpcPort::address);
        let listener = port.map(RpcPort::listen).transpose()?;
        let server = listener.map(|listener| {
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
        check_failover(options.failover, &spec.job_graph)?;
        let (checkpoints, store) = match &spec.checkpoints {
            Some(checkpoints) => {
                let clock = Arc::clone(&options.clock);
                let (master, store) = take_checkpoints(checkpoints, &spec, clock, reports.clone())?;
                (Some(master), Some(store))
            }
            None => (None, None),
        };
        let restored = spec
            .checkpoints
            .as_ref()
            .is_some_and(|c| c.restore.is_some());
        let sources =
            SourceCoordinators::new(&spec.graph, spec.factories.clone(), reports, restored);
        let now = Now {
            at: options.clock.now(),
            unix_ms: options.clock.unix_ms(),
        };
        let config = config(&options, &spec, &sources, rpc_address);
        let (master, first) = JobMaster::new(config, checkpoints, now);
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
            store,
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

/// A port for TaskManagers. Until a JobManager starts there, connections are refused.
pub struct RpcPort {
    socket: TcpSocket,
    address: SocketAddr,
}

/// Connections that wait to be taken.
const BACKLOG: u32 = 1024;

impl RpcPort {
    /// Takes it; port 0 is any free one.
    pub fn bind(address: SocketAddr) -> Result<Self, StartError> {
        let failed = |source| StartError::Bind { address, source };
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.map_err(failed)?;
        // A leader that was killed leaves connections behind that hold up its port for a minute.
        socket.set_reuseaddr(true).map_err(failed)?;
        socket.bind(address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    fn listen(self) -> Result<TcpListener, StartError> {
        let Self { socket, address } = self;
        let listening = socket.listen(BACKLOG);
        listening.map_err(|source| StartError::Bind { address, source })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
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
        restart: options.restart,
        failover: options.failover,
        block_time: options.block_time,
        random_seed: options.random_seed,
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
        checkpoints: spec.checkpoints.map(|checkpoints| checkpoints.settings),
    }
}

/// Plans the restore and starts what completes checkpoints.
fn take_checkpoints(
    options: &CheckpointOptions,
    spec: &JobSpec,
    clock: Arc<dyn Clock>,
    events: mpsc::Sender<Event>,
) -> Result<(Checkpoints, StoreThread), StartError> {
    let config = CoordinatorConfig {
        interval: options.interval,
        timeout: options.timeout,
        savepoint_timeout: options.savepoint_timeout,
        min_pause: options.min_pause,
        max_concurrent: options.max_concurrent,
        tolerable_failures: options.tolerable_failures,
        retained: options.retained,
        operators: Vec::new(),
    };
    let pointer = options.claimed.pointer.clone();
    let checkpoints = Checkpoints::start(CheckpointStart {
        config,
        job_graph: &spec.job_graph,
        folder: &options.settings.folder,
        pointer: pointer.clone(),
        task: &options.claimed.task,
        restore: options.restore.as_ref(),
        allow_non_restored_state: options.allow_non_restored_state,
        seed: options.seed,
    });
    let checkpoints = checkpoints.map_err(|source| StartError::Restore {
        id: options
            .restore
            .as_ref()
            .map_or(weir_types::CheckpointId(0), |restore| restore.metadata.id),
        source,
    })?;
    let collector = Collector::start(CollectorWork {
        store: Arc::clone(&options.store),
        pointer,
        options: options.upkeep,
        clock,
        events: events.clone(),
    });
    let store = StoreThread::start(StoreWork {
        store: Arc::clone(&options.store),
        claimed: options.claimed.clone(),
        seed: options.seed.rotate_left(32),
        events,
        collector: collector.map_err(StartError::Threads)?,
    });
    let store = store.map_err(StartError::Threads)?;
    Ok((
        checkpoints.deleted_on_cancel(options.delete_on_cancel),
        store,
    ))
}

#[cfg(test)]
mod tests;
