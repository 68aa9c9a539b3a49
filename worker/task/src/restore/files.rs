//! Brings the files of a database to the local disk, for an operator to open.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_checkpoint::handle::{FileContent, KeyedHandle, StoredFile};
use weir_state::{ColdError, FileSnapshot, SnapshotFile, StateError};
use weir_stream::OperatorError;

use super::objects::{Objects, write};
use super::transfers::side_by_side;
use super::{ReadError, Reading, RestoreError};

/// A folder with files of a database, which goes when this is dropped. Whoever opens them has
/// linked them before.
#[derive(Debug)]
pub(crate) struct LocalFiles(PathBuf);

impl Drop for LocalFiles {
    fn drop(&mut self) {
        // What stays goes with the folder of the process.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Reading<'_> {
    /// A new folder on the local disk for the files of a database.
    pub(super) fn folder(&self, local: &mut Vec<LocalFiles>) -> Result<PathBuf, RestoreError> {
        let scratch = self.context.state_backend.scratch();
        let scratch = scratch.and_then(|scratch| scratch.ok_or(ColdError::NoTier));
        let scratch = scratch.map_err(|source| RestoreError::Operator {
            operator: Arc::clone(&self.context.name),
            checkpoint: self.checkpoint,
            source: Box::new(OperatorError::State(StateError::Cold {
                state: "*".to_owned(),
                source,
            })),
        })?;
        let (operator, attempt) = (self.context.operator, self.context.attempt);
        let name = format!(
            "restore-{operator}-{}-{}-{}-{}",
            attempt.subtask,
            attempt.epoch,
            attempt.attempt,
            local.len()
        );
        let folder = scratch.join(name);
        local.push(LocalFiles(folder.clone()));
        match fs::create_dir_all(&folder) {
            Ok(()) => Ok(folder),
            Err(source) => Err(self.local_error(folder, source)),
        }
    }

    pub(super) fn local_error(&self, path: PathBuf, source: io::Error) -> RestoreError {
        let source = ReadError::Local { path, source };
        self.read_error("files of a database".to_owned(), source)
    }

    /// Fetches the files of one former subtask.
    pub(super) fn database(
        &self,
        handle: &KeyedHandle,
        files: &[StoredFile],
        local: &mut Vec<LocalFiles>,
    ) -> Result<FileSnapshot, RestoreError> {
        let folder = self.folder(local)?;
        let objects = self.objects;
        let fetched = side_by_side(files, |file| {
            fetch(objects, file, &folder).map_err(|source| Box::new((file, source)))
        });
        let fetched = fetched.map_err(|failed| {
            let (file, source) = *failed;
            self.file_error(file, source)
        })?;
        Ok(FileSnapshot {
            checkpoint: handle.checkpoint,
            max_parallelism: handle.max_parallelism,
            range: handle.range,
            states: handle.states.clone(),
            folder,
            files: fetched,
            spilled: None,
        })
    }

    fn file_error(&self, file: &StoredFile, source: ReadError) -> RestoreError {
        let what = match &file.content {
            FileContent::Inline(_) => format!("file `{}` of a database", file.name),
            FileContent::Object(object) => self.name_of(object),
        };
        self.read_error(what, source)
    }
}

fn fetch(
    objects: &Objects<'_>,
    file: &StoredFile,
    folder: &Path,
) -> Result<SnapshotFile, ReadError> {
    if !file.has_good_name() {
        return Err(ReadError::Name);
    }
    let target = folder.join(&file.name);
    match &file.content {
        FileContent::Inline(bytes) => write(&target, bytes)?,
        FileContent::Object(object) => objects.file(object, &target, file.shared)?,
    }
    Ok(SnapshotFile {
        name: file.name.clone(),
        bytes: file.content.size(),
        shared: file.shared,
        grows: false,
    })
}
