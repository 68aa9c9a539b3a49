//! The writer of one subtask: part after part, published together.

use std::marker::PhantomData;

use weir_stream::sink::{CommitHandle, SinkWriter};
use weir_stream::{Batch, BoxError, Commit, Data, OperatorContext};
use weir_types::ExecutionAttemptId;

use super::Options;
use super::error::FileSinkError;
use super::handle::Handle;
use super::part_file::PartFile;
use super::part_name;
use super::target::{self, Target};

/// Writes part files. Made by [`crate::FileSink`].
///
/// Without checkpoints everything is published at the end; a job that never ends publishes nothing
/// then.
pub struct FileWriter<T> {
    options: Options,
    opened: Option<Opened>,
    current: Option<PartFile>,
    /// Complete where they lie, but not prepared: part of no checkpoint.
    finished: Vec<Handle>,
    /// How many parts were begun.
    counter: u32,
    record: PhantomData<fn(T)>,
}

/// What is known from `open` on.
struct Opened {
    target: Box<dyn Target>,
    attempt: ExecutionAttemptId,
}

impl<T> FileWriter<T> {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            opened: None,
            current: None,
            finished: Vec::new(),
            counter: 0,
            record: PhantomData,
        }
    }

    fn opened(&self) -> &Opened {
        let opened = self.opened.as_ref();
        opened.expect("a sink is opened before anything else")
    }

    fn target(&self) -> &dyn Target {
        self.opened().target.as_ref()
    }

    fn begin_part(&mut self) -> Result<&mut PartFile, FileSinkError> {
        if self.current.is_none() {
            let extension = self.options.format.extension();
            let name = part_name::finished(&self.opened().attempt, self.counter, extension);
            let part = self.target().begin(&name)?;
            self.counter += 1;
            self.current = Some(PartFile::new(part, self.options.format));
        }
        Ok(self.current.as_mut().expect("a part was begun just now"))
    }

    fn finish_part(&mut self) -> Result<(), FileSinkError> {
        if let Some(part) = self.current.take() {
            self.finished.push(part.finish()?);
        }
        Ok(())
    }

    fn append(&mut self, batch: &Batch<T>) -> Result<(), FileSinkError>
    where
        T: Data,
    {
        let roll_bytes = self.options.roll_bytes;
        let part = self.begin_part()?;
        part.write(batch.rows())?;
        if part.bytes() >= roll_bytes {
            self.finish_part()?;
        }
        Ok(())
    }

    fn publish(&self, handles: &[CommitHandle]) -> Result<(), FileSinkError> {
        for handle in handles {
            self.target().publish(&Handle::decode(handle)?)?;
        }
        self.target().sync()
    }
}

impl<T: Data> SinkWriter<T> for FileWriter<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let mut target = target::of(&self.options).map_err(FileSinkError::tell)?;
        target.open().map_err(FileSinkError::tell)?;
        self.opened = Some(Opened {
            target,
            attempt: context.attempt,
        });
        Ok(())
    }

    fn recover(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.target()
            .remove_leftovers(&context.attempt, context.parallelism)
            .map_err(FileSinkError::tell)
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        self.append(&batch).map_err(FileSinkError::tell)
    }

    fn end_input(&mut self) -> Result<(), BoxError> {
        self.finish_part().map_err(FileSinkError::tell)
    }

    fn prepare_commit(&mut self, _by: Commit) -> Result<Vec<CommitHandle>, BoxError> {
        self.finish_part().map_err(FileSinkError::tell)?;
        if self.finished.is_empty() {
            return Ok(Vec::new());
        }
        self.target().sync().map_err(FileSinkError::tell)?;
        let handles = self.finished.iter().map(Handle::encode);
        let handles = handles.collect::<Result<_, _>>()?;
        self.finished.clear();
        Ok(handles)
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        self.publish(handles).map_err(FileSinkError::tell)
    }

    fn withdraw(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        for handle in handles {
            let unpublished = Handle::decode(handle).map(|handle| self.target().unpublish(&handle));
            unpublished?.map_err(FileSinkError::tell)?;
        }
        self.target().sync().map_err(FileSinkError::tell)
    }

    fn close(&mut self) -> Result<(), BoxError> {
        self.current = None;
        let finished = std::mem::take(&mut self.finished);
        let Some(opened) = self.opened.take() else {
            return Ok(());
        };
        for handle in &finished {
            opened.target.discard(handle).map_err(FileSinkError::tell)?;
        }
        Ok(())
    }
}
