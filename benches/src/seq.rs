//! A source over the indices `0..total`, cut into blocks; block `b` goes to reader
//! `b % parallelism`, so that event time advances on all readers together. Optionally paced, in an
//! open loop: event `n` is due at `start + n / rate`, however late the source is. The first events
//! may come as fast as they are taken; then `n` counts from there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir::stream::factory::EnumeratorContext;
use weir::stream::source::{
    Poll, Source, SourceOutput, SourceReader, SplitAnswer, SplitBytes, SplitEnumerator,
};
use weir::stream::{BoxError, CHUNK_ROWS, Data, OperatorContext};
use weir::types::{Clock, EventTime, SubtaskIndex, Timestamp};

/// When the paced sources of this process started; 0 before.
static START: AtomicU64 = AtomicU64::new(0);

/// Half a second for all subtasks to come up.
const HEAD_START: Duration = Duration::from_millis(500);

/// How long a paced source with nothing due sleeps.
const PACE: Duration = Duration::from_micros(200);

/// When event 0 was due; set by the first reader.
pub(crate) fn start() -> Timestamp {
    Timestamp(START.load(Ordering::SeqCst))
}

/// Only the first reader of a run sets it.
fn begin(at: Timestamp) {
    START
        .compare_exchange(0, at.0, Ordering::SeqCst, Ordering::SeqCst)
        .ok();
}

/// Another run begins in this process.
pub(crate) fn forget_start() {
    START.store(0, Ordering::SeqCst);
}

/// When an event is due.
pub(crate) fn due(index: u64, rate: u64) -> Timestamp {
    let ns = u128::from(index) * 1_000_000_000 / u128::from(rate.max(1));
    start() + Duration::from_nanos(u64::try_from(ns).unwrap_or(u64::MAX))
}

/// See the module.
pub(crate) struct SeqSource<T, F> {
    make: F,
    event_time: Option<fn(u64, u64) -> i64>,
    total: u64,
    block: u64,
    rate: u64,
    /// Events that are due at once.
    unpaced: u64,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T, F: Clone> Clone for SeqSource<T, F> {
    fn clone(&self) -> Self {
        Self {
            make: self.make.clone(),
            record: self.record,
            ..*self
        }
    }
}

impl<T: Data, F: Fn(u64) -> T + Clone + Send + Sync + 'static> SeqSource<T, F> {
    /// `total` records in blocks of `block`, as fast as they are taken if `rate` is 0.
    pub(crate) fn new(make: F, total: u64, block: u64, rate: u64) -> Self {
        Self {
            make,
            event_time: None,
            total,
            block,
            rate,
            unpaced: 0,
            record: std::marker::PhantomData,
        }
    }

    /// The first events are due at once, and the rate begins behind them.
    pub(crate) fn unpaced_until(mut self, index: u64) -> Self {
        self.unpaced = index;
        self
    }

    /// Gives each record an event time in milliseconds, from its index and the rate.
    #[must_use]
    pub(crate) fn with_event_time(mut self, event_time: fn(u64, u64) -> i64) -> Self {
        self.event_time = Some(event_time);
        self
    }
}

impl<T: Data, F: Fn(u64) -> T + Clone + Send + Sync + 'static> Source for SeqSource<T, F> {
    type Out = T;
    type Reader = Reader<T, F>;

    fn kind(&self) -> &'static str {
        "sequence"
    }

    fn bounded(&self) -> bool {
        true
    }

    fn make_reader(&self) -> Self::Reader {
        Reader {
            source: self.clone(),
            lane: None,
            next: 0,
            clock: None,
            no_more: false,
        }
    }

    fn make_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        Ok(Box::new(Lanes {
            parallelism: context.parallelism,
            given: BTreeSet::new(),
        }))
    }
}

/// Hands each reader its own lane: the blocks with its number modulo the parallelism. No reader
/// takes over another's, as it would be late as a whole.
struct Lanes {
    parallelism: u32,
    given: BTreeSet<SubtaskIndex>,
}

