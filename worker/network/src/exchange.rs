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
mod reader;
mod registry;
mod writer;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use weir_types::{ExecutionAttemptId, TaskManagerId};

pub(crate) use frame::{DATA_HEADER, begin_data, finish_data};
pub use handshake::{ExchangeIdentity, PROTOCOL_VERSION};
pub(crate) use outlet::Outlet;
pub(crate) use registry::Registry;

use crate::partition::{Partition, Target};
use crate::signal::lock;
use crate::{
    ChannelError, ChannelSender, Inlet, PartitionId, RegisterError, SenderContext, SharedCodec,
};
use connection::{Connection, Limits, Peer};
use handshake::HandshakeError;

/// Handshakes that go on at the same time; further callers wait.
const HANDSHAKES_MAX: usize = 64;

/// Limits and time-outs of an exchange.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeOptions {
    /// The longest data frame that is accepted. Longer chunks come in several.
    pub frame_bytes_max: usize,
    /// The largest encoded chunk that is sent to another process.
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
            chunk_bytes_max: 64 << 20,
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
    identity: ExchangeIdentity,
    options: ExchangeOptions,
    runtime: Handle,
    registry: Arc<Registry>,
    listening: Option<(SocketAddr, AbortHandle)>,
    /// The connection for new channels to each peer. The lock is held while dialling, so that
    /// channels that start together share one.
    peers: Mutex<HashMap<TaskManagerId, Arc<Slot>>>,
    /// All that may be alive.
    connections: Mutex<Vec<Arc<Connection>>>,
    handshakes: Semaphore,
}

type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

