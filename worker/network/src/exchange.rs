//! The exchange of one process: which partitions it offers, and its connections to others.
//!
//! ```text
//!  consumer's process                                 producer's process
//!                                                     register(partition) ─▶ ChannelSender
//!  connect(partition, inlet)                            waits for its consumer
//!    │ dial, or take the connection there is
//!    │── hello ──────────────────────────────────────▶ same version, job, epoch, program?
//!    │◀───────────────────────────── hello / refused ──│
//!    │── open(attempt, partition, window) ───────────▶ registered? else wait a while
//!    │◀──────────────────── data, watermark, barrier …─│ while there is credit
//!    │── credit(bytes) ───────────────────────────────▶│ as the consumer's thread reads
//!    │◀──────────────────────────────── end of input ──│
//! ```
//!
//! The consumer asks, as in Flink: it knows where its producers are, producers do not know where
//! their consumers are. There is one connection per pair of processes, whoever dialled, with
//! channels of both directions; two that dial each other at the same time keep both connections.
//! A partition whose consumer is in the same process is never encoded: the producer's thread puts
//! chunks straight into the consumer's queue.
//!
//! Nothing here retries. A connection that breaks fails its channels with an error that names the
//! peer, on both sides; whoever restarts the tasks decides what follows.

mod connection;
mod frame;
mod handshake;
mod outgoing;
mod outlet;
mod peers;
mod reader;
mod registry;
mod writer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use weir_types::{ExecutionAttemptId, TaskManagerId};

pub(crate) use frame::{DATA_HEADER, begin_data, finish_data};
pub use handshake::{ExchangeIdentity, PROTOCOL_VERSION};
pub(crate) use outlet::Outlet;
pub(crate) use registry::Registry;

use crate::gate::CHUNK_BYTES_MAX;
use crate::partition::{Partition, Target};
use crate::{
    ChannelError, ChannelSender, Inlet, PartitionId, RegisterError, SenderContext, SharedCodec,
};
use peers::{Peers, accept};

/// Limits and time-outs of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeOptions {
    /// The longest data frame that is accepted. Longer chunks come in several.
    pub frame_bytes_max: usize,
    /// The largest encoded chunk that is sent to another process. A larger one is sent as several,
    /// down to single rows. The gates of other processes must accept as much.
    pub chunk_bytes_max: usize,
    /// How many channels a peer may open.
    pub channels_max: usize,
    /// How many connections are accepted.
    pub connections_max: usize,
    /// How long a request waits for the producer to register the partition.
    pub partition_timeout: Duration,
    /// How long dialling may take, and how long a peer may take to introduce itself.
    pub connect_timeout: Duration,
}

