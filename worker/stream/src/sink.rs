//! Sinks: the last operator of a path.
//!
//! A sink whose results are files or transactions commits them in two phases, so that each record
//! is visible exactly once whatever fails in between (Flink's `TwoPhaseCommittingSink`):
//!
//! ```text
//!  barrier n ─▶ prepare_commit ─▶ handles, kept in snapshot n and in every later one …
//!  n complete ─▶ commit(handles) … until they are committed
//!  restored from n: commit what n holds ─▶ recover: abort what nobody holds ─▶ first record
//! ```
//!
//! Without checkpoints there is one commit, when all subtasks have come to the end of their input.
//! If it fails in one subtask, that one withdraws what it has shown, and the JobManager what the
//! others have: results are there as a whole or not at all, unless a process is killed just then.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_network::Chunk;
use weir_types::{CheckpointId, Clock, ExecutionAttemptId, SystemClock};

use crate::metrics::OperatorMetrics;
use crate::{
    Batch, BoxError, Commit, Data, Operator, OperatorContext, OperatorError, OperatorSnapshot,
    Output, SnapshotRequest,
};

/// What a prepared transaction is known by, in the sink's own encoding: all that another process
/// needs to commit it.
pub type CommitHandle = Vec<u8>;

/// Writes records to the outside. One per subtask.
///
/// A sink whose results are files or transactions writes them under a name that nobody takes for
/// a result, and makes them visible in [`SinkWriter::commit`].
pub trait SinkWriter<T>: Send {
    /// Called once before anything else.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError>;

    /// Called after `open`, when all that the restored checkpoint holds has been committed:
    /// aborts every transaction that is left of older attempts, as no snapshot will ever commit it.
    /// Of `p` subtasks, subtask `i` does so for the former subtasks `j` with `j mod p = i`.
    fn recover(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let _nothing_left = context;
        Ok(())
    }

    /// Takes records.
    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError>;

    /// Nothing will come any more: close what is open, but do not show it yet.
    fn end_input(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Closes what is open and makes it durable, so that committing it can only be delayed, never
    /// refused. From then on it belongs to the handles: neither `close` nor a failure may take it
    /// away.
    ///
    /// `by` is the first that will commit it: a checkpoint, or a later one if that is given up, or
    /// the end of a job without checkpoints. A job never has two checkpoints of one number, nor
    /// prepares an attempt ([`OperatorContext::attempt`], which holds the epoch) twice for one: a
    /// name made of both is that of one transaction, wherever the job goes on from.
    fn prepare_commit(&mut self, by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        let _nothing_to_name = by;
        Ok(Vec::new())
    }

    /// Makes prepared results visible: this writer's, or those of former ones. Some or all may be
    /// visible already: repeating is harmless.
    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        let _nothing_to_show = handles;
        Ok(())
    }

    /// A job without checkpoints fails while its results are made visible: takes back what of
    /// these is visible, and drops the rest.
    fn withdraw(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        let _nothing_to_take_back = handles;
        Ok(())
    }

    /// Called last, also after an error: release everything; what was not prepared is dropped.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Results of a job that fails could not be taken back.
#[derive(Debug, thiserror::Error)]
#[error("some results stay visible, as they could not be taken back ({reason})")]
struct StaysVisible {
    reason: String,
    #[source]
    cause: BoxError,
}

/// Name under which a sink keeps its prepared transactions in a snapshot.
const COMMITTABLES: &str = "committables";

/// What was prepared and is not committed yet, by the checkpoint it was prepared for.
type Committables = BTreeMap<CheckpointId, Vec<CommitHandle>>;

/// A sink as an operator.
pub struct SinkOperator<T, W> {
    writer: W,
    prepared: Committables,
    /// From former subtasks: to be committed before anything else.
    restored: Vec<CommitHandle>,
    clock: Arc<dyn Clock>,
    metrics: Arc<OperatorMetrics>,
    record: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, W: SinkWriter<T>> SinkOperator<T, W> {
    /// Wraps a writer.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            prepared: BTreeMap::new(),
            restored: Vec::new(),
            clock: Arc::new(SystemClock),
            metrics: Arc::default(),
            record: std::marker::PhantomData,
        }
    }

    fn show(&mut self, handles: &[CommitHandle]) -> Result<(), OperatorError> {
        if handles.is_empty() {
            return Ok(());
        }
        let began = self.clock.now();
        self.writer.commit(handles).map_err(OperatorError::Sink)?;
        self.metrics.add_commit(self.clock.now().since(began));
        Ok(())
    }
}