impl SplitEnumerator for Lanes {
    fn next_split(&mut self, reader: SubtaskIndex) -> Result<SplitAnswer, BoxError> {
        if !self.given.insert(reader) {
            return Ok(SplitAnswer::NoMore);
        }
        let lane = [reader.0.to_le_bytes(), self.parallelism.to_le_bytes()].concat();
        Ok(SplitAnswer::Split(lane))
    }

    fn add_splits_back(&mut self, _: Vec<SplitBytes>, _: SubtaskIndex) -> Result<(), BoxError> {
        // A lane belongs to one reader, which has it in its snapshot or begins it again.
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, BoxError> {
        let given = self.given.iter().flat_map(|reader| reader.0.to_le_bytes());
        Ok(given.collect())
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), BoxError> {
        let given = snapshot.chunks_exact(4).map(|bytes| {
            SubtaskIndex(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        });
        self.given = given.collect();
        Ok(())
    }
}

/// Reads one lane.
pub(crate) struct Reader<T, F> {
    source: SeqSource<T, F>,
    lane: Option<(u64, u64)>,
    /// How many records of the lane were read.
    next: u64,
    clock: Option<Arc<dyn Clock>>,
    no_more: bool,
}

impl<T, F> Reader<T, F> {
    /// The first index that is not due yet, if the reader is at this one.
    fn horizon(&self, at: u64) -> u64 {
        let SeqSource { rate, unpaced, .. } = self.source;
        let Some(clock) = &self.clock else {
            return 0;
        };
        if rate == 0 {
            return u64::MAX;
        }
        if at < unpaced {
            return unpaced;
        }
        begin(clock.now());
        let since = clock.now().since(start()).as_nanos();
        if since == 0 {
            return 0;
        }
        let due = u64::try_from(since * u128::from(rate) / 1_000_000_000);
        due.map_or(u64::MAX, |due| due.saturating_add(unpaced + 1))
    }
}

impl<T: Data, F: Fn(u64) -> T + Clone + Send + Sync + 'static> SourceReader<T> for Reader<T, F> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        if self.source.rate > 0 && self.source.unpaced == 0 {
            begin(context.clock.now() + HEAD_START);
        }
        self.clock = Some(Arc::clone(&context.clock));
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        let word = |at: usize| {
            split
                .get(at..at + 4)?
                .try_into()
                .ok()
                .map(u32::from_le_bytes)
        };
        let (Some(lane), Some(lanes)) = (word(0), word(4)) else {
            return Err("a lane is 8 bytes".into());
        };
        if let Some(next) = split.get(8..16) {
            self.next = u64::from_le_bytes(next.try_into()?);
        }
        self.lane = Some((u64::from(lane), u64::from(lanes)));
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.no_more = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        let Some((lane, lanes)) = self.lane else {
            return Ok(if self.no_more {
                Poll::End
            } else {
                Poll::NeedSplit
            });
        };
        let first = (self.next / self.source.block * lanes + lane) * self.source.block;
        let horizon = self.horizon(first + self.next % self.source.block);
        let SeqSource {
            make,
            event_time,
            total,
            block,
            rate,
            ..
        } = &self.source;
        let mut left = CHUNK_ROWS;
        while left > 0 {
            let first = (self.next / block * lanes + lane) * block;
            let mut index = first + self.next % block;
            let end = (first + block)
                .min(*total)
                .min(horizon)
                .min(index.saturating_add(left as u64));
            if index >= *total {
                return Ok(Poll::End);
            }
            if index >= end {
                return Ok(Poll::Wait(PACE));
            }
            self.next += end - index;
            left -= usize::try_from(end - index)?;
            match event_time {
                None => {
                    while index < end {
                        out.collect(make(index));
                        index += 1;
                    }
                }
                Some(time) => {
                    while index < end {
                        out.collect_at(make(index), EventTime(time(index, *rate)));
                        index += 1;
                    }
                }
            }
        }
        Ok(Poll::More)
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        let Some((lane, lanes)) = self.lane else {
            return Ok(Vec::new());
        };
        let word = |value: u64| u32::try_from(value).map(u32::to_le_bytes);
        let mut split = [word(lane)?, word(lanes)?].concat();
        split.extend_from_slice(&self.next.to_le_bytes());
        Ok(vec![split])
    }
}
