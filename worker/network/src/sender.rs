//! The producer's end of a channel.
//!
//! A sender starts without a consumer: it holds controls back and lets chunks wait until the
//! consumer comes (see `partition.rs`). From then on it puts elements straight into a local
//! consumer's queue, or encodes them, on the producer's thread, and hands the frames to the
//! connection's writer as the consumer's credit allows.
//!
//! Sending blocks the thread. That is what back-pressure is: the task neither reads nor computes
//! while its consumer has no room. Cancelling the task and the end of the channel wake it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_types::Clock;

use crate::exchange::{DATA_HEADER, Outlet, begin_data, finish_data};
use crate::partition::{Partition, Target};
use crate::queue::PushError;
use crate::{
    CancelToken, ChannelError, Chunk, Control, Element, PartitionId, SendError, Signal,
    TrySendError,
};

/// After so long the time waited is added to the metric, though the wait goes on.
const ACCOUNT_EVERY: Duration = Duration::from_millis(100);

/// How long a watermark waits before it looks again whether the socket's writer has caught up.
const WRITER_POLL: Duration = Duration::from_millis(10);

/// What the senders of one task share.
#[derive(Clone)]
pub struct SenderContext {
    cancel: CancelToken,
    clock: Arc<dyn Clock>,
    blocked_ns: Arc<AtomicU64>,
}

impl SenderContext {
    /// For the thread whose token it is.
    pub fn new(cancel: CancelToken, clock: Arc<dyn Clock>) -> Self {
        Self {
            cancel,
            clock,
            blocked_ns: Arc::new(AtomicU64::new(0)),
        }
    }

    /// How long the task has waited for room in any of its channels: its back-pressured time.
    /// The counter grows while it waits, too.
    pub fn blocked_ns(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.blocked_ns)
    }

    pub(crate) fn signal(&self) -> &Arc<Signal> {
        self.cancel.signal()
    }

    /// Waits for a notification and accounts for the time.
    fn wait(&self, partition: PartitionId, at_most: Duration) -> Result<(), SendError> {
        self.check(partition)?;
        let before = self.clock.now();
        self.signal().wait(Some(at_most));
        let waited = self.clock.now().since(before);
        let ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.blocked_ns.fetch_add(ns, Ordering::Relaxed);
        self.check(partition)
    }

    fn check(&self, partition: PartitionId) -> Result<(), SendError> {
        if self.cancel.is_cancelled() {
            return Err(SendError::Cancelled { partition });
        }
        Ok(())
    }
}

/// Sends to one consumer. It belongs to the producing task's thread.
///
/// Dropped before it has sent the end of input, it fails the consumer.
pub struct ChannelSender {
    partition: Arc<Partition>,
    /// Where the consumer is, once it has come.
    target: Option<Target>,
    context: SenderContext,
    ended: bool,
}

