//! Sources: an enumerator on the JobManager finds and hands out splits, readers read them
//! (Flink's FLIP-27 `Source`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_types::{Clock, EventTime, SubtaskIndex};

use crate::factory::EnumeratorContext;
use crate::metrics::OperatorMetrics;
use crate::{BoxError, Data, Emitter, OperatorContext, OperatorError, OperatorSnapshot, Output};

/// A split on its way between enumerator and reader: written and read by the source itself.
pub type SplitBytes = Vec<u8>;

/// The enumerator's answer to a reader that asks for work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitAnswer {
    /// Read this.
    Split(SplitBytes),
    /// Nothing now; ask again after this time.
    NotYet(Duration),
    /// There will never be more.
    NoMore,
}

/// Finds a source's splits and hands them out. One per source, on the JobManager. Calls come from
/// one thread, and may block for I/O.
pub trait SplitEnumerator: Send {
    /// Work for a reader that has none.
    fn next_split(&mut self, reader: SubtaskIndex) -> Result<SplitAnswer, BoxError>;

    /// Splits that were handed out after the checkpoint that is being restored: hand them out
    /// again. A split that is lost here is records lost, so what cannot be taken is an error, and
    /// fails the job.
    fn add_splits_back(
        &mut self,
        splits: Vec<SplitBytes>,
        reader: SubtaskIndex,
    ) -> Result<(), BoxError>;

    /// What a checkpoint keeps of the enumerator.
    fn snapshot(&mut self) -> Result<Vec<u8>, BoxError>;

    /// Goes on from a checkpoint.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), BoxError>;
}

/// What a reader says after each turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// There may be more at once.
    More,
    /// Nothing now: come back after this time, or when woken.
    Wait(Duration),
    /// The reader has read all its splits and wants another.
    NeedSplit,
    /// Nothing will come any more.
    End,
}

/// Reads splits. One per subtask.
///
/// A turn emits at most about one chunk of records and never blocks for long, so that the subtask
/// answers to control mail. A reader whose records may each take long (a user's function makes
/// them) asks between two of them whether [`SourceOutput::turn_is_over`].
pub trait SourceReader<T>: Send {
    /// Called once before the first turn.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError>;

    /// A split to read, after [`Poll::NeedSplit`].
    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError>;

    /// No split will come any more: say [`Poll::End`] when all is read.
    fn no_more_splits(&mut self);

    /// Takes one turn.
    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError>;

    /// What is left to read of the splits held, as splits.
    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError>;
}

/// How long a turn may go on.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// How many records it may emit, about.
    pub records_max: usize,
    /// Something else is to be done: the subtask is cancelled, or mail has come.
    pub is_called: &'a AtomicBool,
}

impl Turn<'_> {
    /// As long as the reader wants.
    pub fn whole() -> Self {
        static NOBODY_CALLS: AtomicBool = AtomicBool::new(false);
        Self {
            records_max: usize::MAX,
            is_called: &NOBODY_CALLS,
        }
    }
}

/// Where a reader puts its records.
pub struct SourceOutput<'a, T> {
    emitter: &'a mut Emitter<T>,
    out: &'a mut dyn Output,
    records: &'a mut u64,
    turn: Turn<'a>,
}

impl<T: Data> SourceOutput<'_, T> {
    /// Emits a record without event time.
    #[inline]
    pub fn collect(&mut self, record: T) {
        *self.records += 1;
        self.emitter.collector(None, self.out).collect(record);
    }

    /// Whether the reader should come to the end of its turn, between two records. It costs less
    /// than a record.
    #[inline]
    pub fn turn_is_over(&self) -> bool {
        *self.records >= self.turn.records_max as u64 || self.turn.is_called.load(Ordering::Relaxed)
    }

    /// Emits a record with its event time.
    #[inline]
    pub fn collect_at(&mut self, record: T, timestamp: EventTime) {
        *self.records += 1;
        self.emitter
            .collector(None, self.out)
            .collect_at(record, timestamp);
    }
}

