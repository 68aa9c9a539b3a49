//! The writer of one subtask: part after part, published together.

use std::fs::{self, File};
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use weir_stream::sink::SinkWriter;
use weir_stream::{Batch, BoxError, Commit, Data, OperatorContext};
use weir_types::ExecutionAttemptId;

use super::Options;
use super::error::FileSinkError;
use super::folder::{self, Lock};
use super::part_file::PartFile;
use super::part_name;

/// Writes part files. Made by [`crate::FileSink`].
///
/// Without checkpoints everything is published at the end ([`Commit::Final`]); a job that never
/// ends publishes nothing then.
pub struct FileWriter<T> {
    options: Options,
    opened: Option<Opened>,
    current: Option<(PartFile, PathBuf)>,
    /// Complete and on the disk, but not published.
    finished: Vec<FinishedPart>,
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

/// A part file that waits for its final name.
struct FinishedPart {
    in_progress: PathBuf,
    path: PathBuf,
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

    fn begin_part(&mut self) -> Result<&mut PartFile, FileSinkError> {
        if self.current.is_none() {
            let opened = self
                .opened
                .as_ref()
                .expect("a sink is opened before its first record");
            let extension = self.options.format.extension();
            let name = part_name::finished(&opened.attempt, self.counter, extension);
            let in_progress = opened.folder.join(part_name::in_progress(&name));
            let part = PartFile::create(in_progress, self.options.format)?;
            self.counter += 1;
            self.current = Some((part, opened.folder.join(name)));
        }
        let (part, _) = self.current.as_mut().expect("a part was begun just now");
        Ok(part)
    }

    fn finish_part(&mut self) -> Result<(), FileSinkError> {
        if let Some((part, path)) = self.current.take() {
            let in_progress = part.path().to_owned();
            if let Err(error) = part.finish() {
                // The first error is the one that tells: what cannot be removed is left behind.
                folder::remove(&in_progress).ok();
                return Err(error);
            }
            self.finished.push(FinishedPart { in_progress, path });
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

    fn commit(&mut self, commit: Commit) -> Result<(), BoxError> {
        if commit != Commit::Final || self.finished.is_empty() {
            return Ok(());
        }
        for part in &self.finished {
            publish(part)?;
        }
        let opened = self
            .opened
            .as_ref()
            .expect("a part was written, so the sink is open");
        folder::sync(&opened.folder)?;
        self.finished.clear();
        Ok(())
    }

    fn close(&mut self) -> Result<(), BoxError> {
        let current = self.current.take().map(|(part, _)| part.path().to_owned());
        let finished = self.finished.drain(..).map(|part| part.in_progress);
        let leftovers: Vec<_> = finished.chain(current).collect();
        self.opened = None;
        for path in leftovers {
            folder::remove(&path)?;
        }
        Ok(())
    }
}

/// Gives a part its final name. Doing it again is harmless.
fn publish(part: &FinishedPart) -> Result<(), FileSinkError> {
    let FinishedPart { in_progress, path } = part;
    let is_there = |path: &Path| match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FileSinkError::Publish {
            path: path.to_owned(),
            source,
        }),
    };
    match (is_there(in_progress)?, is_there(path)?) {
        (true, false) => fs::rename(in_progress, path).map_err(|source| FileSinkError::Publish {
            path: path.clone(),
            source,
        }),
        (false, true) => Ok(()),
        // Renaming would replace a file that this attempt has not written.
        (true, true) => Err(FileSinkError::Exists { path: path.clone() }),
        (false, false) => Err(FileSinkError::Vanished {
            path: path.clone(),
            in_progress: in_progress.clone(),
        }),
    }
}
