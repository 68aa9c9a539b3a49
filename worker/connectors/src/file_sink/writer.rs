//! The writer of one subtask: part after part, published together.

use std::fs::File;
use std::marker::PhantomData;
use std::path::PathBuf;

use weir_stream::sink::{CommitHandle, SinkWriter};
use weir_stream::{Batch, BoxError, Data, OperatorContext};
use weir_types::ExecutionAttemptId;

use super::Options;
use super::error::FileSinkError;
use super::folder::{self, Lock};
use super::handle::PartHandle;
use super::part_file::PartFile;
use super::part_name;
use crate::encoding::{decode, encode};

/// Writes part files. Made by [`crate::FileSink`].
///
/// Without checkpoints everything is published at the end; a job that never ends publishes nothing
/// then.
pub struct FileWriter<T> {
    options: Options,
    opened: Option<Opened>,
    current: Option<(PartFile, String)>,
    /// Complete and on the disk, but not prepared: part of no checkpoint.
    finished: Vec<PartHandle>,
    /// How many parts were begun.
    counter: u32,
    record: PhantomData<fn(T)>,
}

/// What is known from `open` on.
struct Opened {
    folder: PathBuf,
    attempt: ExecutionAttemptId,
    /// Held until the writer is closed.
    _lock: Option<File>,
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

    fn begin_part(&mut self) -> Result<&mut PartFile, FileSinkError> {
        if self.current.is_none() {
            let opened = self.opened();
            let extension = self.options.format.extension();
            let name = part_name::finished(&opened.attempt, self.counter, extension);
            let in_progress = opened.folder.join(part_name::in_progress(&name));
            let part = PartFile::create(in_progress, self.options.format)?;
            self.counter += 1;
            self.current = Some((part, name));
        }
        let (part, _) = self.current.as_mut().expect("a part was begun just now");
        Ok(part)
    }

    fn finish_part(&mut self) -> Result<(), FileSinkError> {
        if let Some((part, name)) = self.current.take() {
            let path = part.path().to_owned();
            match part.finish() {
                Ok((size, checksum)) => self.finished.push(PartHandle {
                    in_progress: part_name::in_progress(&name),
                    name,
                    size,
                    checksum,
                }),
                Err(error) => {
                    // The first error is the one that tells: what cannot be removed is left behind.
                    folder::remove(&path).ok();
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

impl<T: Data> SinkWriter<T> for FileWriter<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let folder = folder::local(&self.options.folder)?.to_owned();
        folder::create(&folder)?;
        let _lock = folder::lock(&folder, Lock::Shared)?;
        self.opened = Some(Opened {
            folder,
            attempt: context.attempt,
            _lock,
        });
        Ok(())
    }

    fn recover(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        let folder = &self.opened().folder;
        Ok(folder::remove_leftovers(
            folder,
            &context.attempt,
            context.parallelism,
        )?)
    }

    fn write(&mut self, batch: Batch<T>) -> Result<(), BoxError> {
        let roll_bytes = self.options.roll_bytes;
        let part = self.begin_part()?;
        part.write(batch.rows())?;
        if part.bytes() >= roll_bytes {
            self.finish_part()?;
        }
        Ok(())
    }

    fn end_input(&mut self) -> Result<(), BoxError> {
        Ok(self.finish_part()?)
    }

    /// The folder is brought to the disk, too: a file whose name is not there after a crash cannot
    /// be published.
    fn prepare_commit(&mut self) -> Result<Vec<CommitHandle>, BoxError> {
        self.finish_part()?;
        if self.finished.is_empty() {
            return Ok(Vec::new());
        }
        folder::sync(&self.opened().folder)?;
        let handles = self.finished.iter().map(encode);
        let handles = handles.collect::<Result<_, _>>()?;
        self.finished.clear();
        Ok(handles)
    }

    fn commit(&mut self, handles: &[CommitHandle]) -> Result<(), BoxError> {
        let folder = &self.opened().folder;
        for handle in handles {
            let part: PartHandle = decode(handle)?;
            part.publish(folder)?;
        }
        Ok(folder::sync(folder)?)
    }

    fn close(&mut self) -> Result<(), BoxError> {
        let current = self.current.take();
        let current = current.map(|(part, _)| part.path().to_owned());
        let finished = std::mem::take(&mut self.finished);
        let Some(opened) = self.opened.take() else {
            return Ok(());
        };
        let finished = finished
            .iter()
            .map(|part| opened.folder.join(&part.in_progress));
        for path in finished.chain(current) {
            folder::remove(&path)?;
        }
        Ok(())
    }
}