impl Default for ExchangeOptions {
    fn default() -> Self {
        Self {
            frame_bytes_max: 32 << 20,
            chunk_bytes_max: CHUNK_BYTES_MAX,
            channels_max: 1 << 16,
            connections_max: 4_096,
            partition_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// The exchange did not open its port.
#[derive(Debug, thiserror::Error)]
#[error("listen for data connections on {address}")]
pub struct BindError {
    /// Where.
    pub address: String,
    /// Why not.
    pub source: std::io::Error,
}

/// Where a partition's producer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// In this process.
    Local,
    /// In another.
    Remote {
        /// Which. Another life of a process at the same address is refused.
        taskmanager: TaskManagerId,
        /// The `host:port` of its exchange.
        address: String,
    },
}

/// What a consumer asks for.
#[derive(Clone)]
pub struct ConnectRequest {
    /// Who asks.
    pub consumer: ExecutionAttemptId,
    /// For what.
    pub partition: PartitionId,
    /// How its chunks are read, should they come from another process.
    pub codec: SharedCodec,
    /// Where the producer is.
    pub location: Location,
}

/// The exchange of one process, for one epoch of one job. Clones are the same exchange. When the
/// last is dropped, its connections break.
#[derive(Clone)]
pub struct Exchange {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Handle,
    registry: Arc<Registry>,
    peers: Arc<Peers>,
    /// Where it listens, and what accepts there.
    listening: Option<(SocketAddr, AbortHandle)>,
}

impl Exchange {
    /// An exchange without a port: everything runs in this process. Timers run on `runtime`.
    pub fn in_process(
        identity: ExchangeIdentity,
        options: ExchangeOptions,
        runtime: Handle,
    ) -> Self {
        Self::new(identity, options, runtime, |_| None)
    }

    /// An exchange that listens on `address` (`host:port`, port 0 for any). Its sockets are driven
    /// by the runtime that this is called on.
    pub async fn bind(
        address: &str,
        identity: ExchangeIdentity,
        options: ExchangeOptions,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError {
            address: address.to_owned(),
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        Self::listen(listener, identity, options).map_err(failed)
    }

    /// An exchange on a socket that listens already: its address can be told to others before it
    /// is known which job and epoch the exchange will serve.
    pub fn listen(
        listener: TcpListener,
        identity: ExchangeIdentity,
        options: ExchangeOptions,
    ) -> std::io::Result<Self> {
        let local = listener.local_addr()?;
        let runtime = Handle::current();
        let accepting = runtime.clone();
        Ok(Self::new(identity, options, runtime, |peers| {
            let accepting = accepting.spawn(accept(Arc::downgrade(peers), listener));
            Some((local, accepting.abort_handle()))
        }))
    }

    fn new(
        identity: ExchangeIdentity,
        options: ExchangeOptions,
        runtime: Handle,
        listen: impl FnOnce(&Arc<Peers>) -> Option<(SocketAddr, AbortHandle)>,
    ) -> Self {
        let registry = Registry::new(identity.epoch, options.partition_timeout, runtime.clone());
        let peers = Peers::new(identity, options, runtime.clone(), Arc::clone(&registry));
        let peers = Arc::new(peers);
        let listening = listen(&peers);
        Self {
            inner: Arc::new(Inner {
                runtime,
                registry,
                peers,
                listening,
            }),
        }
    }

    /// Where it listens, if it does.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.inner.listening.as_ref().map(|(address, _)| *address)
    }

    /// Offers what a producer sends to one consumer. The sender holds its first elements until the
    /// consumer has connected.
    pub fn register(
        &self,
        partition: PartitionId,
        codec: SharedCodec,
        context: SenderContext,
    ) -> Result<ChannelSender, RegisterError> {
        let registry = &self.inner.registry;
        let signal = Arc::clone(context.signal());
        let partition = Arc::new(Partition::new(
            partition,
            Some(codec),
            signal,
            Arc::downgrade(registry),
        ));
        registry.register(Arc::clone(&partition))?;
        Ok(ChannelSender::new(partition, context))
    }

    /// Connects a gate's channel with the partition it is to read. Returns at once; whatever goes
    /// wrong, the gate reports.
    pub fn connect(&self, request: ConnectRequest, inlet: Inlet) {
        let queue = inlet.queue;
        let ConnectRequest {
            consumer,
            partition,
            codec,
            location,
        } = request;
        if !queue.name(partition, Some(codec)) {
            let cause = "the gate's channel was connected before".to_owned();
            return queue.fail(ChannelError::Protocol {
                peer: "this process".to_owned(),
                cause,
            });
        }
        let Location::Remote {
            taskmanager,
            address,
        } = location
        else {
            return self
                .inner
                .registry
                .request(&consumer, partition, Target::Local(queue));
        };
        let peers = Arc::clone(&self.inner.peers);
        self.inner.runtime.spawn(async move {
            if queue.is_closed() {
                return;
            }
            let opened = match peers.connection_to(taskmanager, &address).await {
                Ok(connection) => connection.open(consumer, partition, &queue),
                Err(cause) => Err(cause),
            };
            if let Err(cause) = opened {
                queue.fail(cause);
            }
        });
    }

    /// Forgets the partitions of a producer that no consumer has come for, and will not: to be
    /// called when the job, or the region with the producer's consumers, is over.
    pub fn release(&self, producer: &ExecutionAttemptId) {
        self.inner.registry.release(producer);
    }

    /// Sends what has been handed to the connections, for as long as `grace`, then closes them.
    /// Channels that are still open fail.
    pub async fn shut_down(&self, grace: Duration) {
        self.inner.registry.shut_down();
        self.inner.stop_accepting();
        self.inner.peers.finish_all(grace).await;
        self.inner
            .peers
            .drop_all("this process shut its exchange down");
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop_accepting();
        self.registry.shut_down();
        self.peers.drop_all("this process dropped its exchange");
    }
}

impl Inner {
    fn stop_accepting(&self) {
        if let Some((_, accepting)) = &self.listening {
            accepting.abort();
        }
    }
}

#[cfg(test)]
mod tests;
