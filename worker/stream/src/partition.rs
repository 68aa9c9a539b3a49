//! The routers that choose a channel for each record: key-by, custom, and those that spread
//! records evenly. They gather rows per channel, so that a consumer gets full chunks however many
//! consumers there are.

use std::marker::PhantomData;

use weir_network::{ChannelOutputs, Chunk, Router, SendError};
use weir_state::{StateKey, key_hash};
use weir_types::{EventTime, KeyGroup, subtask_of_key_group};

use crate::factory::{RouterContext, Spread};
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
        Self {
            rows: Vec::new(),
            timestamps: Vec::new(),
        }
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
        Self {
            choose,
            buffers: (0..channels).map(|_| Buffer::new()).collect(),
        }
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
        let hash = key_hash(&(self.selector)(row)).map_err(|error| SendError::Route {
            cause: error.to_string(),
        })?;
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
    let choose = ByKey {
        selector,
        max_parallelism: max,
        channel_of_group,
        types: PhantomData::<fn(&T) -> K>,
    };
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
    let choose = Custom {
        choose,
        channels: context.channels,
        row: PhantomData,
    };
    Box::new(RowRouter::<T, _>::new(choose, context.channels))
}

struct InTurn {
    next: usize,
    channels: usize,
}

impl<T> Choose<T> for InTurn {
    #[inline]
    fn channel(&mut self, _row: &T) -> Result<usize, SendError> {
        let channel = self.next;
        self.next = if channel + 1 == self.channels {
            0
        } else {
            channel + 1
        };
        Ok(channel)
    }
}

/// splitmix64: good enough to spread, and the same in every run.
struct Random {
    state: u64,
    channels: u64,
}

impl<T> Choose<T> for Random {
    #[inline]
    fn channel(&mut self, _row: &T) -> Result<usize, SendError> {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Ok(((z ^ (z >> 31)) % self.channels) as usize)
    }
}

/// Spreads rows evenly, whatever they are (Flink's `RebalancePartitioner`, `RescalePartitioner`
/// and `ShufflePartitioner`).
pub fn spread_router<T: Data>(spread: Spread, context: &RouterContext) -> Box<dyn Router> {
    let channels = context.channels as u64;
    match spread {
        Spread::InTurn(start) => {
            let next = (start % channels) as usize;
            Box::new(RowRouter::<T, _>::new(
                InTurn {
                    next,
                    channels: context.channels,
                },
                context.channels,
            ))
        }
        Spread::Random(state) => Box::new(RowRouter::<T, _>::new(
            Random { state, channels },
            context.channels,
        )),
    }
}

#[cfg(test)]
mod tests;
