//! A program of a source of numbers and a sink that publishes them, in two vertices.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weir_graph::{ChainingStrategy, EdgeSpec, JobGraph, NodeSpec, Settings, StreamGraphBuilder};
use weir_stream::factory::Factories;
use weir_stream::sink::{CommitHandle, SinkOperator, SinkWriter};
use weir_stream::source::{Poll, ReaderSource, SourceOutput, SourceReader, SplitBytes};
use weir_stream::{Batch, BatchCodec, BoxError, Commit, OperatorContext};
use weir_task::Program;

/// What the program has done so far.
#[derive(Clone, Default)]
pub(super) struct Published {
    rows: Arc<Mutex<Vec<u64>>>,
    readers: Arc<AtomicUsize>,
}

impl Published {
    pub(super) fn rows(&self) -> Vec<u64> {
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Readers that are alive.
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }
}

/// A split is one byte: how many numbers there are. An endless one repeats them.
struct Numbers {
    endless: bool,
    splits: VecDeque<SplitBytes>,
    no_more: bool,
    alive: Arc<AtomicUsize>,
}

impl SourceReader<u64> for Numbers {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        self.alive.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        self.splits.push_back(split);
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.no_more = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, u64>) -> Result<Poll, BoxError> {
        let Some(split) = self.splits.front() else {
            return Ok(if self.no_more {
                Poll::End
            } else {
                Poll::NeedSplit
            });
        };
        for number in 0..u64::from(split[0]) {
            out.collect(number);
        }
        if self.endless {
            return Ok(Poll::Wait(Duration::from_millis(1)));
        }
        self.splits.pop_front();
        Ok(Poll::More)
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        Ok(Vec::new())
    }
}

impl Drop for Numbers {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Publisher {
    waiting: Vec<u64>,
    published: Published,
}

impl SinkWriter<u64> for Publisher {
    fn open(&mut self, _context: &OperatorContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn write(&mut self, batch: Batch<u64>) -> Result<(), BoxError> {
        self.waiting.extend(batch.rows());
        Ok(())
    }

    fn prepare_commit(&mut self, _by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        Ok(vec![CommitHandle::new()])
    }

    fn commit(&mut self, _handles: &[CommitHandle]) -> Result<(), BoxError> {
        let mut rows = self
            .published
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        rows.append(&mut self.waiting);
        Ok(())
    }
}

pub(super) fn numbers(endless: bool) -> (Arc<Program>, Published) {
    let mut builder = StreamGraphBuilder::new("numbers", Settings::default());
    let mut source = NodeSpec::source("source: numbers", "u64");
    source.bounded = !endless;
    let source = builder.add_node(source);
    let mut sink = NodeSpec::sink("sink: publish", "u64");
    sink.commits = true;
    sink.chaining = ChainingStrategy::Never;
    let sink = builder.add_node(sink);
    let edge = builder.add_edge(EdgeSpec::new(source, sink));
    let graph = builder.build().expect("a graph");

    let published = Published::default();
    let mut factories = Factories::default();
    let alive = Arc::clone(&published.readers);
    let reader = move || {
        let alive = Arc::clone(&alive);
        Numbers {
            endless,
            splits: VecDeque::new(),
            no_more: false,
            alive,
        }
    };
    factories.sources.insert(
        source,
        Arc::new(move || Box::new(ReaderSource::new(reader()))),
    );
    let shared = published.clone();
    let writer = move || Publisher {
        waiting: Vec::new(),
        published: shared.clone(),
    };
    factories.operators.insert(
        sink,
        Arc::new(move || Box::new(SinkOperator::new(writer()))),
    );
    factories
        .codecs
        .insert(edge, Arc::new(BatchCodec::<u64>::default()));
    let job_graph = JobGraph::from_stream_graph(&graph);
    (
        Arc::new(Program {
            graph,
            job_graph,
            factories,
        }),
        published,
    )
}
