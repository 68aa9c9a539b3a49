//! Routers decide which channel a chunk goes to. Those here look at no record; the typed ones
//! (by key, custom) live where the rows' type is known and gather rows per channel, which is why a
//! router can be flushed. Flink's `ChannelSelector`s, except that the unit is a chunk, not a
//! record.

use crate::{Chunk, SendError};

/// Where a router puts chunks.
pub trait ChannelOutputs {
    /// How many channels there are, at least one.
    fn channels(&self) -> usize;

    /// Sends on one channel; waits while the channel has no room.
    fn send(&mut self, channel: usize, chunk: Box<dyn Chunk>) -> Result<(), SendError>;

    /// Whether a send on the channel would go through without waiting. If not, the task's signal
    /// is notified when there is room again.
    fn has_room(&self, channel: usize) -> bool;
}

/// Puts each chunk, or its rows, on channels.
pub trait Router: Send {
    /// Takes the chunk. It may keep rows back until [`Self::flush`].
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError>;

    /// Sends the rows it kept back.
    fn flush(&mut self, out: &mut dyn ChannelOutputs) -> Result<(), SendError> {
        let _nothing_kept = out;
        Ok(())
    }
}

/// To the one consumer that has the same index (a forward edge has one channel per producer).
#[derive(Clone, Copy, Debug)]
pub struct Forward;

impl Router for Forward {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        debug_assert_eq!(
            out.channels(),
            1,
            "a forward edge has one channel per producer"
        );
        out.send(0, chunk)
    }
}

/// Everything to the first consumer.
#[derive(Clone, Copy, Debug)]
pub struct Global;

impl Router for Global {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        out.send(0, chunk)
    }
}

/// A copy to every consumer.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast;

impl Router for Broadcast {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        let last = out.channels() - 1;
        for channel in 0..last {
            out.send(channel, chunk.clone_chunk())?;
        }
        out.send(last, chunk)
    }
}

/// Round robin over all consumers.
#[derive(Clone, Copy, Debug)]
pub struct Rebalance {
    next: usize,
}

impl Rebalance {
    /// `start` is a random number, so that the producers do not all begin with the same consumer.
    pub fn new(start: u64) -> Self {
        // Halved, so that counting on from it cannot overflow for as long as it matters.
        Self {
            next: usize::try_from(start >> 1).unwrap_or(0),
        }
    }
}

impl Router for Rebalance {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        let channel = self.next % out.channels();
        self.next = channel + 1;
        out.send(channel, chunk)
    }
}

/// Round robin over the few consumers that the graph connects this producer with, from the first.
#[derive(Clone, Copy, Debug)]
pub struct Rescale(Rebalance);

impl Rescale {
    /// Begins with the first.
    pub fn new() -> Self {
        Self(Rebalance { next: 0 })
    }
}

impl Default for Rescale {
    fn default() -> Self {
        Self::new()
    }
}

impl Router for Rescale {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        self.0.route(chunk, out)
    }
}

/// To a random consumer.
#[derive(Clone, Copy, Debug)]
pub struct Shuffle {
    state: u64,
}

impl Shuffle {
    /// The same seed gives the same choices.
    pub fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl Router for Shuffle {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        let channels = out.channels() as u64;
        let channel = usize::try_from(self.next() % channels).unwrap_or(0);
        out.send(channel, chunk)
    }
}
