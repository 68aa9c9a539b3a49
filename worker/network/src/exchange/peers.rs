//! The connections of one process: dialled, accepted, shared, and given up.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use weir_types::TaskManagerId;

use super::connection::{Connection, Limits, Peer};
use super::handshake::{self, HandshakeError};
use super::registry::Registry;
use super::{ExchangeIdentity, ExchangeOptions, frame, reader, writer};
use crate::ChannelError;
use crate::signal::lock;

/// Handshakes that go on at the same time; further callers wait.
const HANDSHAKES_MAX: usize = 64;

pub(crate) struct Peers {
    identity: ExchangeIdentity,
    options: ExchangeOptions,
    runtime: Handle,
    /// Where peers' requests go.
    registry: Arc<Registry>,
    /// The connection for new channels to each peer. The lock is held while dialling, so that
    /// channels that start together share one.
    slots: Mutex<HashMap<TaskManagerId, Arc<Slot>>>,
    /// All that may be alive.
    connections: Mutex<Vec<Arc<Connection>>>,
    handshakes: Semaphore,
}

type Slot = tokio::sync::Mutex<Option<Arc<Connection>>>;

impl Peers {
    pub(crate) fn new(
        identity: ExchangeIdentity,
        options: ExchangeOptions,
        runtime: Handle,
        registry: Arc<Registry>,
    ) -> Self {
        Self {
            identity,
            options,
            runtime,
            registry,
            slots: Mutex::default(),
            connections: Mutex::default(),
            handshakes: Semaphore::new(HANDSHAKES_MAX),
        }
    }

    #[cfg(test)]
    pub(crate) fn identity(&self) -> &ExchangeIdentity {
        &self.identity
    }

    /// The connection for a new channel to a peer.
    pub(crate) async fn connection_to(
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

    pub(crate) fn slot(&self, taskmanager: TaskManagerId) -> Arc<Slot> {
        Arc::clone(lock(&self.slots).entry(taskmanager).or_default())
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

    pub(crate) fn live_connections(&self) -> usize {
        lock(&self.connections)
            .iter()
            .filter(|connection| connection.is_alive())
            .count()
    }

    /// Lets every connection write what it has, for as long as `grace`.
    pub(crate) async fn finish_all(&self, grace: Duration) {
        for connection in lock(&self.connections).iter() {
            connection.outgoing.finish();
        }
        let all_ended = async {
            while self.live_connections() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        drop(tokio::time::timeout(grace, all_ended).await);
    }

    /// Breaks every connection.
    pub(crate) fn drop_all(&self, cause: &str) {
        let connections = std::mem::take(&mut *lock(&self.connections));
        for connection in connections {
            connection.fail(connection.lost(cause));
        }
    }
}

/// Takes callers in, until the exchange is gone.
pub(crate) async fn accept(peers: Weak<Peers>, listener: TcpListener) {
    loop {
        let accepted = listener.accept().await;
        let Some(peers) = peers.upgrade() else {
            return;
        };
        match accepted {
            Ok((_, address)) if peers.live_connections() >= peers.options.connections_max => {
                tracing::warn!(%address, "data connection refused: there are too many");
            }
            Ok((stream, address)) => {
                let runtime = peers.runtime.clone();
                runtime.spawn(async move { peers.admit(stream, address).await });
            }
            Err(error) => {
                // Out of file descriptors, for one: others may free some.
                tracing::warn!(%error, "accept a data connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
