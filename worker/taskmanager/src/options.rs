//! What a TaskManager is started with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_network::ExchangeOptions;
use weir_rpc::ANY_DEPLOYMENT;
use weir_types::{Clock, SystemClock, TaskManagerId};

use crate::memory::MemoryOptions;
use crate::state_backend::{HeapOnly, StateBackendProvider};

/// How a TaskManager works.
#[derive(Clone)]
pub struct TaskManagerOptions {
    /// The id of this process. After it has lost its JobManager it takes one derived from it.
    pub id: TaskManagerId,
    /// What a person calls it, for example its host name.
    pub name: String,
    /// The operation that started this process; the JobManager's has to be the same. By default
    /// any is.
    pub deployment: u64,
    /// How many slots it offers.
    pub slots: u32,
    /// Where its exchange listens for other TaskManagers; none if all run in this process. With an
    /// unspecified address (`0.0.0.0`), others use the one that its registration comes from.
    pub data_bind: Option<SocketAddr>,
    /// Where others reach it instead, for example behind a port mapping.
    pub data_advertised: Option<SocketAddr>,
    /// Limits of the exchange.
    pub exchange: ExchangeOptions,
    /// Threads that move records between sockets and queues.
    pub network_threads: usize,
    /// For how long the JobManager may be out of reach.
    pub reconnect_timeout: Duration,
    /// How long tasks have for stopping when the JobManager is lost.
    pub cancellation_timeout: Duration,
    /// How its memory is divided.
    pub memory: MemoryOptions,
    /// What keyed state lies on.
    pub state_backends: Arc<dyn StateBackendProvider>,
    /// Equal for equal executables; part of the program's fingerprint.
    pub executable: String,
    /// Where time comes from.
    pub clock: Arc<dyn Clock>,
}

impl TaskManagerOptions {
    /// A TaskManager that listens on any free port of this machine.
    pub fn new(id: TaskManagerId, name: impl Into<String>, slots: u32) -> Self {
        Self {
            id,
            name: name.into(),
            deployment: ANY_DEPLOYMENT,
            slots,
            data_bind: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
            data_advertised: None,
            exchange: ExchangeOptions::default(),
            network_threads: 1,
            reconnect_timeout: Duration::from_secs(60),
            cancellation_timeout: Duration::from_secs(30),
            memory: MemoryOptions::default(),
            state_backends: Arc::new(HeapOnly),
            executable: String::new(),
            clock: Arc::new(SystemClock),
        }
    }
}
