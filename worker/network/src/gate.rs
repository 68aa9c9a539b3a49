//! The input gate: all channels that one input of a subtask reads from. Flink's `SingleInputGate`.
//!
//! A gate belongs to one task thread. It gives that thread one element at a time, in turn from each
//! channel that has one, except from channels that are blocked for a barrier's alignment. What
//! comes from another process is decoded here, on the thread that consumes it; fragments of a
//! chunk that is larger than the window are put together here too, and give their credit back
//! while the rest is still to come.
//!
//! When a producer breaks off, the gate reports it at the next poll, before what that producer may
//! still have sent: the task is going to fail.

use std::sync::{Arc, Weak};

use crate::partition::{Partition, Target};
use crate::queue::{ChannelQueue, Payload, ReadySet};
use crate::{ChannelError, ChannelSender, Element, GateError, PartitionId, SenderContext, Signal};

/// Limits of a gate's channels.
#[derive(Clone, Copy, Debug)]
pub struct GateOptions {
    /// How many bytes a channel holds before its producer waits. The chunk that goes over it is
    /// still taken, so that a row of any size gets through.
    pub window_bytes: usize,
    /// The largest encoded chunk that is accepted from another process.
    pub chunk_bytes_max: usize,
}

impl Default for GateOptions {
    fn default() -> Self {
        Self {
            window_bytes: 256 << 10,
            chunk_bytes_max: CHUNK_BYTES_MAX,
        }
    }
}

/// The largest encoded chunk, at both ends unless they are told otherwise. A row can be as large.
pub(crate) const CHUNK_BYTES_MAX: usize = 64 << 20;
/// A smaller window would make each row a fragment or two.
const WINDOW_BYTES_MIN: usize = 1 << 10;
/// What a producer is ready to have under way for one channel.
pub(crate) const WINDOW_BYTES_MAX: usize = 64 << 20;

struct Channel {
    queue: Arc<ChannelQueue>,
    /// The fragments so far of a chunk that is not complete.
    fragments: Vec<u8>,
    ended: bool,
}

/// What one input of a subtask reads from.
pub struct InputGate {
    signal: Arc<Signal>,
    ready: Arc<ReadySet>,
    channels: Vec<Channel>,
    /// Which channels are blocked; bits as in the ready set.
    blocked: Vec<u64>,
    /// Whose turn it is next.
    cursor: usize,
    ended: usize,
    chunk_bytes_max: usize,
}

impl InputGate {
    /// A gate of `channels` channels for the thread that waits on `signal`. Hand each channel's
    /// [`Inlet`] to [`crate::Exchange::connect`].
    pub fn new(signal: Arc<Signal>, channels: usize, options: GateOptions) -> Self {
        let ready = Arc::new(ReadySet::new(channels, Arc::clone(&signal)));
        let window = options
            .window_bytes
            .clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let blocked = vec![0; ready.words().len()];
        let channels = (0..channels)
            .map(|index| Channel {
                queue: Arc::new(ChannelQueue::new(index, window, Arc::clone(&ready))),
                fragments: Vec::new(),
                ended: false,
            })
            .collect();
        Self {
            signal,
            ready,
            channels,
            blocked,
            cursor: 0,
            ended: 0,
            chunk_bytes_max: options.chunk_bytes_max,
        }
    }

