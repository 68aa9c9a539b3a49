//! A TaskManager's life: find the JobMaster, work for it, find it again.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use weir_graph::Fingerprint;
use weir_network::{Exchange, ExchangeIdentity, ExchangeOptions};
use weir_rpc::{
    JobInfo, JobMasterGateway, JobResult, LocalTaskExecutor, PROTOCOL_VERSION, RegisterError,
    Registered, Registration, TaskExecutorInbox, VERSION,
};
use weir_task::Program;
use weir_types::{Clock, TaskManagerId, Timestamp};

use crate::memory::MemoryModel;
use crate::session::{Ended, Session};

/// Builds a process's own copy of the job's program. Runs on a thread that may block.
pub type ProgramProvider =
    Arc<dyn Fn(&JobInfo) -> Result<(Arc<Program>, Fingerprint), String> + Send + Sync>;

/// Makes an id for each life. Injected, because randomness is.
pub type IdSource = Arc<dyn Fn() -> TaskManagerId + Send + Sync>;

/// Where a TaskManager takes data connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataPort {
    /// Nowhere: all subtasks run in this process.
    None,
    /// On this address; port 0 for any free one.
    Bind(SocketAddr),
}

/// How a TaskManager works.
#[derive(Clone)]
pub struct TaskManagerOptions {
    /// What a person calls it.
    pub name: String,
    /// How many slots it offers.
    pub slots: u32,
    /// The operation that started it.
    pub deployment: u64,
    /// Where it takes data connections.
    pub data_port: DataPort,
    /// How long it looks for a JobManager that is out of reach.
    pub reconnect_timeout: Duration,
    /// How its memory is divided.
    pub memory: MemoryModel,
    /// Limits of the exchange.
    pub exchange: ExchangeOptions,
}

impl Default for TaskManagerOptions {
    fn default() -> Self {
        Self {
            name: "taskmanager".to_owned(),
            slots: 1,
            deployment: 1,
            data_port: DataPort::None,
            reconnect_timeout: Duration::from_secs(60),
            memory: MemoryModel::default(),
            exchange: ExchangeOptions::default(),
        }
    }
}

/// What a TaskManager finds in its process.
#[derive(Clone)]
pub struct TaskManager {
    /// How it works.
    pub options: TaskManagerOptions,
    /// The JobMaster.
    pub jobmaster: Arc<dyn JobMasterGateway>,
    /// Builds the program.
    pub provider: ProgramProvider,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: IdSource,
}

/// Why a TaskManager ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The JobManager said that the job has ended.
    JobEnded(JobResult),
    /// It was told to stop.
    Stopped,
}

/// Why a TaskManager gave up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The data port is taken or not ours.
    #[error("listen for data connections on {address}: {cause}")]
    DataPort {
        /// What was asked for.
        address: SocketAddr,
        /// What the socket said.
        cause: String,
    },
    /// The JobManager was out of reach for too long.
    #[error("the JobManager was out of reach for {waited:?}: {last}")]
    OutOfReach {
        /// The time-out.
        waited: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// The JobManager does not want this TaskManager.
    #[error("{0}")]
    Refused(String),
    /// The program could not be built here.
    #[error("build the program `{program}`: {cause}")]
    Build {
        /// Its name.
        program: String,
        /// What went wrong.
        cause: String,
    },
}

/// Ends a wait; ready when the TaskManager is to stop.
pub(crate) type StopSignal = Pin<Box<dyn Future<Output = ()> + Send>>;

const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// For how long the exchange may still send what finished subtasks have put into it.
const DRAIN_GRACE: Duration = Duration::from_secs(5);

