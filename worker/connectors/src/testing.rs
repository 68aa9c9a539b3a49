//! What the tests of this crate share: a job of one source and nothing else.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use weir_network::{CancelToken, Chunk};
use weir_state::HeapFactory;
use weir_stream::factory::EnumeratorContext;
use weir_stream::metrics::OperatorMetrics;
use weir_stream::source::{
    AnySource, Poll, ReaderSource, Source, SplitAnswer, SplitBytes, SplitEnumerator, Turn,
};
use weir_stream::{
    Batch, Control, Data, OperatorContext, OperatorError, OperatorSnapshot, Output, SideOutputId,
};
use weir_types::{
    AttemptNumber, Clock, Epoch, EventTime, ExecutionAttemptId, KeyGroupRange, OperatorId,
    SubtaskIndex, SystemClock, VertexId,
};

/// The context of one subtask.
pub(crate) fn context(subtask: u32, parallelism: u32) -> OperatorContext {
    OperatorContext {
        operator: OperatorId::from_text("tested"),
        name: "tested".into(),
        attempt: ExecutionAttemptId {
            epoch: Epoch(1),
            vertex: VertexId::from_text("tested"),
            subtask: SubtaskIndex(subtask),
            attempt: AttemptNumber(0),
        },
        parallelism,
        max_parallelism: 128,
        key_groups: KeyGroupRange::of_subtask(128, parallelism, subtask),
        clock: Arc::new(SystemClock),
        state_backend: Arc::new(HeapFactory),
        cancel: CancelToken::default(),
        metrics: Arc::new(OperatorMetrics::default()),
    }
}

/// Keeps the rows that come out.
pub(crate) struct Rows<T>(pub(crate) Vec<(T, Option<EventTime>)>);

impl<T: Data> Output for Rows<T> {
    fn emit(&mut self, chunk: Box<dyn Chunk>) -> Result<(), OperatorError> {
        let batch = Batch::<T>::from_chunk(chunk);
        let (rows, times) = batch.into_parts();
        let mut times = times.into_iter();
        self.0
            .extend(rows.into_iter().map(|row| (row, times.next())));
        Ok(())
    }

    fn emit_side(&mut self, _: &SideOutputId, _: Box<dyn Chunk>) -> Result<(), OperatorError> {
        unreachable!("sources have no side outputs")
    }

    fn control(&mut self, _: Control) -> Result<(), OperatorError> {
        Ok(())
    }
}

/// One reader of a source and what it has emitted.
pub(crate) struct TestReader<S: Source> {
    pub(crate) reader: ReaderSource<S::Out, S::Reader>,
    pub(crate) out: Rows<S::Out>,
    pub(crate) context: OperatorContext,
}

impl<S: Source> TestReader<S> {
    /// An open reader.
    pub(crate) fn open(source: &S, context: OperatorContext) -> Self {
        Self::restored(source, context, &[])
    }

    /// An open reader that goes on from a snapshot.
    pub(crate) fn restored(
        source: &S,
        context: OperatorContext,
        snapshots: &[OperatorSnapshot],
    ) -> Self {
        let mut reader = ReaderSource::new(source.make_reader());
        reader.restore(snapshots.to_vec()).expect("restores");
        reader.open(&context).expect("opens");
        Self {
            reader,
            out: Rows(Vec::new()),
            context,
        }
    }

    /// One turn. The enumerator is asked for work as soon as there is none.
    pub(crate) fn turn(
        &mut self,
        enumerator: &mut dyn SplitEnumerator,
    ) -> Result<Poll, OperatorError> {
        self.turn_of(Turn::whole(), enumerator)
    }

    /// A turn that may end early.
    pub(crate) fn turn_of(
        &mut self,
        turn: Turn<'_>,
        enumerator: &mut dyn SplitEnumerator,
    ) -> Result<Poll, OperatorError> {
        let (poll, _) = self.reader.poll(turn, &mut self.out)?;
        if poll == Poll::NeedSplit {
            match enumerator
                .next_split(self.context.attempt.subtask)
                .expect("answers")
            {
                SplitAnswer::Split(split) => self.reader.add_split(split)?,
                SplitAnswer::NotYet(_) => unreachable!("no source here waits for splits"),
                SplitAnswer::NoMore => self.reader.no_more_splits(),
            }
        }
        Ok(poll)
    }

    /// Turns until the end.
    pub(crate) fn run(
        &mut self,
        enumerator: &mut dyn SplitEnumerator,
    ) -> Result<(), OperatorError> {
        while self.turn(enumerator)? != Poll::End {}
        Ok(())
    }

    /// What a checkpoint would keep of it.
    pub(crate) fn snapshot(&mut self) -> OperatorSnapshot {
        self.reader.snapshot().expect("can be written")
    }

    /// The rows that came out.
    pub(crate) fn rows(self) -> Vec<S::Out> {
        self.out.0.into_iter().map(|(row, _)| row).collect()
    }
}

/// Counts the rows of each turn while the reader is always called, as one whose subtask has mail.
pub(crate) fn turns_of_a_called_reader<S: Source>(source: &S) -> (Vec<usize>, Vec<S::Out>) {
    let is_called = AtomicBool::new(true);
    let turn = Turn {
        records_max: usize::MAX,
        is_called: &is_called,
    };
    let mut splits = enumerator(source, 1);
    let mut reader = TestReader::open(source, context(0, 1));
    let mut turns = Vec::new();
    loop {
        let before = reader.out.0.len();
        let poll = reader.turn_of(turn, &mut *splits).expect("reads");
        let rows = reader.out.0.len() - before;
        if rows > 0 {
            turns.push(rows);
        }
        if poll == Poll::End {
            return (turns, reader.rows());
        }
    }
}

/// The enumerator of a source.
pub(crate) fn enumerator<S: Source>(source: &S, parallelism: u32) -> Box<dyn SplitEnumerator> {
    source
        .make_enumerator(&EnumeratorContext {
            parallelism,
            restored: false,
        })
        .expect("there is something to read")
}

/// Everything that one reader reads.
pub(crate) fn read_all<S: Source>(source: &S) -> Result<Vec<S::Out>, OperatorError> {
    let mut reader = TestReader::open(source, context(0, 1));
    reader.run(&mut *enumerator(source, 1))?;
    Ok(reader.rows())
}

/// All splits an enumerator has left.
pub(crate) fn splits(enumerator: &mut dyn SplitEnumerator) -> Vec<SplitBytes> {
    let mut splits = Vec::new();
    while let SplitAnswer::Split(split) = enumerator.next_split(SubtaskIndex(0)).expect("answers") {
        splits.push(split);
    }
    splits
}

/// The innermost cause.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

/// A clock to move by hand.
pub(crate) fn with_clock(mut context: OperatorContext, clock: Arc<dyn Clock>) -> OperatorContext {
    context.clock = clock;
    context
}
