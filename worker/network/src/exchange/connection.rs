//! One TCP connection to another TaskManager, and the channels that run over it.
//!
//! A connection serves channels of both directions: the tables say which channels consume here
//! (`inlets`, numbered by us) and which produce here (`outlets`, numbered by the peer). Two tokio
//! tasks drive it, a reader and a writer, which share nothing but this struct; the reader never
//! waits for the writer, because everything it has to say only goes into the outgoing queue.
//!
//! Outgoing frames are bounded by what they need: data by the credit of its channel, credit by the
//! data that came before, and watermarks by a count, at which their producers wait. Requests,
//! credit and errors overtake data.
//!
//! A connection ends once, with a cause, and takes all its channels with it ([`Connection::fail`]).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use weir_types::{Epoch, ExecutionAttemptId, TaskManagerId};

use super::frame::{BODY_MAX, DATA_HEADER, Frame, Open, encode};
use super::outlet::Outlet;
use super::registry::Registry;
use crate::partition::Target;
use crate::queue::{ChannelQueue, RemoteProducer, Upstream};
use crate::signal::lock;
use crate::{ChannelError, Control, PartitionId};

/// With so many frames waiting for the writer, watermarks wait as well.
const FRAMES_MAX: usize = 1 << 16;
/// What the writer takes at once. Frames that come while it writes, also urgent ones, wait so long.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 256 << 10;
/// Used buffers that are kept, and how large they may be.
const BUFFERS_KEPT: usize = 32;
const BUFFER_BYTES_KEPT: usize = 256 << 10;

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
    outgoing: Mutex<Outgoing>,
    /// Wakes the writer.
    writable: Notify,
    tables: Mutex<Tables>,
    /// Buffers that were written and can be filled again.
    buffers: Mutex<Vec<Vec<u8>>>,
    /// The reader and the writer, to be stopped when the connection has failed elsewhere.
    drivers: OnceLock<[AbortHandle; 2]>,
}

#[derive(Default)]
struct Outgoing {
    urgent: VecDeque<Vec<u8>>,
    /// Data and controls of all channels, in the order in which they were sent.
    stream: VecDeque<Vec<u8>>,
    /// Close the socket when all is written.
    finishing: bool,
    closed: Option<ChannelError>,
}

impl Outgoing {
    fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.stream.is_empty()
    }
}

#[derive(Default)]
struct Tables {
    inlets: HashMap<u32, Arc<ChannelQueue>>,
    outlets: HashMap<u32, Arc<Outlet>>,
    next_inlet: u32,
    closed: Option<ChannelError>,
}

/// What the writer is to do.
pub(crate) enum Batch {
    /// Write these.
    Write,
    /// Wait for more.
    Wait,
    /// Everything is written: close the socket.
    Finish,
    /// The connection is broken.
    Stop,
}