impl Exchange {
    /// An exchange without a port: everything runs in this process. Timers run on `runtime`.
    pub fn in_process(
        identity: ExchangeIdentity,
        options: ExchangeOptions,
        runtime: Handle,
    ) -> Self {
        Self {
            inner: Arc::new(Inner::new(identity, options, runtime, None)),
        }
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
        let inner = Arc::new_cyclic(|inner: &Weak<Inner>| {
            let accepting = runtime
                .spawn(accept(Weak::clone(inner), listener))
                .abort_handle();
            Inner::new(identity, options, runtime.clone(), Some((local, accepting)))
        });
        Ok(Self { inner })
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
        let inner = Arc::clone(&self.inner);
        self.inner.runtime.spawn(async move {
            if queue.is_closed() {
                return;
            }
            let opened = match inner.connection_to(taskmanager, &address).await {
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
        let connections = std::mem::take(&mut *lock(&self.inner.connections));
        for connection in &connections {
            connection.outgoing.finish();
        }
        let all_ended = async {
            while connections.iter().any(|connection| connection.is_alive()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(grace, all_ended).await);
        for connection in connections {
            connection.fail(connection.lost("this process shut its exchange down"));
        }
    }
}

impl Inner {
    fn new(
        identity: ExchangeIdentity,
        options: ExchangeOptions,
        runtime: Handle,
        listening: Option<(SocketAddr, AbortHandle)>,
    ) -> Self {
        let registry = Registry::new(identity.epoch, options.partition_timeout, runtime.clone());
        Self {
            identity,
            options,
            runtime,
            registry,
            listening,
            peers: Mutex::default(),
            connections: Mutex::default(),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
        }
    }

    /// The connection for a new channel to a peer.
    async fn connection_to(
        &self,
        taskmanager: TaskManagerId,
        address: &str,
    ) -> Result<Arc<Connection>, ChannelError> {
        let slot = self.slot(taskmanager);
        let mut slot = slot.lock().await;
        if let Some(connection) = slot.as_ref().filter(|connection| connection.is_usable()) {
            return Ok(Arc::clone(connection));
        }
        let peer = Peer {
            taskmanager,
            address: address.to_owned(),
        };
        let dialled = tokio::time::timeout(self.options.connect_timeout, self.dial(&peer)).await;
        let stream = dialled.unwrap_or_else(|_| {
            let cause = format!("no answer within {:?}", self.options.connect_timeout);
            Err(ChannelError::Connect {
                peer: peer.to_string(),
                cause,
            })
        })?;
        let connection = self.start(peer, stream);
        *slot = Some(Arc::clone(&connection));
        Ok(connection)
    }

    async fn dial(&self, peer: &Peer) -> Result<TcpStream, ChannelError> {
        let failed = |cause: &dyn std::fmt::Display| ChannelError::Connect {
            peer: peer.to_string(),
            cause: cause.to_string(),
        };
        let mut stream = TcpStream::connect(&peer.address)
            .await
            .map_err(|e| failed(&e))?;
        stream.set_nodelay(true).map_err(|e| failed(&e))?;
        let greeted = handshake::greet(&mut stream, &self.identity, peer.taskmanager).await;
        greeted.map_err(|error| match error {
            HandshakeError::Io { .. } | HandshakeError::NotWeir => failed(&error),
            HandshakeError::Mismatch(reason) | HandshakeError::Refused(reason) => {
                tracing::warn!(%peer, reason, "data connection refused");
                ChannelError::Refused {
                    peer: peer.to_string(),
                    reason,
                }
            }
        })?;
        Ok(stream)
    }

    /// A caller has connected.
    async fn admit(&self, mut stream: TcpStream, address: SocketAddr) {
        let Ok(_permit) = self.handshakes.acquire().await else {
            return;
        };
        let answered = tokio::time::timeout(
            self.options.connect_timeout,
            handshake::answer(&mut stream, &self.identity),
        );
        let taskmanager = match answered.await {
            Ok(Ok(taskmanager)) => taskmanager,
            Ok(Err(reason)) => {
                return tracing::warn!(%address, %reason, "data connection refused");
            }
            Err(_) => {
                return tracing::warn!(%address, "data connection refused: no hello in time");
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            return tracing::warn!(%address, %error, "data connection lost at once");
        }
        let peer = Peer {
            taskmanager,
            address: address.to_string(),
        };
        let connection = self.start(peer, stream);
        // While we are dialling the same peer, the slot is taken: then there will be two.
        if let Ok(mut slot) = self.slot(taskmanager).try_lock() {
            let usable = slot
                .as_ref()
                .is_some_and(|connection| connection.is_usable());
            if !usable {
                *slot = Some(connection);
            }
        }
    }

    fn slot(&self, taskmanager: TaskManagerId) -> Arc<Slot> {
        Arc::clone(lock(&self.peers).entry(taskmanager).or_default())
    }

    /// Lets a connection run.
    fn start(&self, peer: Peer, stream: TcpStream) -> Arc<Connection> {
        tracing::info!(%peer, "data connection open");
        let limits = Limits {
            frame_bytes_max: self.options.frame_bytes_max.max(frame::BODY_MAX),
            chunk_bytes_max: self.options.chunk_bytes_max,
            channels_max: self.options.channels_max,
        };
        let registry = Arc::clone(&self.registry);
        let connection = Arc::new(Connection::new(peer, self.identity.epoch, limits, registry));
        let (input, output) = stream.into_split();
        let reading = Arc::clone(&connection);
        let reader = self.runtime.spawn(async move {
            match reader::read_frames(&reading, input).await {
                broken @ ChannelError::Protocol { .. } => reading.break_off(broken).await,
                lost => reading.fail(lost),
            }
        });
        let writing = Arc::clone(&connection);
        let writer = self.runtime.spawn(async move {
            let cause = match writer::write_frames(&writing.outgoing, output).await {
                Ok(()) => writing.lost("this process closed it"),
                Err(error) => writing.lost(error),
            };
            writing.fail(cause);
        });
        connection.set_drivers([reader.abort_handle(), writer.abort_handle()]);
        let mut connections = lock(&self.connections);
        connections.retain(|connection| connection.is_alive());
        connections.push(Arc::clone(&connection));
        connection
    }

    fn live_connections(&self) -> usize {
        lock(&self.connections)
            .iter()
            .filter(|connection| connection.is_alive())
            .count()
    }

    fn stop_accepting(&self) {
        if let Some((_, accepting)) = &self.listening {
            accepting.abort();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop_accepting();
        self.registry.shut_down();
        for connection in lock(&self.connections).drain(..) {
            connection.fail(connection.lost("this process dropped its exchange"));
        }
    }
}

async fn accept(exchange: Weak<Inner>, listener: TcpListener) {
    loop {
        let accepted = listener.accept().await;
        let Some(exchange) = exchange.upgrade() else {
            return;
        };
        match accepted {
            Ok((_, address)) if exchange.live_connections() >= exchange.options.connections_max => {
                tracing::warn!(%address, "data connection refused: there are too many");
            }
            Ok((stream, address)) => {
                let runtime = exchange.runtime.clone();
                runtime.spawn(async move { exchange.admit(stream, address).await });
            }
            Err(error) => {
                // Out of file descriptors, for one: others may free some.
                tracing::warn!(%error, "accept a data connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests;
