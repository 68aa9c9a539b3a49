//! The TaskManager's life: registers, serves, and registers again when it has lost its JobManager.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_network::{Exchange, ExchangeIdentity};
use weir_rpc::{
    JobInfo, JobMasterGateway, JobResult, RegisterError, Registered, TaskExecutorInbox,
};
use weir_state::{HeapFactory, StateBackendFactory};
use weir_stream::BoxError;
use weir_task::{LocalCopies, TaskCheckpoints, TaskEnvironment};
use weir_types::TaskManagerId;

use crate::data_plane::{DataPlane, Door};
use crate::registration::{Outcome, register, registration};
use crate::serve::{End, Server};
use crate::task_table::{TaskTable, events};
use crate::{
    MemoryError, MemoryModel, ProgramError, ProgramProvider, SlotResources, TaskManagerOptions,
    program, state,
};

/// How long connections to other TaskManagers have for sending what they hold, at the end.
const EXCHANGE_GRACE: Duration = Duration::from_millis(500);

/// How long tasks that have not ended with their job still have.
const TASKS_GRACE: Duration = Duration::from_secs(1);

/// How often the port of the exchange before is tried.
const REOPEN_TRIES: usize = 50;
const REOPEN_PAUSE: Duration = Duration::from_millis(20);

/// A TaskManager could not work until the end of the job.
#[derive(Debug, thiserror::Error)]
pub enum TaskManagerError {
    /// The threads of the exchange did not start.
    #[error("start the threads of the exchange")]
    Threads(#[source] std::io::Error),
    /// The exchange's port could not be opened.
    #[error("listen for other TaskManagers on {address}: choose another data port")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The memory cannot be divided as asked.
    #[error(transparent)]
    Memory(#[from] MemoryError),
    /// The job's state folder cannot be used here.
    #[error("open the job's state folder")]
    Store(#[source] state::OpenError),
    /// A defect of this program.
    #[error("opening the job's state folder panicked; the log says where")]
    StorePanicked,
    /// The job's state backend cannot work here.
    #[error("open the job's state backend")]
    StateBackend(#[source] BoxError),
    /// A defect of this program.
    #[error("opening the job's state backend panicked; the log says where")]
    StateBackendPanicked,
    /// The JobManager does not want it.
    #[error("the JobManager refused this TaskManager: {0}")]
    Refused(String),
    /// The JobManager could not be reached for too long.
    #[error(
        "the JobManager was out of reach for {seconds} s: check that it runs and that \
         `--jobmanager` is its address"
    )]
    OutOfReach {
        /// How long.
        seconds: u64,
        /// The last thing that was seen.
        #[source]
        source: RegisterError,
    },
    /// The job's program cannot be had here.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Tasks did not stop after the JobManager was lost, so this process must not live on.
    #[error("{tasks} tasks did not stop within {seconds} s after the JobManager was lost")]
    Stuck {
        /// How many.
        tasks: usize,
        /// How long they had.
        seconds: u64,
    },
}

/// A TaskManager.
pub struct TaskManager {
    options: TaskManagerOptions,
    gateway: Arc<dyn JobMasterGateway>,
    provider: Arc<dyn ProgramProvider>,
    memory: MemoryModel,
    data_plane: DataPlane,
}

impl TaskManager {
    /// Works for the JobManager behind `gateway` until the job has ended, and tells how it ended.
    /// Must be called within a tokio runtime. If the future is dropped, the tasks are cancelled.
    pub async fn run(
        options: TaskManagerOptions,
        gateway: Arc<dyn JobMasterGateway>,
        provider: Arc<dyn ProgramProvider>,
    ) -> Result<JobResult, TaskManagerError> {
        let memory = MemoryModel::new(&options.memory)?;
        let data_plane = DataPlane::new(options.data_bind, options.network_threads)
            .map_err(TaskManagerError::Threads)?;
        Self {
            options,
            gateway,
            provider,
            memory,
            data_plane,
        }
        .lives()
        .await
    }

    async fn lives(&self) -> Result<JobResult, TaskManagerError> {
        let clock = &self.options.clock;
        let mut id = self.options.id;
        let mut since = clock.now();
        let mut door = self.open().await?;
        for life in 1_u64.. {
            let limit = self.options.reconnect_timeout;
            let ask = registration(
                &self.options,
                id,
                self.options.data_advertised.or_else(|| door.address()),
            );
            let asked = register(self.gateway.as_ref(), &ask, clock.as_ref(), since, limit);
            let (registered, inbox) = match asked.await {
                Outcome::Accepted(registered, inbox) => (*registered, inbox),
                Outcome::JobEnded(result) => return Ok(result),
                Outcome::Refused(reason) => return Err(TaskManagerError::Refused(reason)),
                Outcome::OutOfReach(source) => {
                    return Err(TaskManagerError::OutOfReach {
                        seconds: limit.as_secs(),
                        source,
                    });
                }
            };
            let reason = match self.life(id, door, registered, inbox).await? {
                End::JobEnded(result) => return Ok(result),
                End::Dismissed(reason) => return Err(TaskManagerError::Refused(reason)),
                End::Lost(reason) => reason,
            };
            tracing::warn!("lost the JobManager: {reason}; looking for it again");
            since = clock.now();
            id = TaskManagerId::from_text(&format!("{} life {life}", self.options.id));
            door = self.reopen().await?;
        }
        unreachable!("nobody lives 2^64 lives")
    }

    /// Opens the port again. The exchange that had it may need a moment to let go.
    async fn reopen(&self) -> Result<Door, TaskManagerError> {
        for _ in 0..REOPEN_TRIES {
            if let Ok(door) = self.open().await {
                return Ok(door);
            }
            tokio::time::sleep(REOPEN_PAUSE).await;
        }
        self.open().await
    }

    async fn open(&self) -> Result<Door, TaskManagerError> {
        let failed = |source| match self.options.data_bind {
            Some(address) => TaskManagerError::Bind { address, source },
            None => TaskManagerError::Threads(source),
        };
        self.data_plane.open().await.map_err(failed)
    }

    /// From an acceptance to the end of the job or of the connection. All tasks have ended then.
    async fn life(
        &self,
        id: TaskManagerId,
        door: Door,
        registered: Registered,
        inbox: TaskExecutorInbox,
    ) -> Result<End, TaskManagerError> {
        let Registered { job, session } = registered;
        tracing::info!(
            "TaskManager `{}` works for job `{}`",
            self.options.name,
            job.name
        );
        let executable = &self.options.executable;
        let (program, fingerprint) = program::build(&self.provider, &job, executable).await?;
        let window = self
            .memory
            .channel_window_bytes(&program.job_graph, self.options.slots)?;
        let exchange = self.exchange(id, door, &job).await?;
        let (events_in, events) = events();
        let slots = self.state_backends(&job).await?;
        let copies = slots.first().filter(|_| {
            let settings = job.checkpoints.as_ref();
            settings.is_some_and(|settings| settings.local_recovery)
        });
        let copies = copies.map(|slot| Arc::new(LocalCopies::new(slot)));
        let environment = TaskEnvironment {
            exchange: exchange.clone(),
            clock: Arc::clone(&self.options.clock),
            events: events_in,
            channel_window_bytes: Some(window),
            state_backend: Arc::new(HeapFactory),
            checkpoints: self.checkpoints(&job, copies).await?,
        };
        let tasks = TaskTable::new(program, environment, slots);
        let clock = Arc::clone(&self.options.clock);
        let mut server = Server {
            job,
            session,
            inbox,
            events,
            tasks,
            clock,
        };
        let end = server.run(fingerprint).await;
        // At the end of the job, tasks have had the JobManager's time for stopping.
        let limit = match end {
            End::Lost(_) => self.options.cancellation_timeout,
            End::JobEnded(_) | End::Dismissed(_) => TASKS_GRACE,
        };
        let stuck = server.stop_tasks(limit).await;
        exchange.shut_down(EXCHANGE_GRACE).await;
        if stuck > 0 && matches!(end, End::Lost(_)) {
            return Err(TaskManagerError::Stuck {
                tasks: stuck,
                seconds: limit.as_secs(),
            });
        }
        Ok(end)
    }

    /// Opens the job's state folder. Stores block, so not on this thread.
    async fn checkpoints(
        &self,
        job: &JobInfo,
        copies: Option<Arc<LocalCopies>>,
    ) -> Result<Option<Arc<TaskCheckpoints>>, TaskManagerError> {
        let Some(settings) = job.checkpoints.clone() else {
            return Ok(None);
        };
        let clock = Arc::clone(&self.options.clock);
        let opened = tokio::task::spawn_blocking(move || state::open(settings, clock)).await;
        match opened {
            Ok(Ok(checkpoints)) => Ok(Some(Arc::new(TaskCheckpoints {
                copies,
                ..checkpoints
            }))),
            Ok(Err(source)) => Err(TaskManagerError::Store(source)),
            Err(_) => Err(TaskManagerError::StorePanicked),
        }
    }

    /// What the keyed state of each slot lies on. Folders are made, so not on this thread.
    async fn state_backends(
        &self,
        job: &JobInfo,
    ) -> Result<Vec<Arc<dyn StateBackendFactory>>, TaskManagerError> {
        let (provider, job) = (Arc::clone(&self.options.state_backends), job.clone());
        let slots = self.options.slots;
        let resources = SlotResources {
            slots,
            managed_bytes: self.memory.managed / u64::from(slots.max(1)),
        };
        let opened = tokio::task::spawn_blocking(move || provider.open(&job, resources)).await;
        match opened {
            Ok(Ok(slots)) => Ok(slots),
            Ok(Err(source)) => Err(TaskManagerError::StateBackend(source)),
            Err(_) => Err(TaskManagerError::StateBackendPanicked),
        }
    }

    async fn exchange(
        &self,
        id: TaskManagerId,
        door: Door,
        job: &JobInfo,
    ) -> Result<Exchange, TaskManagerError> {
        let identity = ExchangeIdentity::new(job.id, job.epoch, id, job.fingerprint.to_string());
        let exchange = self
            .data_plane
            .exchange(door, identity, self.options.exchange)
            .await;
        exchange.map_err(TaskManagerError::Threads)
    }
}

#[cfg(test)]
mod tests;
