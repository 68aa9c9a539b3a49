//! What a JobManager is started with.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_graph::{Fingerprint, JobGraph, StreamGraph};
use weir_rpc::{ProgramSpec, ServerOptions};
use weir_stream::factory::Factories;
use weir_types::{Clock, Epoch, JobId, SystemClock};

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
    /// What the Dispatcher shows as configuration.
    pub config: BTreeMap<String, String>,
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
}
