//! One TCP connection to another TaskManager, and the channels that run over it.
//!
//! A connection serves channels of both directions: the tables say which channels consume here
//! (`inlets`, numbered by us) and which produce here (`outlets`, numbered by the peer). Two tokio
//! tasks drive it, a reader and a writer, which share nothing but this struct; the reader never
//! waits for the writer, because everything it has to say only goes into the outgoing queue
//! (`outgoing.rs`).
//!
//! A connection ends once, with a cause, and takes all its channels with it ([`Connection::fail`]).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::task::AbortHandle;
use weir_types::{Epoch, ExecutionAttemptId, TaskManagerId};

use super::frame::{DATA_HEADER, Frame, Open, encode};
use super::outgoing::Outgoing;
use super::outlet::Outlet;
use super::registry::Registry;
use crate::gate::WINDOW_BYTES_MAX;
use crate::partition::Target;
use crate::queue::{ChannelQueue, RemoteProducer, Upstream};
use crate::signal::lock;
use crate::{ChannelError, Control, PartitionId, Signal};

/// How long a peer that broke the rules has to read why it is cut off.
const FAREWELL: Duration = Duration::from_secs(1);

/// Limits of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) frame_bytes_max: usize,
    pub(crate) chunk_bytes_max: usize,
    pub(crate) channels_max: usize,
}

/// Who is at the other end.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) taskmanager: TaskManagerId,
    pub(crate) address: String,
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaskManager {} at {}", self.taskmanager, self.address)
    }
}

pub(crate) struct Connection {
    peer: Peer,
    epoch: Epoch,
    limits: Limits,
    /// Where the peer's requests go.
    registry: Arc<Registry>,
    pub(crate) outgoing: Outgoing,
    tables: Mutex<Tables>,
    /// The reader and the writer, to be stopped when the connection has failed elsewhere.
    drivers: OnceLock<[AbortHandle; 2]>,
}

#[derive(Default)]
struct Tables {
    inlets: HashMap<u32, Arc<ChannelQueue>>,
    outlets: HashMap<u32, Arc<Outlet>>,
    next_inlet: u32,
    closed: Option<ChannelError>,
}

impl Connection {
    pub(crate) fn new(peer: Peer, epoch: Epoch, limits: Limits, registry: Arc<Registry>) -> Self {
        Self {
            peer,
            epoch,
            limits,
            registry,
            outgoing: Outgoing::default(),
            tables: Mutex::default(),
            drivers: OnceLock::new(),
        }
    }