impl<T: Data, W: SinkWriter<T>> Operator for SinkOperator<T, W> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.clock = Arc::clone(&context.clock);
        self.metrics = Arc::clone(&context.metrics);
        self.writer.open(context).map_err(OperatorError::Sink)?;
        let restored = std::mem::take(&mut self.restored);
        self.show(&restored)?;
        self.writer.recover(context).map_err(OperatorError::Sink)
    }

    fn process(
        &mut self,
        _input: usize,
        chunk: Box<dyn Chunk>,
        _out: &mut dyn Output,
    ) -> Result<(), OperatorError> {
        self.writer
            .write(Batch::from_chunk(chunk))
            .map_err(OperatorError::Sink)
    }

    fn end_input(&mut self, _input: usize, _out: &mut dyn Output) -> Result<(), OperatorError> {
        self.writer.end_input().map_err(OperatorError::Sink)
    }

    fn snapshot_begin(
        &mut self,
        request: SnapshotRequest,
    ) -> Result<OperatorSnapshot, OperatorError> {
        let by = Commit::Checkpoint(request.id);
        let handles = self.writer.prepare_commit(by);
        let handles = handles.map_err(OperatorError::Sink)?;
        if !handles.is_empty() {
            self.prepared.entry(request.id).or_default().extend(handles);
        }
        let mut snapshot = OperatorSnapshot::default();
        if !self.prepared.is_empty() {
            let bytes = postcard::to_allocvec(&self.prepared).map_err(|error| {
                OperatorError::Invalid(format!("write prepared transactions: {error}"))
            })?;
            snapshot.raw.insert(COMMITTABLES.to_owned(), bytes);
            snapshot.uncommitted = true;
        }
        Ok(snapshot)
    }

    fn restore(&mut self, snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
        for snapshot in snapshots {
            let Some(bytes) = snapshot.raw.get(COMMITTABLES) else {
                continue;
            };
            let prepared: Committables = postcard::from_bytes(bytes).map_err(|error| {
                OperatorError::Invalid(format!("read prepared transactions: {error}"))
            })?;
            self.restored.extend(prepared.into_values().flatten());
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), OperatorError> {
        match commit {
            Commit::Final => {
                let handles = self.writer.prepare_commit(commit);
                let handles = handles.map_err(OperatorError::Sink)?;
                let earlier = std::mem::take(&mut self.prepared);
                let handles: Vec<_> = earlier.into_values().flatten().chain(handles).collect();
                let Err(cause) = self.show(&handles) else {
                    return Ok(());
                };
                Err(match self.writer.withdraw(&handles) {
                    Ok(()) => cause,
                    Err(error) => OperatorError::Sink(Box::new(StaysVisible {
                        reason: weir_types::causes(error.as_ref()),
                        cause: Box::new(cause),
                    })),
                })
            }
            Commit::Checkpoint(id) => {
                // Those of aborted checkpoints are in this one, too.
                while let Some(first) = self.prepared.first_entry()
                    && *first.key() <= id
                {
                    let handles = first.remove();
                    self.show(&handles)?;
                }
                Ok(())
            }
        }
    }

    fn close(&mut self) -> Result<(), OperatorError> {
        self.writer.close().map_err(OperatorError::Sink)
    }
}

/// A sink as a program names it (Flink's `Sink`).
pub trait Sink: Clone + Send + Sync + 'static {
    /// What it takes.
    type In: Data;
    /// Its writer.
    type Writer: SinkWriter<Self::In> + 'static;

    /// A short word for graphs and metrics, for example `file`.
    fn kind(&self) -> &'static str;

    /// Whether its results stay invisible until [`SinkWriter::commit`].
    fn commits(&self) -> bool {
        false
    }

    /// Takes from the job's configuration what it needs, for example how a bucket is reached.
    /// Called when the program is built, in each process.
    fn configure(&mut self, configuration: &BTreeMap<String, String>) {
        let _ = configuration;
    }

    /// Runs once on the JobManager before anything is deployed: whether the sink can be written
    /// at all, for example that the folder holds no finished results of another run. A job that
    /// was `restored` finds its own results there, and prepared ones that it still has to commit.
    fn check(&self, restored: bool) -> Result<(), BoxError> {
        let _ = restored;
        Ok(())
    }

    /// Runs on the JobManager when a job without checkpoints has failed or was cancelled after its
    /// subtasks were told to commit: takes back what these attempts have made visible. None of
    /// them runs any more.
    fn withdraw(&self, attempts: &[ExecutionAttemptId]) -> Result<(), BoxError> {
        let _nothing_to_take_back = attempts;
        Ok(())
    }

    /// Makes one subtask's writer. No I/O yet: that belongs into [`SinkWriter::open`].
    fn make_writer(&self) -> Self::Writer;
}

#[cfg(test)]
mod tests;