impl TaskManager {
    /// Works until the job has ended, `stop` is ready, or the JobManager is out of reach.
    pub async fn run(
        &self,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Outcome, RunError> {
        let mut stop: StopSignal = Box::pin(stop);
        loop {
            let id = (self.ids)();
            let listener = self.listen().await?;
            let address = listener.as_ref().and_then(|listener| listener.local_addr().ok());
            let (registered, inbox) = tokio::select! {
                biased;
                () = &mut stop => return Ok(Outcome::Stopped),
                // Dropping a registration half-way closes its connection, which the JobMaster sees.
                found = self.register(id, address) => match found? {
                    Found::TakenIn(registered, inbox) => (registered, inbox),
                    Found::JobEnded(result) => return Ok(Outcome::JobEnded(result)),
                },
            };
            let job = registered.job.clone();
            let (program, fingerprint) = self.build(&job).await?;
            let text = fingerprint.to_string();
            let identity = ExchangeIdentity::new(job.id, job.epoch, id, text);
            let exchange = self.exchange(listener, identity)?;
            let session = Session::new(self, registered, program, exchange.clone());
            let ended = session.run(fingerprint, inbox, &mut stop).await;
            exchange.shut_down(DRAIN_GRACE).await;
            match ended {
                Ended::Job(result) => return Ok(Outcome::JobEnded(result)),
                Ended::Stopped => return Ok(Outcome::Stopped),
                Ended::Dismissed(reason) => return Err(RunError::Refused(reason)),
                Ended::Lost(reason) => {
                    tracing::warn!(%reason, "lost the JobManager; registering again");
                }
            }
        }
    }

    async fn listen(&self) -> Result<Option<TcpListener>, RunError> {
        match self.options.data_port {
            DataPort::None => Ok(None),
            DataPort::Bind(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Some(listener)),
                Err(cause) => Err(RunError::DataPort { address, cause: cause.to_string() }),
            },
        }
    }

    fn exchange(
        &self,
        listener: Option<TcpListener>,
        identity: ExchangeIdentity,
    ) -> Result<Exchange, RunError> {
        let options = self.options.exchange;
        match listener {
            None => {
                let runtime = tokio::runtime::Handle::current();
                Ok(Exchange::in_process(identity, options, runtime))
            }
            Some(listener) => {
                let address = listener.local_addr().unwrap_or_else(|_| ([0, 0, 0, 0], 0).into());
                Exchange::listen(listener, identity, options)
                    .map_err(|cause| RunError::DataPort { address, cause: cause.to_string() })
            }
        }
    }

    async fn build(&self, job: &JobInfo) -> Result<(Arc<Program>, Fingerprint), RunError> {
        let (provider, info) = (Arc::clone(&self.provider), job.clone());
        let built = tokio::task::spawn_blocking(move || provider(&info)).await;
        let failed = |cause| RunError::Build { program: job.program.program.clone(), cause };
        built.map_err(|panic| failed(panic.to_string()))?.map_err(failed)
    }

    /// Asks to be taken in until somebody answers.
    async fn register(
        &self,
        id: TaskManagerId,
        data_address: Option<SocketAddr>,
    ) -> Result<Found, RunError> {
        let since = self.clock.now();
        let mut rest = RETRY_FIRST;
        loop {
            let (executor, inbox) = LocalTaskExecutor::new();
            let registration = Registration {
                protocol: PROTOCOL_VERSION,
                version: VERSION.to_owned(),
                id,
                name: self.options.name.clone(),
                deployment: self.options.deployment,
                slots: self.options.slots,
                data_address,
            };
            let last = match self.jobmaster.register(registration, Arc::new(executor)).await {
                Ok(registered) => return Ok(Found::TakenIn(registered, inbox)),
                Err(RegisterError::JobEnded(result)) => return Ok(Found::JobEnded(result)),
                Err(RegisterError::Refused(reason)) => return Err(RunError::Refused(reason)),
                Err(error @ RegisterError::Unreachable { .. }) => error.to_string(),
            };
            self.give_up_after(since, &last)?;
            tracing::info!(%last, "the JobManager is out of reach; trying again");
            tokio::time::sleep(rest).await;
            rest = (rest * 2).min(RETRY_MAX);
        }
    }

    fn give_up_after(&self, since: Timestamp, last: &str) -> Result<(), RunError> {
        let waited = self.options.reconnect_timeout;
        if self.clock.now().since(since) < waited {
            return Ok(());
        }
        Err(RunError::OutOfReach { waited, last: last.to_owned() })
    }
}

enum Found {
    TakenIn(Registered, TaskExecutorInbox),
    JobEnded(JobResult),
}
