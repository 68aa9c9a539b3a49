//! The program: what is fed in, and the world outside of it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weir_graph::{EdgeSpec, JobGraph, NodeSpec, Partitioner, Settings, StreamGraphBuilder};
use weir_stream::factory::Factories;
use weir_stream::ops::ReduceOperator;
use weir_stream::partition::hash_router;
use weir_stream::sink::{CommitHandle, SinkOperator, SinkWriter};
use weir_stream::source::{Poll, ReaderSource, SourceOutput, SourceReader, SplitBytes};
use weir_stream::{Batch, BatchCodec, BoxError, Commit, OperatorContext};

use crate::Program;

type Row = (u64, u64);

/// What the sources read: it can be read again.
#[derive(Clone, Default)]
pub(super) struct Feeds(Arc<Mutex<BTreeMap<u32, Feed>>>, Arc<AtomicBool>);

#[derive(Default)]
struct Feed {
    records: Vec<u64>,
    ended: bool,
}

impl Feeds {
    pub(super) fn put(&self, source: u32, records: &[u64]) {
        let mut feeds = self.0.lock().unwrap();
        feeds.entry(source).or_default().records.extend(records);
    }

    /// Whether readers begin with the feed that has their number.
    pub(super) fn set_fresh(&self, fresh: bool) {
        self.1.store(fresh, Ordering::SeqCst);
    }

    pub(super) fn end(&self, source: u32) {
        self.0.lock().unwrap().entry(source).or_default().ended = true;
    }
}

/// A feed and how much of it has been read.
type Split = (u32, usize);

/// Reads the feed with its number, or those that it was restored with.
struct Reader {
    feeds: Feeds,
    subtask: u32,
    splits: Vec<Split>,
}

impl SourceReader<Row> for Reader {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.subtask = context.attempt.subtask.0;
        Ok(())
    }

    fn add_split(&mut self, split: SplitBytes) -> Result<(), BoxError> {
        self.splits.push(postcard::from_bytes(&split)?);
        Ok(())
    }

    fn no_more_splits(&mut self) {}

    fn poll(&mut self, out: &mut SourceOutput<'_, Row>) -> Result<Poll, BoxError> {
        if self.splits.is_empty() && self.feeds.1.load(Ordering::SeqCst) {
            self.splits.push((self.subtask, 0));
        }
        let feeds = self.feeds.0.lock().unwrap();
        let (mut read, mut ended) = (0, !self.splits.is_empty());
        for (feed, position) in &mut self.splits {
            let Some(feed) = feeds.get(feed) else {
                ended = false;
                continue;
            };
            let rest = &feed.records[*position..];
            ended &= rest.is_empty() && feed.ended;
            let turn = &rest[..rest.len().min(100)];
            for key in turn {
                out.collect((*key, 1));
            }
            *position += turn.len();
            read += turn.len();
        }
        Ok(match (read, ended) {
            (0, true) => Poll::End,
            (0, false) => Poll::Wait(Duration::from_millis(1)),
            _ => Poll::More,
        })
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        let splits = self.splits.iter().map(postcard::to_allocvec);
        Ok(splits.collect::<Result<_, _>>()?)
    }
}

/// A transaction's name: epoch, subtask, number.
type Name = (u64, u32, u32);

/// What is outside: transactions that are prepared, and those that are committed.
#[derive(Clone, Default)]
pub(super) struct World(Arc<Mutex<Transactions>>);

#[derive(Default)]
struct Transactions {
    prepared: BTreeMap<Name, Vec<Row>>,
    committed: BTreeMap<Name, Vec<Row>>,
}

impl World {
    pub(super) fn visible(&self) -> Vec<Row> {
        let world = self.0.lock().unwrap();
        let mut rows: Vec<Row> = world.committed.values().flatten().copied().collect();
        rows.sort_unstable();
        rows
    }
}

struct Writer {
    world: World,
    rows: Vec<Row>,
    epoch: u64,
    subtask: u32,
    number: u32,
}

impl SinkWriter<Row> for Writer {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.epoch = context.attempt.epoch.0;
        self.subtask = context.attempt.subtask.0;
        Ok(())
    }

    fn recover(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let mut world = self.world.0.lock().unwrap();
        world.prepared.retain(|(epoch, subtask, _), _| {
            *epoch >= self.epoch || *subtask % context.parallelism != self.subtask
        });
        Ok(())
    }

    fn write(&mut self, batch: Batch<Row>) -> Result<(), BoxError> {
        self.rows.extend(batch.rows());
        Ok(())
    }

    fn prepare_commit(&mut self, _by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        if self.rows.is_empty() {
            return Ok(Vec::new());
        }
        let name = (self.epoch, self.subtask, self.number);
        self.number += 1;
        let rows = std::mem::take(&mut self.rows);
        self.world.0.lock().unwrap().prepared.insert(name, rows);
        Ok(vec![postcard::to_allocvec(&name)?])
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        let mut world = self.world.0.lock().unwrap();
        for handle in handles {
            let name: Name = postcard::from_bytes(handle)?;
            if let Some(rows) = world.prepared.remove(&name) {
                world.committed.insert(name, rows);
            } else if !world.committed.contains_key(&name) {
                return Err(format!("transaction {name:?} was aborted").into());
            }
        }
        Ok(())
    }
}

pub(super) fn program(feeds: &Feeds, world: &World, parallelism: u32) -> Arc<Program> {
    let mut builder = StreamGraphBuilder::new(
        "counts",
        Settings {
            parallelism,
            max_parallelism: Some(16),
            ..Settings::default()
        },
    );
    let source = builder.add_node(NodeSpec::source("source: feed", "(u64, u64)"));
    let mut count = NodeSpec::operator("count", ["(u64, u64)"], "(u64, u64)");
    count.keyed = true;
    let count = builder.add_node(count);
    let mut sink = NodeSpec::sink("sink: world", "(u64, u64)");
    sink.commits = true;
    let sink = builder.add_node(sink);
    let keyed = EdgeSpec::new(source, count).partitioned(Partitioner::Hash);
    let keyed = builder.add_edge(keyed);
    let results = builder.add_edge(EdgeSpec::new(count, sink));
    let graph = builder.build().expect("a graph");

    let mut factories = Factories::default();
    let feeds = feeds.clone();
    let reader = move || Reader {
        feeds: feeds.clone(),
        subtask: 0,
        splits: Vec::new(),
    };
    factories.sources.insert(
        source,
        Arc::new(move || Box::new(ReaderSource::new(reader()))),
    );
    let reduce = || {
        ReduceOperator::new(
            |row: &Row| row.0,
            |into: &mut Row, row: Row| into.1 += row.1,
        )
    };
    factories
        .operators
        .insert(count, Arc::new(move || Box::new(reduce())));
    let world = world.clone();
    let writer = move || Writer {
        world: world.clone(),
        rows: Vec::new(),
        epoch: 0,
        subtask: 0,
        number: 0,
    };
    factories.operators.insert(
        sink,
        Arc::new(move || Box::new(SinkOperator::new(writer()))),
    );
    let key = |row: &Row| row.0;
    factories
        .routers
        .insert(keyed, Arc::new(move |context| hash_router(key, context)));
    for edge in [keyed, results] {
        factories
            .codecs
            .insert(edge, Arc::new(BatchCodec::<Row>::default()));
    }
    let job_graph = JobGraph::from_stream_graph(&graph);
    Arc::new(Program {
        graph,
        job_graph,
        factories,
    })
}
