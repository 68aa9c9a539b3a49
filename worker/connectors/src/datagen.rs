//! Records made from their index (Flink's `DataGeneratorSource`).
//!
//! The indices are dealt out in blocks of 1,000: of `p` readers, reader `r` makes the blocks
//! `r, r + p, r + 2p, …`, so that event time advances on all readers together. With a rate, record
//! `n` is due at `start + n / rate`, on a start that all readers share.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use weir_stream::factory::EnumeratorContext;
use weir_stream::source::{Source, SourceOutput, SplitAnswer, SplitBytes, SplitEnumerator};
use weir_stream::{BoxError, Data};
use weir_types::{Clock, EventTime, SubtaskIndex, SystemClock};

use crate::encoding::{EncodingError, decode, encode};
use crate::schedule::is_rate;

mod reader;
mod split;

pub use reader::DatagenReader;

use split::{BLOCK, IndexSplit};

/// A datagen source was asked for something that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum DatagenError {
    /// The rate is zero, negative or no number.
    #[error("a datagen source cannot make {rate} records per second: want a rate above 0")]
    Rate {
        /// The rate asked for.
        rate: f64,
    },
    /// A split that a reader had been given is not one of this source's.
    #[error(
        "a datagen source cannot read a split that came back from reader {reader} ({bytes} bytes): \
         it was written by another source or version, and without it records would be missing"
    )]
    SplitBack {
        /// Who had it.
        reader: SubtaskIndex,
        /// How long it is.
        bytes: usize,
        /// What is wrong with it.
        source: EncodingError,
    },
}

/// Makes the records of a range of indices, or the first of them if the turn is over before: one
/// virtual call for many records. Tells the index after the last.
trait Generate<T>: Send + Sync {
    fn emit(&self, indices: Range<u64>, out: &mut SourceOutput<'_, T>) -> u64;
}

struct Plain<F>(F);

impl<T: Data, F: Fn(u64) -> T + Send + Sync> Generate<T> for Plain<F> {
    fn emit(&self, mut indices: Range<u64>, out: &mut SourceOutput<'_, T>) -> u64 {
        for index in indices.by_ref() {
            out.collect((self.0)(index));
            if out.turn_is_over() {
                break;
            }
        }
        indices.start
    }
}

struct Timed<F>(F);

impl<T: Data, F: Fn(u64) -> (T, EventTime) + Send + Sync> Generate<T> for Timed<F> {
    fn emit(&self, mut indices: Range<u64>, out: &mut SourceOutput<'_, T>) -> u64 {
        for index in indices.by_ref() {
            let (record, time) = (self.0)(index);
            out.collect_at(record, time);
            if out.turn_is_over() {
                break;
            }
        }
        indices.start
    }
}

/// Makes records from their index, from 0 on: without end, or up to a count.
pub struct DatagenSource<T> {
    generator: Arc<dyn Generate<T>>,
    count: Option<u64>,
    rate: Option<f64>,
    start_ms: Option<i64>,
    clock: Arc<dyn Clock>,
}

impl<T> Clone for DatagenSource<T> {
    fn clone(&self) -> Self {
        Self {
            generator: Arc::clone(&self.generator),
            count: self.count,
            rate: self.rate,
            start_ms: self.start_ms,
            clock: Arc::clone(&self.clock),
        }
    }
}

impl<T: Data> DatagenSource<T> {
    /// Record `n` is `generate(n)`. The function should depend on nothing else, so that a job that
    /// goes on from a checkpoint makes the same records.
    pub fn new(generate: impl Fn(u64) -> T + Send + Sync + 'static) -> Self {
        Self::of(Plain(generate))
    }

    /// As [`DatagenSource::new`], with the record's event time.
    pub fn with_timestamps(
        generate: impl Fn(u64) -> (T, EventTime) + Send + Sync + 'static,
    ) -> Self {
        Self::of(Timed(generate))
    }

    fn of(generator: impl Generate<T> + 'static) -> Self {
        Self {
            generator: Arc::new(generator),
            count: None,
            rate: None,
            start_ms: None,
            clock: Arc::new(SystemClock),
        }
    }

    /// Ends after so many records.
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// How many records per second all readers make together. A reader that was held up catches
    /// up at once.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = Some(per_second);
        self
    }

    /// When record 0 is due, in milliseconds since 1970. By default when the first reader asks for
    /// work. Has a meaning only together with a rate.
    pub fn start_at_unix_ms(mut self, start_ms: i64) -> Self {
        self.start_ms = Some(start_ms);
        self
    }

    /// The clock that tells the common start, for tests. Readers use that of their subtask.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

impl<T: Data> Source for DatagenSource<T> {
    type Out = T;
    type Reader = DatagenReader<T>;

    fn kind(&self) -> &'static str {
        "datagen"
    }

    fn bounded(&self) -> bool {
        self.count.is_some()
    }

    fn make_reader(&self) -> DatagenReader<T> {
        DatagenReader::new(
            Arc::clone(&self.generator),
            self.rate,
            Arc::clone(&self.clock),
        )
    }

    fn make_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        if let Some(rate) = self.rate.filter(|rate| !is_rate(*rate)) {
            return Err(DatagenError::Rate { rate }.into());
        }
        let stride = u64::from(context.parallelism.max(1));
        let end = self.count.unwrap_or(u64::MAX);
        let splits = (0..stride).map(|reader| IndexSplit {
            next: reader * BLOCK,
            stride,
            end,
            start_ms: None,
        });
        Ok(Box::new(DatagenEnumerator {
            pending: splits.filter(|split| !split.is_done()).collect(),
            readers: stride,
            start_ms: self.start_ms,
            clock: Arc::clone(&self.clock),
        }))
    }
}

/// Hands each reader its own splits, one unless the parallelism has changed, with the start that
/// all share. A reader never takes over another's: each split spans all event times, so that one
/// that is read after another would be late as a whole.
struct DatagenEnumerator {
    pending: VecDeque<IndexSplit>,
    readers: u64,
    start_ms: Option<i64>,
    clock: Arc<dyn Clock>,
}

impl SplitEnumerator for DatagenEnumerator {
    fn next_split(&mut self, reader: SubtaskIndex) -> Result<SplitAnswer, BoxError> {
        let own = |split: &IndexSplit| split.lane() % self.readers == u64::from(reader.0);
        let place = self.pending.iter().position(own);
        let Some(mut split) = place.and_then(|place| self.pending.remove(place)) else {
            return Ok(SplitAnswer::NoMore);
        };
        split.start_ms = Some(*self.start_ms.get_or_insert_with(|| self.clock.unix_ms()));
        Ok(SplitAnswer::Split(encode(&split)?))
    }

    fn add_splits_back(
        &mut self,
        splits: Vec<SplitBytes>,
        reader: SubtaskIndex,
    ) -> Result<(), BoxError> {
        for bytes in splits.into_iter().rev() {
            let split = decode(&bytes).map_err(|source| DatagenError::SplitBack {
                reader,
                bytes: bytes.len(),
                source,
            })?;
            self.pending.push_front(split);
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        Ok(encode(&self.pending)?)
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), BoxError> {
        self.pending = decode(snapshot)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
