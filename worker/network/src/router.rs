//! Routers decide which channel a chunk goes to. Those here treat all rows of a chunk alike; those
//! that choose for each row (by key, custom, spreading) live where the rows' type is known and
//! gather rows per channel, which is why a router can be flushed. Flink's `ChannelSelector`s,
//! except that the unit is a chunk, not a record.

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