    /// The end of a channel that the exchange fills.
    pub fn inlet(&self, channel: usize) -> Inlet {
        Inlet {
            queue: Arc::clone(&self.channels[channel].queue),
        }
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// What the gate notifies on.
    pub fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// The next element and the channel it came on, if there is one now. After `None`, wait on
    /// the signal.
    pub fn poll(&mut self) -> Result<Option<(usize, Element)>, GateError> {
        if self.ready.failed() {
            self.find_failure()?;
        }
        while let Some(channel) = self.next_ready() {
            self.cursor = (channel + 1) % self.channels.len();
            if let Some(element) = self.take_from(channel)? {
                return Ok(Some((channel, element)));
            }
        }
        Ok(None)
    }

    /// Takes nothing more from the channel until [`Self::unblock`]: it has seen a barrier that
    /// others have not. Its producer fills the window and then waits.
    pub fn block(&mut self, channel: usize) {
        self.blocked[channel / 64] |= 1 << (channel % 64);
    }

    /// Ends [`Self::block`].
    pub fn unblock(&mut self, channel: usize) {
        self.blocked[channel / 64] &= !(1 << (channel % 64));
    }

    /// Ends [`Self::block`] of all channels.
    pub fn unblock_all(&mut self) {
        self.blocked.fill(0);
    }

    /// Whether every channel has given its end of input.
    pub fn is_finished(&self) -> bool {
        self.ended == self.channels.len()
    }

    /// About how many bytes lie in the gate's queues.
    pub fn bytes_buffered(&self) -> usize {
        self.channels
            .iter()
            .map(|channel| channel.queue.bytes() + channel.fragments.len())
            .sum()
    }

    /// Tells how full the gate's queues are, from any thread and for as long as there is a gate.
    pub fn fill(&self) -> GateFill {
        let queues = self.channels.iter();
        GateFill(
            queues
                .map(|channel| Arc::downgrade(&channel.queue))
                .collect(),
        )
    }

    /// About how many bytes wait in channels that are blocked: what an alignment holds back.
    pub fn bytes_blocked(&self) -> usize {
        let blocked = |index: usize| self.blocked[index / 64] >> (index % 64) & 1 == 1;
        let channels = self.channels.iter().enumerate();
        channels
            .filter(|(index, _)| blocked(*index))
            .map(|(_, channel)| channel.queue.bytes() + channel.fragments.len())
            .sum()
    }

    /// The first channel, from the cursor on, that has something and is not blocked.
    fn next_ready(&self) -> Option<usize> {
        let words = self.ready.words();
        let (first, offset) = (self.cursor / 64, self.cursor % 64);
        let from_cursor = !0_u64 << offset;
        for step in 0..=words.len() {
            let word = (first + step) % words.len();
            let mut bits =
                words[word].load(std::sync::atomic::Ordering::SeqCst) & !self.blocked[word];
            if step == 0 {
                bits &= from_cursor;
            }
            if bits != 0 {
                return Some(word * 64 + bits.trailing_zeros() as usize);
            }
        }
        None
    }

    /// The channel's next element; `None` if only a part of one has come.
    fn take_from(&mut self, index: usize) -> Result<Option<Element>, GateError> {
        let channel = &mut self.channels[index];
        loop {
            let (bytes, more) = match channel.queue.pop() {
                None => return Ok(None),
                Some(Payload::Element(_)) if !channel.fragments.is_empty() => {
                    let cause = "it left a chunk incomplete".to_owned();
                    let cause = ChannelError::Protocol {
                        peer: "the producer".to_owned(),
                        cause,
                    };
                    return Err(gate_error(&channel.queue, index, cause));
                }
                Some(Payload::Element(element)) => {
                    if matches!(element, Element::EndOfInput) && !channel.ended {
                        channel.ended = true;
                        self.ended += 1;
                    }
                    return Ok(Some(element));
                }
                Some(Payload::Fragment { bytes, more }) => (bytes, more),
            };
            if channel.fragments.is_empty() && !more {
                return decode(channel, &bytes).map(Some);
            }
            let total = channel.fragments.len() + bytes.len();
            if total > self.chunk_bytes_max {
                let type_name = channel.queue.codec().map_or("?", |codec| codec.type_name());
                let limit = self.chunk_bytes_max;
                let cause = ChannelError::ChunkTooLarge {
                    type_name,
                    bytes: total,
                    limit,
                };
                return Err(gate_error(&channel.queue, index, cause));
            }
            channel.fragments.extend_from_slice(&bytes);
            if !more {
                let whole = std::mem::take(&mut channel.fragments);
                return decode(channel, &whole).map(Some);
            }
        }
    }

    fn find_failure(&self) -> Result<(), GateError> {
        for (index, channel) in self.channels.iter().enumerate() {
            if let Some(cause) = channel.queue.failure() {
                return Err(gate_error(&channel.queue, index, cause));
            }
        }
        Ok(())
    }
}

impl Drop for InputGate {
    fn drop(&mut self) {
        let cause = ChannelError::ConsumerGone {
            cause: "its input gate was closed".to_owned(),
        };
        for channel in &self.channels {
            channel.queue.close(cause.clone());
        }
    }
}

fn decode(channel: &Channel, bytes: &[u8]) -> Result<Element, GateError> {
    let codec = channel
        .queue
        .codec()
        .expect("fragments come only after a remote connect");
    codec.decode(bytes).map(Element::Chunk).map_err(|error| {
        gate_error(
            &channel.queue,
            channel.queue.index(),
            ChannelError::Codec(error.to_string()),
        )
    })
}

fn gate_error(queue: &ChannelQueue, channel: usize, cause: ChannelError) -> GateError {
    GateError {
        channel,
        partition: queue.partition().map(Box::new),
        cause,
    }
}

/// See [`InputGate::fill`].
#[derive(Debug)]
pub struct GateFill(Vec<Weak<ChannelQueue>>);

impl GateFill {
    /// About how many bytes lie in the gate's queues.
    pub fn bytes(&self) -> usize {
        let queues = self.0.iter().filter_map(Weak::upgrade);
        queues.map(|queue| queue.bytes()).sum()
    }
}

/// The end of a gate's channel that is filled from outside. It stays valid when the gate is gone.
#[derive(Clone)]
pub struct Inlet {
    pub(crate) queue: Arc<ChannelQueue>,
}

impl Inlet {
    /// A sender for a producer of the same process, without an exchange in between.
    pub fn sender(self, partition: PartitionId, context: SenderContext) -> ChannelSender {
        self.queue.name(partition, None);
        let signal = Arc::clone(context.signal());
        let found = Partition::new(partition, None, signal, Weak::new());
        found.claim(Target::Local(self.queue));
        ChannelSender::new(Arc::new(found), context)
    }
}

#[cfg(test)]
mod tests;
