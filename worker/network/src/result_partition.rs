//! A subtask's output on one edge: a router and the channels it chooses from. Flink's
//! `ResultPartition` with its `RecordWriter`.

use crate::{ChannelOutputs, ChannelSender, Chunk, Control, Element, Router, SendError};

/// Where a subtask puts what it emits on one edge. It belongs to the task's thread.
pub struct ResultPartition {
    router: Box<dyn Router>,
    outputs: Outputs,
}

struct Outputs(Vec<ChannelSender>);

impl ResultPartition {
    /// An output with the given channels, at least one.
    pub fn new(router: Box<dyn Router>, channels: Vec<ChannelSender>) -> Self {
        assert!(
            !channels.is_empty(),
            "an edge leads to at least one consumer"
        );
        Self {
            router,
            outputs: Outputs(channels),
        }
    }

    /// Sends the rows to where the router puts them; waits while there is no room. The router may
    /// keep rows back until [`Self::flush`].
    pub fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), SendError> {
        if chunk.rows() == 0 {
            return Ok(());
        }
        self.router.route(chunk, &mut self.outputs)
    }

    /// Sends the rows that the router kept back.
    pub fn flush(&mut self) -> Result<(), SendError> {
        self.router.flush(&mut self.outputs)
    }

    /// Puts a control on all channels, after every row that was emitted before it and before every
    /// row that is emitted later.
    pub fn broadcast(&mut self, control: Control) -> Result<(), SendError> {
        self.flush()?;
        for channel in &mut self.outputs.0 {
            channel.send(Element::from(control))?;
        }
        Ok(())
    }

    /// Whether a chunk would go through without waiting, to whichever channel it goes. If not,
    /// the task's signal is notified when there may be room.
    pub fn has_room(&self) -> bool {
        // All are asked, so that each one without room will notify.
        self.outputs
            .0
            .iter()
            .filter(|channel| !channel.has_room())
            .count()
            == 0
    }

    /// How many channels there are.
    pub fn channels(&self) -> usize {
        self.outputs.0.len()
    }

    /// Tells every consumer that has not had its end of input that the task failed. Dropping the
    /// partition does the same without a cause.
    pub fn close(&mut self, cause: &str) {
        for channel in &mut self.outputs.0 {
            channel.close(cause);
        }
    }
}

impl ChannelOutputs for Outputs {
    fn channels(&self) -> usize {
        self.0.len()
    }

    fn send(&mut self, channel: usize, chunk: Box<dyn Chunk>) -> Result<(), SendError> {
        self.0[channel].send(Element::Chunk(chunk))
    }

    fn has_room(&self, channel: usize) -> bool {
        self.0[channel].has_room()
    }
}

#[cfg(test)]
mod tests;
