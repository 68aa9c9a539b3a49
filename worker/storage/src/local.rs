//! A store in a folder of the local file system, or of one that behaves like it.
//!
//! An object is one file. It is written under a temporary name in its own folder, flushed, and then
//! linked to its final name, which fails if the name is taken; then the folder is flushed. So a
//! file with a final name is complete, and a crash at any point leaves at most a temporary file:
//! nothing reads those, and a write into the same folder removes them when they are an hour old. In
//! a folder that is not written into again they are found as what is unfinished.
//!
//! A register `pointer` is a row of files `pointer.1`, `pointer.2`, …, made in the same way; the
//! highest number is its current version. See [`register`] for why that is a compare-and-swap.
//!
//! Threading: any number of threads and processes may use one folder. Nothing is locked while
//! anything is written. Failure story: errors of the file system are final, except that a write
//! whose file may have got its name reports `InDoubt`.

mod folders;
mod register;
mod temporary;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::object_store::{ObjectInfo, ObjectStore, ObjectWriter, Unfinished, Version};
use crate::{ObjectPath, StoreError, StoreErrorKind};
use folders::Folders;
use temporary::{Temporary, same_content};

/// A store in a folder.
pub struct LocalStore {
    root: PathBuf,
    folders: Arc<Folders>,
}

impl LocalStore {
    /// Opens a store. A folder that does not exist is made by the first write.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let given = root.into();
        let refuse = |source: io::Error| {
            StoreError::new(
                StoreErrorKind::Unsuitable,
                "open",
                "",
                given.display(),
                source,
            )
        };
        // Absolute, so that it stays the same folder whatever becomes the current one.
        let root = std::path::absolute(&given).map_err(refuse)?;
        match fs::metadata(&root) {
            Ok(found) if !found.is_dir() => Err(refuse(io::Error::new(
                io::ErrorKind::NotADirectory,
                "it is a file, name a folder",
            ))),
            Ok(_) => Ok(Self::at(root)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::at(root)),
            Err(error) => {
                let kind = kind_of(&error);
                Err(StoreError::new(kind, "open", "", given.display(), error))
            }
        }
    }

    fn at(root: PathBuf) -> Self {
        Self {
            folders: Arc::new(Folders::new(root.clone())),
            root,
        }
    }

    fn file(&self, path: &ObjectPath) -> PathBuf {
        if path.is_empty() {
            return self.root.clone();
        }
        self.root.join(path.as_str())
    }

    fn failed(&self, operation: &'static str, path: &ObjectPath, error: io::Error) -> StoreError {
        let kind = kind_of(&error);
        StoreError::new(kind, operation, path, self.root.display(), error)
    }

    fn refused(
        &self,
        kind: StoreErrorKind,
        operation: &'static str,
        path: &ObjectPath,
        cause: &'static str,
    ) -> StoreError {
        StoreError::new(kind, operation, path, self.root.display(), cause)
    }

    /// Refuses names that a folder cannot tell from others.
    fn check_name(&self, operation: &'static str, path: &ObjectPath) -> Result<(), StoreError> {
        if let Some(cause) = unusable_name(path) {
            return Err(self.refused(StoreErrorKind::Unsuitable, operation, path, cause));
        }
        Ok(())
    }

    fn temporary(&self, path: &ObjectPath) -> Result<Temporary, StoreError> {
        Temporary::new(&self.folders, &self.file(path))
            .map_err(|error| self.failed("write", path, error))
    }

    /// Gives a complete file its final name and makes that durable.
    fn publish(&self, path: &ObjectPath, temporary: Temporary) -> Result<u64, StoreError> {
        let failed = |error| self.failed("write", path, error);
        let size = temporary.flush().map_err(failed)?;
        let target = self.file(path);
        match temporary.link(&target) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if !same_content(temporary.path(), &target).map_err(failed)? {
                    let cause = "it exists and has another content";
                    let kind = StoreErrorKind::AlreadyExists;
                    return Err(self.refused(kind, "write", path, cause));
                }
            }
            Err(error) => return Err(failed(error)),
        }
        drop(temporary);
        self.flush_folder(path, &target)?;
        Ok(size)
    }

    /// After a file got its name: until its folder is flushed, a loss of power may take it back.
    fn flush_folder(&self, path: &ObjectPath, file: &Path) -> Result<(), StoreError> {
        folders::flush(file.parent().unwrap_or(&self.root)).map_err(|error| {
            let kind = StoreErrorKind::InDoubt;
            StoreError::new(
                kind,
                "flush the folder of",
                path,
                self.root.display(),
                error,
            )
        })
    }
}