impl Connection {
    pub(crate) fn new(peer: Peer, epoch: Epoch, limits: Limits, registry: Arc<Registry>) -> Self {
        Self {
            peer,
            epoch,
            limits,
            registry,
            outgoing: Mutex::default(),
            writable: Notify::new(),
            tables: Mutex::default(),
            buffers: Mutex::default(),
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

    pub(crate) fn is_alive(&self) -> bool {
        lock(&self.outgoing).closed.is_none()
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
        self.send_urgent(encode(number, &Frame::Open(open)));
        Ok(())
    }

    /// Appends a frame to the stream of data and controls.
    pub(crate) fn send(&self, frame: Vec<u8>) -> Result<(), ChannelError> {
        let mut outgoing = lock(&self.outgoing);
        if let Some(cause) = &outgoing.closed {
            return Err(cause.clone());
        }
        let idle = outgoing.is_empty();
        outgoing.stream.push_back(frame);
        drop(outgoing);
        if idle {
            self.writable.notify_one();
        }
        Ok(())
    }

    /// Sends a frame before the data that waits. On a broken connection it goes nowhere, as
    /// everything that it could be about is broken too.
    pub(crate) fn send_urgent(&self, frame: Vec<u8>) {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.closed.is_some() {
            return;
        }
        let idle = outgoing.is_empty();
        outgoing.urgent.push_back(frame);
        drop(outgoing);
        if idle {
            self.writable.notify_one();
        }
    }

    /// Whether so many frames wait for the writer that even watermarks have to wait.
    pub(crate) fn is_congested(&self) -> bool {
        lock(&self.outgoing).stream.len() >= FRAMES_MAX
    }

    /// Moves what is to be written next to `batch`, which is empty.
    pub(crate) fn take_batch(&self, batch: &mut Vec<Vec<u8>>) -> Batch {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.closed.is_some() {
            return Batch::Stop;
        }
        let mut bytes = 0;
        while bytes < BATCH_BYTES && batch.len() < BATCH_FRAMES {
            let urgent = outgoing.urgent.pop_front();
            let Some(frame) = urgent.or_else(|| outgoing.stream.pop_front()) else {
                break;
            };
            bytes += frame.len();
            batch.push(frame);
        }
        match (batch.is_empty(), outgoing.finishing) {
            (false, _) => Batch::Write,
            (true, false) => Batch::Wait,
            (true, true) => Batch::Finish,
        }
    }

    /// Waits until there may be something to write.
    pub(crate) async fn wait_for_work(&self) {
        self.writable.notified().await;
    }

    pub(crate) fn buffer(&self) -> Vec<u8> {
        lock(&self.buffers).pop().unwrap_or_default()
    }

    /// Takes buffers back that were written.
    pub(crate) fn recycle(&self, batch: &mut Vec<Vec<u8>>) {
        let mut buffers = lock(&self.buffers);
        while buffers.len() < BUFFERS_KEPT
            && let Some(buffer) = batch.pop()
        {
            if (BODY_MAX..=BUFFER_BYTES_KEPT).contains(&buffer.capacity()) {
                buffers.push(buffer);
            }
        }
        drop(buffers);
        batch.clear();
    }

    /// Closes the connection once everything has been written.
    pub(crate) fn finish(&self) {
        lock(&self.outgoing).finishing = true;
        self.writable.notify_one();
    }

    /// The connection is broken: so is every channel on it. Only the first cause counts.
    pub(crate) fn fail(&self, cause: ChannelError) {
        let mut outgoing = lock(&self.outgoing);
        if outgoing.closed.is_some() {
            return;
        }
        outgoing.closed = Some(cause.clone());
        let dropped = (
            std::mem::take(&mut outgoing.urgent),
            std::mem::take(&mut outgoing.stream),
        );
        drop(outgoing);
        drop(dropped);
        self.stop_drivers();
        let mut tables = lock(&self.tables);
        tables.closed = Some(cause.clone());
        let inlets = std::mem::take(&mut tables.inlets);
        let outlets = std::mem::take(&mut tables.outlets);
        drop(tables);
        tracing::info!(
            peer = %self.peer,
            channels = inlets.len() + outlets.len(),
            %cause,
            "data connection closed"
        );
        for queue in inlets.into_values() {
            queue.fail(cause.clone());
        }
        for outlet in outlets.into_values() {
            outlet.fail(cause.clone());
        }
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
            self.send_urgent(encode(number, &Frame::Close(cause.to_string())));
            queue.fail(cause);
        }
    }

    /// Does what a frame says. Frames for channels that are gone are what is left of those
    /// channels, and are dropped. An error breaks the connection.
    pub(crate) fn handle(self: &Arc<Self>, number: u32, frame: Frame) -> Result<(), ChannelError> {
        match frame {
            Frame::Open(open) => return self.handle_open(number, &open),
            Frame::Control(control) => self.handle_control(number, control),
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
        Ok(())
    }

    fn handle_open(self: &Arc<Self>, number: u32, open: &Open) -> Result<(), ChannelError> {
        if open.window == 0 || open.fragment == 0 {
            return Err(self.protocol_error("it opened a channel without a window"));
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

    fn handle_control(&self, number: u32, control: Control) {
        let queue = match control {
            Control::EndOfInput => self.remove_inlet(number),
            _ => self.inlet(number),
        };
        let Some(queue) = queue else { return };
        if let Control::Barrier(barrier) = control
            && barrier.epoch != self.epoch
        {
            let (theirs, ours) = (barrier.epoch.0, self.epoch.0);
            return self.break_inlet(number, ChannelError::Stale { theirs, ours });
        }
        if let Err(broken) = queue.push_control(control.into()) {
            self.break_inlet(number, self.protocol_error(broken));
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
            .send_urgent(encode(self.number, &Frame::Credit(bytes)));
    }

    fn closed(&self, cause: &ChannelError) {
        if self.connection.remove_inlet(self.number).is_some() {
            let text = match cause {
                ChannelError::ConsumerGone { cause } => cause.clone(),
                other => other.to_string(),
            };
            self.connection
                .send_urgent(encode(self.number, &Frame::Close(text)));
        }
    }
}