/// A source's reader as the runtime sees it.
pub trait AnySource: Send {
    /// Called once before the first turn.
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError>;
    /// See [`SourceReader::add_split`].
    fn add_split(&mut self, split: SplitBytes) -> Result<(), OperatorError>;
    /// See [`SourceReader::no_more_splits`].
    fn no_more_splits(&mut self);
    /// Takes one turn and passes on all it emitted; also tells how many records that were.
    fn poll(&mut self, turn: Turn<'_>, out: &mut dyn Output) -> Result<(Poll, u64), OperatorError>;
    /// What is left to read.
    fn snapshot(&mut self) -> Result<OperatorSnapshot, OperatorError>;
    /// Splits from a checkpoint.
    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError>;
}

/// Name under which a source keeps its splits in a snapshot.
const SPLITS: &str = "splits";

/// Erases the type of a reader.
pub struct ReaderSource<T, R> {
    reader: R,
    emitter: Emitter<T>,
    restored: Vec<SplitBytes>,
    /// From the opening on: whom to tell how old its records are.
    lag: Option<(Arc<OperatorMetrics>, Arc<dyn Clock>)>,
}

impl<T: Data, R: SourceReader<T>> ReaderSource<T, R> {
    /// Wraps a reader.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            emitter: Emitter::default(),
            restored: Vec::new(),
            lag: None,
        }
    }
}

impl<T: Data, R: SourceReader<T>> AnySource for ReaderSource<T, R> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.reader.open(context).map_err(OperatorError::Source)?;
        self.lag = Some((Arc::clone(&context.metrics), Arc::clone(&context.clock)));
        for split in std::mem::take(&mut self.restored) {
            self.add_split(split)?;
        }
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), OperatorError> {
        self.reader.add_split(split).map_err(OperatorError::Source)
    }

    fn no_more_splits(&mut self) {
        self.reader.no_more_splits();
    }

    fn poll(&mut self, turn: Turn<'_>, out: &mut dyn Output) -> Result<(Poll, u64), OperatorError> {
        let mut records = 0;
        let mut output = SourceOutput {
            emitter: &mut self.emitter,
            out,
            records: &mut records,
            turn,
        };
        let poll = self
            .reader
            .poll(&mut output)
            .map_err(OperatorError::Source)?;
        self.emitter.flush(out)?;
        if let (Some(newest), Some((metrics, clock))) = (self.emitter.take_newest(), &self.lag) {
            metrics.set_newest_event_time(newest, &**clock);
        }
        Ok((poll, records))
    }

    fn snapshot(&mut self) -> Result<OperatorSnapshot, OperatorError> {
        let splits = self.reader.snapshot().map_err(OperatorError::Source)?;
        let bytes = postcard::to_allocvec(&splits)
            .map_err(|error| OperatorError::Invalid(format!("write split states: {error}")))?;
        let mut snapshot = OperatorSnapshot::default();
        snapshot.raw.insert(SPLITS.to_owned(), bytes);
        Ok(snapshot)
    }

    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
        for snapshot in snapshots {
            let Some(bytes) = snapshot.raw.get(SPLITS) else {
                continue;
            };
            let splits: Vec<SplitBytes> = postcard::from_bytes(bytes)
                .map_err(|error| OperatorError::Invalid(format!("read split states: {error}")))?;
            self.restored.extend(splits);
        }
        Ok(())
    }
}

/// A source as a program names it: makes the enumerator on the JobManager and a reader in each
/// subtask (Flink's `Source`).
pub trait Source: Clone + Send + Sync + 'static {
    /// What it reads.
    type Out: Data;
    /// Its reader.
    type Reader: SourceReader<Self::Out> + 'static;

    /// A short word for graphs and metrics, for example `file`.
    fn kind(&self) -> &'static str;

    /// Whether it ends by itself.
    fn bounded(&self) -> bool;

    /// Whether it can have one reader only, as a socket does.
    fn non_parallel(&self) -> bool {
        false
    }

    /// Makes one subtask's reader. No I/O yet: that belongs into [`SourceReader::open`].
    fn make_reader(&self) -> Self::Reader;

    /// Makes the enumerator. Runs on the JobManager before anything is deployed, may do I/O, and
    /// fails when there is nothing to read from.
    fn make_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError>;
}
