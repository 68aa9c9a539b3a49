//! A place in a bucket: parts are uploads out of sight, under the names that they get when they are
//! committed (Flink's `S3RecoverableWriter` under its `FileSink`).
//!
//! Nothing locks a bucket. So a fresh run leaves the uploads of others alone, which nobody sees,
//! unless it was told to overwrite; a run that goes on after a failure aborts those of its own
//! older attempts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use weir_storage::{
    CommitRecoverable, ObjectPath, PathError, RecoverableStream, RecoverableWriter, StoreError,
    StoreErrorKind, StoreOptions, Uncommitted,
};
use weir_types::ExecutionAttemptId;

use super::error::FileSinkError;
use super::handle::Handle;
use super::part_name;
use super::target::{Part, Target};

pub(super) struct Bucket {
    store: Arc<dyn RecoverableWriter>,
}

impl Bucket {
    /// Opens it; `configuration` is the job's.
    pub(super) fn open(
        address: &str,
        configuration: &BTreeMap<String, String>,
    ) -> Result<Self, FileSinkError> {
        let options = StoreOptions::from_config(configuration)?;
        let store = weir_storage::open_recoverable(address, &options)?;
        Ok(Self::new(store))
    }

    pub(super) fn new(store: Arc<dyn RecoverableWriter>) -> Self {
        Self { store }
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(self.store.location())
    }

    fn named(&self, name: &str) -> PathBuf {
        self.place().join(name)
    }

    fn foreign(&self, name: &str) -> FileSinkError {
        FileSinkError::ForeignName {
            folder: self.place(),
            name: name.to_owned(),
        }
    }

    /// The names of finished parts, and what is not committed, both of this place alone and not of
    /// folders in it.
    fn finished(&self) -> Result<Vec<ObjectPath>, StoreError> {
        let all = self.store.list(&ObjectPath::default())?.into_iter();
        let paths = all.map(|info| info.path);
        Ok(paths
            .filter(|path| part_name::is_finished(path.as_str()))
            .collect())
    }

    fn uncommitted(&self) -> Result<Vec<Uncommitted>, StoreError> {
        let all = self.store.list_uncommitted(&ObjectPath::default())?;
        let is_part = |one: &Uncommitted| part_name::is_finished(one.path.as_str());
        Ok(all.into_iter().filter(is_part).collect())
    }

    fn upload<'a>(&self, handle: &'a Handle) -> Result<&'a CommitRecoverable, FileSinkError> {
        match handle {
            Handle::Upload(upload) if part_name::is_finished(&upload.path) => Ok(upload),
            Handle::Upload(upload) => Err(self.foreign(&upload.path)),
            Handle::File(_) => Err(FileSinkError::OtherPlace {
                folder: self.place(),
                was: "a folder",
            }),
        }
    }
}

impl Target for Bucket {
    fn check(&self, restored: bool, overwrite: bool) -> Result<(), FileSinkError> {
        // Also for a restored job: better now than at its first result.
        let begun = self.uncommitted()?;
        if restored {
            return Ok(());
        }
        let finished = self.finished()?;
        if !overwrite {
            if let Some(example) = finished.first() {
                let (folder, example) = (self.place(), example.to_string());
                return Err(FileSinkError::HoldsResults { folder, example });
            }
            if !begun.is_empty() {
                tracing::info!(
                    place = self.store.location(),
                    uploads = begun.len(),
                    "uploads of other runs are not finished, and stay"
                );
            }
            return Ok(());
        }
        for path in &finished {
            self.store.delete(path)?;
        }
        for upload in &begun {
            self.store.abort(upload)?;
        }
        if finished.len() + begun.len() > 0 {
            tracing::info!(
                place = self.store.location(),
                results = finished.len(),
                leftovers = begun.len(),
                "removed part files of earlier runs"
            );
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), FileSinkError> {
        Ok(())
    }

    fn remove_leftovers(
        &self,
        attempt: &ExecutionAttemptId,
        parallelism: u32,
    ) -> Result<(), FileSinkError> {
        let mut removed = 0;
        for upload in self.uncommitted()? {
            let author = part_name::author(upload.path.as_str());
            if author.is_some_and(|author| author.is_continued_by(attempt, parallelism)) {
                self.store.abort(&upload)?;
                removed += 1;
            }
        }
        if removed > 0 {
            let place = self.store.location();
            tracing::info!(place, removed, "aborted uploads of older attempts");
        }
        Ok(())
    }

    fn begin(&self, name: &str) -> Result<Box<dyn Part>, FileSinkError> {
        let path = ObjectPath::new(name).map_err(|PathError { path, .. }| self.foreign(&path))?;
        let stream = self.store.open(&path)?;
        Ok(Box::new(UploadPart {
            stream,
            path: self.named(name),
            bytes: 0,
        }))
    }

    fn publish(&self, handle: &Handle) -> Result<(), FileSinkError> {
        let upload = self.upload(handle)?;
        let path = || self.named(&upload.path);
        match self.store.commit(upload) {
            Err(error) if error.kind == StoreErrorKind::AlreadyExists => {
                Err(FileSinkError::Exists { path: path() })
            }
            Err(error) if error.kind == StoreErrorKind::NotFound => {
                Err(FileSinkError::UploadGone { path: path() })
            }
            committed => Ok(committed?),
        }
    }

    fn withdraw(&self, attempts: &[ExecutionAttemptId]) -> Result<(), FileSinkError> {
        for path in self.finished()? {
            if part_name::is_by_one_of(path.as_str(), attempts) {
                self.store.delete(&path)?;
            }
        }
        Ok(())
    }

    fn unpublish(&self, handle: &Handle) -> Result<(), FileSinkError> {
        let upload = self.upload(handle)?;
        // Committing again tells whether the object is the one of this upload.
        match self.store.commit(upload) {
            Ok(()) => {
                let path = ObjectPath::new(&upload.path).map_err(|_| self.foreign(&upload.path))?;
                Ok(self.store.delete(&path)?)
            }
            Err(_) => self.discard(handle),
        }
    }

    fn discard(&self, handle: &Handle) -> Result<(), FileSinkError> {
        let upload = self.upload(handle)?;
        let begun = upload
            .uncommitted()
            .map_err(|_| self.foreign(&upload.path))?;
        Ok(self.store.abort(&begun)?)
    }
}

/// A part that is on its way into the bucket.
struct UploadPart {
    stream: Box<dyn RecoverableStream>,
    path: PathBuf,
    bytes: u64,
}

impl Write for UploadPart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).map_err(io::Error::other)?;
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for UploadPart {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn finish(self: Box<Self>) -> io::Result<Handle> {
        let closed = self.stream.close_for_commit();
        closed.map(Handle::Upload).map_err(io::Error::other)
    }
}
