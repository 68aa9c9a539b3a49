//! What a JobManager is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_checkpoint::collector::upkeep::UpkeepOptions;
use weir_graph::{Fingerprint, JobGraph, StreamGraph};
use weir_rpc::{CheckpointSettings, ProgramSpec, ServerOptions};
use weir_storage::ObjectStore;
use weir_stream::factory::Factories;
use weir_types::{Clock, Epoch, JobId, SystemClock};

use crate::{Claimed, FailoverStrategy, RestartStrategy, RestoreFrom};

/// How a JobManager works.
#[derive(Clone)]
pub struct JobManagerOptions {
    /// Where to listen for TaskManagers of other processes; none for those of this one only.
    pub rpc_bind: Option<SocketAddr>,
    /// Limits of those connections.
    pub server: ServerOptions,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
    /// The run of the job by this leader. Messages of another are refused.
    pub epoch: Epoch,
    /// The operation that started this process. TaskManagers of another are refused.
    pub deployment: u64,
    /// How often JobManager and TaskManagers tell each other that they live.
    pub heartbeat_interval: Duration,
    /// After how long a silence a TaskManager is lost.
    pub heartbeat_timeout: Duration,
    /// How long the job waits for enough slots before it fails (Flink's `slot.request.timeout`).
    pub slot_request_timeout: Duration,
    /// How often it says that it is waiting for slots.
    pub waiting_message_interval: Duration,
    /// How long TaskManagers have for stopping their tasks, before they count as lost.
    pub cancellation_timeout: Duration,
    /// How long TaskManagers have for hanging up after the end of the job.
    pub goodbye_timeout: Duration,
    /// Whether, and when, what failed is started again.
    pub restart: RestartStrategy,
    /// What is started again with it.
    pub failover: FailoverStrategy,
    /// How long a machine on which something failed that is the machine's fault is used only if
    /// there is no other.
    pub block_time: Duration,
    /// Randomness, for jitter.
    pub random_seed: u64,
    /// What the Dispatcher shows as configuration.
    pub config: BTreeMap<String, String>,
}

/// How a job takes checkpoints. It must have been claimed: its epoch and id are those of the
/// pointer.
#[derive(Clone)]
pub struct CheckpointOptions {
    /// The job's state folder.
    pub store: Arc<dyn ObjectStore>,
    /// What TaskManagers need to know.
    pub settings: CheckpointSettings,
    /// The claim.
    pub claimed: Claimed,
    /// What the job goes on from.
    pub restore: Option<RestoreFrom>,
    /// Whether state of operators that the program no longer has may be left behind.
    pub allow_non_restored_state: bool,
    /// From one checkpoint's start to the next. Zero: only on request, and at the end.
    pub interval: Duration,
    /// How long a checkpoint may take before it is given up.
    pub timeout: Duration,
    /// How long a savepoint may take before it is given up.
    pub savepoint_timeout: Duration,
    /// The least time from the end of a checkpoint to the start of the next.
    pub min_pause: Duration,
    /// How many checkpoints may run at once.
    pub max_concurrent: u32,
    /// How many checkpoints in a row may fail before the job does.
    pub tolerable_failures: u32,
    /// How many completed checkpoints are kept.
    pub retained: u32,
    /// Whether they are deleted when a person cancels the job (Flink's
    /// `DELETE_ON_CANCELLATION`). Savepoints never are.
    pub delete_on_cancel: bool,
    /// How what no checkpoint needs any more is deleted.
    pub upkeep: UpkeepOptions,
    /// Randomness for telling writes apart; another one in each process.
    pub seed: u64,
}

impl Default for JobManagerOptions {
    fn default() -> Self {
        Self {
            rpc_bind: None,
            server: ServerOptions::default(),
            clock: Arc::new(SystemClock),
            epoch: Epoch(1),
            deployment: 1,
            heartbeat_interval: Duration::from_secs(1),
            heartbeat_timeout: Duration::from_secs(10),
            slot_request_timeout: Duration::from_secs(300),
            waiting_message_interval: Duration::from_secs(5),
            cancellation_timeout: Duration::from_secs(30),
            goodbye_timeout: Duration::from_secs(2),
            restart: RestartStrategy::None,
            failover: FailoverStrategy::Region,
            block_time: Duration::from_secs(60),
            random_seed: 0,
            config: BTreeMap::new(),
        }
    }
}

/// The job to run.
pub struct JobSpec {
    /// Its id.
    pub id: JobId,
    /// What a person calls it.
    pub name: String,
    /// What the program says.
    pub graph: StreamGraph,
    /// The same, chained.
    pub job_graph: JobGraph,
    /// How enumerators and sink checks are made; operators are not needed here.
    pub factories: Factories,
    /// What TaskManagers build their copy of the program from.
    pub program: ProgramSpec,
    /// What must come out of it.
    pub fingerprint: Fingerprint,
    /// How it takes checkpoints; none: it does not.
    pub checkpoints: Option<CheckpointOptions>,
}
