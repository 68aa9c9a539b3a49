//! Sinks: the last operator of a path.

use weir_network::Chunk;
use weir_types::CheckpointId;

use crate::{
    Batch, BoxError, Commit, Data, Operator, OperatorContext, OperatorError, OperatorSnapshot,
    Output,
};

/// Writes records to the outside. One per subtask.
///
/// A sink whose results are files or transactions writes them under a name that nobody takes for
/// a result, and makes them visible in [`SinkWriter::commit`] (Flink's `TwoPhaseCommittingSink`).
pub trait SinkWriter<T>: Send {
    /// Called once before the first record.
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError>;

    /// Takes records.
    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError>;

    /// Nothing will come any more: close what is open, but do not show it yet.
    fn end_input(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Make results visible. Repeating it is harmless.
    fn commit(&mut self, commit: Commit) -> Result<(), BoxError> {
        let _ = commit;
        Ok(())
    }

    /// Called last, also after an error: release everything; what was not committed stays
    /// invisible.
    fn close(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A sink as an operator.
pub struct SinkOperator<T, W> {
    writer: W,
    record: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, W: SinkWriter<T>> SinkOperator<T, W> {
    /// Wraps a writer.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            record: std::marker::PhantomData,
        }
    }
}

impl<T: Data, W: SinkWriter<T>> Operator for SinkOperator<T, W> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), OperatorError> {
        self.writer.open(context).map_err(OperatorError::Sink)
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

    fn snapshot(&mut self, _id: CheckpointId) -> Result<OperatorSnapshot, OperatorError> {
        Ok(OperatorSnapshot::default())
    }

    fn restore(&mut self, _snapshots: Vec<OperatorSnapshot>) -> Result<(), OperatorError> {
        Ok(())
    }

    fn commit(&mut self, commit: Commit) -> Result<(), OperatorError> {
        self.writer.commit(commit).map_err(OperatorError::Sink)
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

    /// Runs once on the JobManager before anything is deployed: whether the sink can be written
    /// at all, for example that the folder holds no finished results of another run.
    fn check(&self) -> Result<(), BoxError> {
        Ok(())
    }

    /// Makes one subtask's writer. No I/O yet: that belongs into [`SinkWriter::open`].
    fn make_writer(&self) -> Self::Writer;
}
