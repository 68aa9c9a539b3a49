//! The routers that look into records: key-by and custom. They gather rows per channel, so that
//! a consumer gets full chunks however many consumers there are.

use std::marker::PhantomData;

use weir_network::{ChannelOutputs, Chunk, Router, SendError};
use weir_state::{StateKey, key_hash};
use weir_types::{EventTime, KeyGroup, subtask_of_key_group};

use crate::factory::RouterContext;
use crate::{Batch, CHUNK_ROWS, Data};

/// Chooses a row's channel.
trait Choose<T>: Send {
    fn channel(&mut self, row: &T) -> Result<usize, SendError>;
}

/// Rows on their way to one channel.
struct Buffer<T> {
    rows: Vec<T>,
    timestamps: Vec<EventTime>,
}

impl<T: Data> Buffer<T> {
    fn new() -> Self {
        Self { rows: Vec::new(), timestamps: Vec::new() }
    }

    fn take(&mut self) -> Box<dyn Chunk> {
        let rows = std::mem::take(&mut self.rows);
        let timestamps = std::mem::take(&mut self.timestamps);
        Box::new(Batch::with_timestamps(rows, timestamps))
    }
}

/// A router that chooses a channel for each row.
struct RowRouter<T, C> {
    choose: C,
    buffers: Vec<Buffer<T>>,
}

impl<T: Data, C: Choose<T>> RowRouter<T, C> {
    fn new(choose: C, channels: usize) -> Self {
        Self { choose, buffers: (0..channels).map(|_| Buffer::new()).collect() }
    }

    /// All rows of a chunk have an event time or none has, so a change of kind ends the chunks
    /// that were begun.
    fn flush_other_kind(
        &mut self,
        timed: bool,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        for (channel, buffer) in self.buffers.iter_mut().enumerate() {
            if !buffer.rows.is_empty() && buffer.timestamps.is_empty() == timed {
                out.send(channel, buffer.take())?;
            }
        }
        Ok(())
    }
}

impl<T: Data, C: Choose<T>> Router for RowRouter<T, C> {
    fn route(
        &mut self,
        chunk: Box<dyn Chunk>,
        out: &mut dyn ChannelOutputs,
    ) -> Result<(), SendError> {
        let (rows, timestamps) = Batch::<T>::from_chunk(chunk).into_parts();
        self.flush_other_kind(!timestamps.is_empty(), out)?;
        let mut timestamps = timestamps.into_iter();
        for row in rows {
            let channel = self.choose.channel(&row)?;
            let buffer = &mut self.buffers[channel];
            if buffer.rows.capacity() == 0 {
                buffer.rows.reserve_exact(CHUNK_ROWS);
            }
            buffer.rows.push(row);
            if let Some(timestamp) = timestamps.next() {
                buffer.timestamps.push(timestamp);
            }
            if buffer.rows.len() >= CHUNK_ROWS {
                out.send(channel, buffer.take())?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn ChannelOutputs) -> Result<(), SendError> {
        for (channel, buffer) in self.buffers.iter_mut().enumerate() {
            if !buffer.rows.is_empty() {
                out.send(channel, buffer.take())?;
            }
        }
        Ok(())
    }
}

struct ByKey<T, K, F> {
    selector: F,
    max_parallelism: u32,
    channel_of_group: Vec<usize>,
    types: PhantomData<fn(&T) -> K>,
}

impl<T, K: StateKey, F: Fn(&T) -> K + Send> Choose<T> for ByKey<T, K, F> {
    #[inline]
    fn channel(&mut self, row: &T) -> Result<usize, SendError> {
        let hash = key_hash(&(self.selector)(row))
            .map_err(|error| SendError::Route { cause: error.to_string() })?;
        let group = KeyGroup::of_hash(hash, self.max_parallelism);
        Ok(self.channel_of_group[usize::from(group.0)])
    }
}

/// Sends each row to the subtask that its key's key group belongs to (Flink's
/// `KeyGroupStreamPartitioner`).
pub fn hash_router<T, K, F>(selector: F, context: &RouterContext) -> Box<dyn Router>
where
    T: Data,
    K: StateKey,
    F: Fn(&T) -> K + Send + 'static,
{
    let max = context.max_parallelism;
    let channel_of_group = (0..max)
        .map(|group| {
            let group = KeyGroup(u16::try_from(group).unwrap_or(u16::MAX));
            subtask_of_key_group(group, max, context.consumers) as usize
        })
        .collect();
    let choose =
        ByKey { selector, max_parallelism: max, channel_of_group, types: PhantomData::<fn(&T) -> K> };
    Box::new(RowRouter::<T, _>::new(choose, context.channels))
}

struct Custom<T, F> {
    choose: F,
    channels: usize,
    row: PhantomData<fn(&T)>,
}

impl<T, F: FnMut(&T, usize) -> usize + Send> Choose<T> for Custom<T, F> {
    #[inline]
    fn channel(&mut self, row: &T) -> Result<usize, SendError> {
        Ok((self.choose)(row, self.channels) % self.channels)
    }
}

/// Sends each row to the channel that the function chooses from `0..channels`; a larger number is
/// taken modulo the number of channels.
pub fn custom_router<T, F>(choose: F, context: &RouterContext) -> Box<dyn Router>
where
    T: Data,
    F: FnMut(&T, usize) -> usize + Send + 'static,
{
    let choose = Custom { choose, channels: context.channels, row: PhantomData };
    Box::new(RowRouter::<T, _>::new(choose, context.channels))
}