    pub(crate) fn set_drivers(&self, drivers: [AbortHandle; 2]) {
        if self.drivers.set(drivers).is_ok() && !self.is_alive() {
            self.stop_drivers();
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Whether channels can be opened on it.
    pub(crate) fn is_usable(&self) -> bool {
        self.outgoing.is_open()
    }

    /// Whether it has its socket.
    pub(crate) fn is_alive(&self) -> bool {
        !self.outgoing.is_closed()
    }

    /// Asks the peer for a partition that a local gate wants.
    pub(crate) fn open(
        self: &Arc<Self>,
        consumer: ExecutionAttemptId,
        partition: PartitionId,
        queue: &Arc<ChannelQueue>,
    ) -> Result<(), ChannelError> {
        let mut tables = lock(&self.tables);
        if let Some(cause) = &tables.closed {
            return Err(cause.clone());
        }
        let number = tables.next_inlet;
        let Some(next) = number.checked_add(1) else {
            drop(tables);
            return Err(self.protocol_error("its channel numbers are used up"));
        };
        tables.next_inlet = next;
        tables.inlets.insert(number, Arc::clone(queue));
        drop(tables);
        let inflow = Inflow {
            connection: Arc::clone(self),
            number,
        };
        if queue.attach(Upstream::Remote(Arc::new(inflow))).is_err() {
            // The gate is gone, and with it everyone who would want to know.
            self.remove_inlet(number);
            return Ok(());
        }
        let to_u32 = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let fragment = queue
            .window()
            .min(self.limits.frame_bytes_max - DATA_HEADER);
        let open = Open {
            consumer,
            partition,
            window: to_u32(queue.window()),
            fragment: to_u32(fragment),
        };
        self.outgoing
            .send_urgent(encode(number, &Frame::Open(open)));
        Ok(())
    }

    /// The connection is broken: so is every channel on it. Only the first cause counts.
    pub(crate) fn fail(&self, cause: ChannelError) {
        if !self.outgoing.close(cause.clone()) {
            return;
        }
        tracing::info!(peer = %self.peer, %cause, "data connection closed");
        self.stop_drivers();
        let (inlets, outlets) = self.close_tables(&cause);
        for queue in inlets.into_values() {
            queue.fail(cause.clone());
        }
        for outlet in outlets.into_values() {
            outlet.fail(cause.clone());
        }
    }

    /// The peer broke the rules. It is told, and the connection ends.
    pub(crate) async fn break_off(&self, cause: ChannelError) {
        tracing::warn!(peer = %self.peer, %cause, "data connection broken off");
        let (inlets, outlets) = self.close_tables(&cause);
        let text = cause.to_string();
        for (number, queue) in inlets {
            self.outgoing
                .send_urgent(encode(number, &Frame::Close(text.clone())));
            queue.fail(cause.clone());
        }
        for (number, outlet) in outlets {
            let error = ChannelError::ProducerGone {
                cause: text.clone(),
            };
            self.outgoing
                .send_urgent(encode(number, &Frame::Error(error)));
            outlet.fail(cause.clone());
        }
        self.outgoing.finish_urgently();
        tokio::time::sleep(FAREWELL).await;
        self.fail(cause);
    }

    fn close_tables(
        &self,
        cause: &ChannelError,
    ) -> (HashMap<u32, Arc<ChannelQueue>>, HashMap<u32, Arc<Outlet>>) {
        let mut tables = lock(&self.tables);
        tables.closed.get_or_insert_with(|| cause.clone());
        (
            std::mem::take(&mut tables.inlets),
            std::mem::take(&mut tables.outlets),
        )
    }

    pub(crate) fn lost(&self, cause: impl ToString) -> ChannelError {
        ChannelError::ConnectionLost {
            peer: self.peer.to_string(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn protocol_error(&self, cause: impl ToString) -> ChannelError {
        ChannelError::Protocol {
            peer: self.peer.to_string(),
            cause: cause.to_string(),
        }
    }

    pub(crate) fn inlet(&self, number: u32) -> Option<Arc<ChannelQueue>> {
        lock(&self.tables).inlets.get(&number).map(Arc::clone)
    }

    pub(crate) fn remove_inlet(&self, number: u32) -> Option<Arc<ChannelQueue>> {
        lock(&self.tables).inlets.remove(&number)
    }

    pub(crate) fn remove_outlet(&self, number: u32) -> Option<Arc<Outlet>> {
        lock(&self.tables).outlets.remove(&number)
    }

    /// A channel that consumes here is broken, the connection is not.
    pub(crate) fn break_inlet(&self, number: u32, cause: ChannelError) {
        if let Some(queue) = self.remove_inlet(number) {
            tracing::warn!(peer = %self.peer, channel = number, %cause, "data channel closed");
            self.outgoing
                .send_urgent(encode(number, &Frame::Close(cause.to_string())));
            queue.fail(cause);
        }
    }

    /// Does what a frame says. Frames for channels that are gone are what is left of those
    /// channels, and are dropped. Returns the consumer that has to be notified, if one has. An
    /// error breaks the connection.
    pub(crate) fn handle(
        self: &Arc<Self>,
        number: u32,
        frame: Frame,
    ) -> Result<Option<Arc<Signal>>, ChannelError> {
        match frame {
            Frame::Open(open) => self.handle_open(number, &open)?,
            Frame::Control(control) => return Ok(self.handle_control(number, control)),
            Frame::Credit(bytes) => {
                let outlet = lock(&self.tables).outlets.get(&number).map(Arc::clone);
                if let Some(outlet) = outlet {
                    outlet
                        .add_credit(bytes)
                        .map_err(|broken| self.protocol_error(broken))?;
                }
            }
            Frame::Error(cause) => {
                if let Some(queue) = self.remove_inlet(number) {
                    queue.fail(cause);
                }
            }
            Frame::Close(cause) => {
                if let Some(outlet) = self.remove_outlet(number) {
                    outlet.fail(ChannelError::ConsumerGone { cause });
                }
            }
        }
        Ok(None)
    }

    fn handle_open(self: &Arc<Self>, number: u32, open: &Open) -> Result<(), ChannelError> {
        if open.fragment == 0 || !(1..=WINDOW_BYTES_MAX).contains(&(open.window as usize)) {
            return Err(self.protocol_error("it opened a channel with an impossible window"));
        }
        let outlet = Arc::new(Outlet::new(Arc::clone(self), number, open));
        let mut tables = lock(&self.tables);
        if tables.outlets.len() >= self.limits.channels_max {
            drop(tables);
            let limit = self.limits.channels_max;
            return Err(self.protocol_error(format!("it opened more than {limit} channels")));
        }
        if tables.outlets.insert(number, Arc::clone(&outlet)).is_some() {
            drop(tables);
            return Err(self.protocol_error(format!("it opened channel {number} twice")));
        }
        drop(tables);
        self.registry
            .request(&open.consumer, open.partition, Target::Remote(outlet));
        Ok(())
    }

    fn handle_control(&self, number: u32, control: Control) -> Option<Arc<Signal>> {
        let queue = match control {
            Control::EndOfInput => self.remove_inlet(number),
            _ => self.inlet(number),
        };
        let queue = queue?;
        if let Control::Barrier(barrier) = control
            && barrier.epoch != self.epoch
        {
            let (theirs, ours) = (barrier.epoch.0, self.epoch.0);
            self.break_inlet(number, ChannelError::Stale { theirs, ours });
            return None;
        }
        match queue.push_control(control.into()) {
            Ok(wake) => wake.then(|| Arc::clone(queue.signal())),
            Err(broken) => {
                self.break_inlet(number, self.protocol_error(broken));
                None
            }
        }
    }

    fn stop_drivers(&self) {
        for driver in self.drivers.get().into_iter().flatten() {
            driver.abort();
        }
    }
}

/// How a channel's consumer speaks to its producer at the other end of a connection.
struct Inflow {
    connection: Arc<Connection>,
    number: u32,
}

impl RemoteProducer for Inflow {
    fn credit(&self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.connection
            .outgoing
            .send_urgent(encode(self.number, &Frame::Credit(bytes)));
    }

    fn closed(&self, cause: &ChannelError) {
        if self.connection.remove_inlet(self.number).is_some() {
            let text = match cause {
                ChannelError::ConsumerGone { cause } => cause.clone(),
                other => other.to_string(),
            };
            self.connection
                .outgoing
                .send_urgent(encode(self.number, &Frame::Close(text)));
        }
    }
}