impl ChannelSender {
    pub(crate) fn new(partition: Arc<Partition>, context: SenderContext) -> Self {
        Self {
            partition,
            target: None,
            context,
            ended: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn context(&self) -> &SenderContext {
        &self.context
    }

    /// What it sends.
    pub fn partition(&self) -> PartitionId {
        self.partition.id()
    }

    /// Sends; waits while the channel has no room for a chunk. Controls never wait for room.
    ///
    /// A wait uses up notifications of the task's signal: look at everything else that notifies
    /// there before waiting on it.
    pub fn send(&mut self, element: Element) -> Result<(), SendError> {
        let partition = self.partition.id();
        self.context.check(partition)?;
        if self.ended {
            return Err(SendError::Ended { partition });
        }
        let Some(control) = element.control() else {
            return self.send_chunk(element);
        };
        self.send_control(control)?;
        self.ended = control == Control::EndOfInput;
        Ok(())
    }

    /// Sends if that is possible without waiting. (A chunk that is larger than the window of a
    /// remote channel waits for the rest of its credit all the same.)
    pub fn try_send(&mut self, element: Element) -> Result<(), TrySendError> {
        if matches!(element, Element::Chunk(_)) && !self.has_room() {
            self.context.check(self.partition.id())?;
            return Err(TrySendError::Full(element));
        }
        Ok(self.send(element)?)
    }

    /// Whether a chunk would go without waiting. If not, the task's signal is notified when it
    /// would. A broken channel has room: the send says what is wrong.
    pub fn has_room(&self) -> bool {
        match &self.target {
            Some(target) => target.has_room(),
            None => match self.partition.target() {
                Ok(target) => target.is_some_and(|target| target.has_room()),
                Err(_) => true,
            },
        }
    }

    /// Tells the consumer that the producer failed, unless it has had its end of input. Nothing
    /// can be sent afterwards.
    pub fn close(&mut self, cause: &str) {
        if !self.ended {
            self.ended = true;
            self.partition.abandon(ChannelError::ProducerGone {
                cause: cause.to_owned(),
            });
        }
    }

    fn target(&mut self) -> Result<Option<&Target>, SendError> {
        if self.target.is_none() {
            let partition = self.partition.id();
            let target = self.partition.target();
            self.target = target.map_err(|cause| SendError::Channel { partition, cause })?;
        }
        Ok(self.target.as_ref())
    }

    fn send_chunk(&mut self, mut element: Element) -> Result<(), SendError> {
        let partition = self.partition.id();
        loop {
            match self.target()? {
                None => {}
                Some(Target::Local(queue)) => match queue.try_push(element) {
                    Ok(()) => return Ok(()),
                    Err(PushError::Closed(cause)) => {
                        return Err(SendError::Channel { partition, cause });
                    }
                    Err(PushError::Full(back)) => element = back,
                },
                Some(Target::Remote(outlet)) => {
                    let outlet = Arc::clone(outlet);
                    let Element::Chunk(chunk) = element else {
                        return Ok(());
                    };
                    return self
                        .send_remote(&outlet, chunk)
                        .map_err(|failed| failed.at(partition));
                }
            }
            self.context.wait(partition, ACCOUNT_EVERY)?;
        }
    }

    fn send_control(&mut self, control: Control) -> Result<(), SendError> {
        let partition = self.partition.id();
        let failed = |cause| SendError::Channel { partition, cause };
        loop {
            match self.target()? {
                None => {
                    if self.partition.hold_back(control) {
                        return Ok(());
                    }
                }
                Some(Target::Local(queue)) => {
                    return match queue.try_push(control.into()) {
                        Ok(()) | Err(PushError::Full(_)) => Ok(()),
                        Err(PushError::Closed(cause)) => Err(failed(cause)),
                    };
                }
                Some(Target::Remote(outlet)) => {
                    if outlet.send_control(control).map_err(failed)? {
                        return Ok(());
                    }
                    self.context.wait(partition, WRITER_POLL)?;
                }
            }
        }
    }

    /// Sends a chunk, and one over the limit as several: it holds as many rows as came together,
    /// all of which may be large. Only a single row over the limit is an error.
    fn send_remote(&self, outlet: &Outlet, mut chunk: Box<dyn Chunk>) -> Result<(), Failed> {
        // The parts of the chunk that follow this one, the next one last.
        let mut later = Vec::new();
        loop {
            self.wait_for_credit(outlet)?;
            let frame = match self.encode(outlet, &*chunk) {
                Ok(frame) => frame,
                Err(too_large @ ChannelError::ChunkTooLarge { .. }) => {
                    let partition = self.partition.id();
                    self.context.check(partition).map_err(Failed::Send)?;
                    later.push(halve(&mut *chunk).ok_or(too_large)?);
                    continue;
                }
                Err(cause) => return Err(cause.into()),
            };
            drop(chunk);
            self.send_encoded(outlet, frame)?;
            match later.pop() {
                Some(next) => chunk = next,
                None => return Ok(()),
            }
        }
    }

    /// A data frame with the whole chunk, whose header is not filled in.
    fn encode(&self, outlet: &Outlet, chunk: &dyn Chunk) -> Result<Vec<u8>, ChannelError> {
        let codec = self.partition.codec();
        let limit = outlet.chunk_bytes_max();
        let mut frame = outlet.buffer();
        begin_data(&mut frame);
        codec
            .encode_within(chunk, &mut frame, limit.saturating_add(DATA_HEADER))
            .map_err(|e| ChannelError::Codec(e.to_string()))?;
        let bytes = frame.len().saturating_sub(DATA_HEADER);
        if bytes > limit {
            let type_name = codec.type_name();
            return Err(ChannelError::ChunkTooLarge {
                type_name,
                bytes,
                limit,
            });
        }
        Ok(frame)
    }

    /// Sends an encoded chunk, in fragments if it is larger than one may be.
    fn send_encoded(&self, outlet: &Outlet, mut frame: Vec<u8>) -> Result<(), Failed> {
        let payload = frame.len().saturating_sub(DATA_HEADER);
        if payload <= outlet.fragment() {
            finish_data(&mut frame, outlet.number(), false);
            return self.send_frame(outlet, frame);
        }
        let parts = frame[DATA_HEADER..].chunks(outlet.fragment());
        let last = parts.len() - 1;
        for (n, part) in parts.enumerate() {
            let mut fragment = outlet.buffer();
            begin_data(&mut fragment);
            fragment.extend_from_slice(part);
            finish_data(&mut fragment, outlet.number(), n < last);
            self.wait_for_credit(outlet)?;
            self.send_frame(outlet, fragment)?;
        }
        Ok(())
    }

    fn wait_for_credit(&self, outlet: &Outlet) -> Result<(), Failed> {
        while !outlet.has_room() {
            self.context
                .wait(self.partition.id(), ACCOUNT_EVERY)
                .map_err(Failed::Send)?;
        }
        Ok(())
    }

    fn send_frame(&self, outlet: &Outlet, frame: Vec<u8>) -> Result<(), Failed> {
        // Only this thread takes from the credit, so there still is some.
        Ok(outlet.send_data(frame)?)
    }
}

impl Drop for ChannelSender {
    fn drop(&mut self) {
        self.close("it ended before its end of input");
    }
}

enum Failed {
    Send(SendError),
    Channel(ChannelError),
}

impl From<ChannelError> for Failed {
    fn from(cause: ChannelError) -> Self {
        Self::Channel(cause)
    }
}

impl Failed {
    fn at(self, partition: PartitionId) -> SendError {
        match self {
            Self::Send(error) => error,
            Self::Channel(cause) => SendError::Channel { partition, cause },
        }
    }
}

/// Takes the second half of the rows out of the chunk, if there are two and they can be parted.
fn halve(chunk: &mut dyn Chunk) -> Option<Box<dyn Chunk>> {
    let rows = chunk.rows();
    if rows < 2 {
        return None;
    }
    chunk.split_off(rows / 2)
}