impl ObjectStore for LocalStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError> {
        fs::read(self.file(path)).map_err(|error| self.failed("read", path, error))
    }

    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError> {
        let read = || {
            let mut file = File::open(self.file(path))?;
            let size = file.metadata()?.len();
            check_range(&range, size)
                .map_err(|cause| io::Error::new(io::ErrorKind::UnexpectedEof, cause))?;
            read_range(&mut file, &range)
        };
        read().map_err(|error| self.failed("read a part of", path, error))
    }

    fn local_file(&self, path: &ObjectPath) -> Option<PathBuf> {
        Some(self.file(path))
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_name("write", path)?;
        let mut temporary = self.temporary(path)?;
        temporary
            .write(bytes)
            .map_err(|error| self.failed("write", path, error))?;
        self.publish(path, temporary).map(|_| ())
    }

    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError> {
        self.check_name("write", path)?;
        Ok(Box::new(LocalWriter {
            temporary: self.temporary(path)?,
            path: path.clone(),
            store: Self {
                root: self.root.clone(),
                folders: Arc::clone(&self.folders),
            },
        }))
    }

    fn list_unfinished(&self, folder: &ObjectPath) -> Result<Vec<Unfinished>, StoreError> {
        let mut found = Vec::new();
        let mut rest = vec![folder.clone()];
        while let Some(folder) = rest.pop() {
            folders::list_temporary(&self.file(&folder), &folder, &mut found, &mut rest)
                .map_err(|error| self.failed("list what is not finished in", &folder, error))?;
        }
        Ok(found)
    }

    fn abandon(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let Unfinished { path, upload, .. } = unfinished;
        let shown = self.file(path);
        let file = shown.with_file_name(upload);
        match fs::remove_file(&file) {
            Err(error) if !is_absent(&error) => return Err(self.failed("abandon", path, error)),
            _ => {}
        }
        folders::remove_emptied(&self.root, &file);
        Ok(())
    }

    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError> {
        let mut found = Vec::new();
        let mut rest = vec![folder.clone()];
        while let Some(folder) = rest.pop() {
            folders::list(&self.file(&folder), &folder, &mut found, &mut rest)
                .map_err(|error| self.failed("list", &folder, error))?;
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError> {
        let failed = |error| self.failed("delete", path, error);
        if path.is_empty() {
            return Ok(());
        }
        let file = self.file(path);
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if is_absent(&error) => register::delete(&file).map_err(failed)?,
            Err(error) => return Err(failed(error)),
        }
        folders::remove_emptied(&self.root, &file);
        Ok(())
    }

    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError> {
        let read = register::read(&self.file(path))
            .map_err(|error| self.failed("read register", path, error))?;
        Ok(read.map(|(number, bytes)| (bytes, Version(number.to_string()))))
    }

    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError> {
        self.check_name("swap register", path)?;
        register::swap(self, path, expected, bytes)
    }

    fn within(&self, folder: &ObjectPath) -> Arc<dyn ObjectStore> {
        Arc::new(Self::at(self.file(folder)))
    }
}

/// An object while it is written.
struct LocalWriter {
    temporary: Temporary,
    path: ObjectPath,
    store: LocalStore,
}

impl ObjectWriter for LocalWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.temporary
            .write(bytes)
            .map_err(|error| self.store.failed("write", &self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<u64, StoreError> {
        self.store.publish(&self.path, self.temporary)
    }
}

/// Why no store takes a name for an object or a register.
pub(crate) fn unusable_name(path: &ObjectPath) -> Option<&'static str> {
    if path.is_empty() {
        return Some("an object needs a name");
    }
    path.is_reserved().then_some(
        "names that end in a dot and digits are kept for the versions of registers: choose another",
    )
}

/// Reads a part of a file. The memory for it is written once, not zeroed before: for hundreds of
/// megabytes that is a third of the time.
pub fn read_range(file: &mut File, range: &Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let mut bytes = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    file.seek(SeekFrom::Start(range.start))?;
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length {
        Ok(bytes)
    } else {
        let cause = format!("{} bytes came of {length} asked for", bytes.len());
        Err(io::Error::new(io::ErrorKind::UnexpectedEof, cause))
    }
}

/// The length of a range that lies within an object.
pub(crate) fn check_range(range: &Range<u64>, size: u64) -> Result<usize, String> {
    if range.start > range.end || range.end > size {
        return Err(format!(
            "bytes {} to {} were asked for, and it has {size}: it is not the object that was \
             meant, or it was cut off",
            range.start, range.end
        ));
    }
    usize::try_from(range.end - range.start).map_err(|error| error.to_string())
}

/// Whether a file is not there; a part of its path may be a file, too.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | IsADirectory)
}

fn kind_of(error: &io::Error) -> StoreErrorKind {
    match error.kind() {
        _ if is_absent(error) => StoreErrorKind::NotFound,
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            StoreErrorKind::Denied
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::NoSpace,
        io::ErrorKind::Unsupported => StoreErrorKind::Unsuitable,
        io::ErrorKind::UnexpectedEof => StoreErrorKind::Truncated,
        _ => StoreErrorKind::Other,
    }
}

#[cfg(test)]
mod tests;
