//! The output folder: made ready for a run, locked while a run writes, brought to the disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use weir_types::ExecutionAttemptId;

use super::error::FileSinkError;
use super::file_part::FilePart;
use super::handle::{Handle, PartHandle};
use super::part_name;
use super::target::{Part, Target};

/// Strips `file://`; other schemes are refused, or a folder of that name would be created.
pub(super) fn local(path: &Path) -> Result<&Path, FileSinkError> {
    match path.to_str().and_then(|text| text.split_once("://")) {
        None => Ok(path),
        Some(("file", rest)) if rest.starts_with('/') => Ok(Path::new(rest)),
        Some(_) => Err(FileSinkError::NoPlace {
            path: path.to_owned(),
        }),
    }
}

/// A folder for part files.
pub(super) struct Folder {
    path: PathBuf,
    /// Held while parts are written.
    lock: Option<File>,
}

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
        }
    }

    fn file<'a>(&self, handle: &'a Handle) -> Result<&'a PartHandle, FileSinkError> {
        match handle {
            Handle::File(file) => Ok(file),
            Handle::Upload(_) => Err(FileSinkError::OtherPlace {
                folder: self.path.clone(),
                was: "a bucket",
            }),
        }
    }
}

impl Target for Folder {
    fn check(&self, restored: bool, overwrite: bool) -> Result<(), FileSinkError> {
        create(&self.path)?;
        match restored {
            true => Ok(()),
            false => prepare(&self.path, overwrite),
        }
    }

    fn open(&mut self) -> Result<(), FileSinkError> {
        create(&self.path)?;
        self.lock = lock(&self.path, Lock::Shared)?;
        Ok(())
    }

    fn remove_leftovers(
        &self,
        attempt: &ExecutionAttemptId,
        parallelism: u32,
    ) -> Result<(), FileSinkError> {
        let is_leftover = |name: &str| {
            let author = part_name::finished_of(name).and_then(part_name::author);
            author.is_some_and(|author| author.is_continued_by(attempt, parallelism))
        };
        let mut removed = 0;
        for name in Contents::list(&self.path)?.in_progress {
            if is_leftover(&name) {
                remove(&self.path.join(name))?;
                removed += 1;
            }
        }
        if removed > 0 {
            sync(&self.path)?;
            tracing::info!(
                folder = %self.path.display(),
                removed,
                "removed files of older attempts"
            );
        }
        Ok(())
    }

    fn begin(&self, name: &str) -> Result<Box<dyn Part>, FileSinkError> {
        Ok(Box::new(FilePart::create(&self.path, name)?))
    }

    /// A file whose name is not there after a crash cannot be published.
    fn sync(&self) -> Result<(), FileSinkError> {
        sync(&self.path)
    }

    fn publish(&self, handle: &Handle) -> Result<(), FileSinkError> {
        self.file(handle)?.publish(&self.path)
    }

    fn withdraw(&self, attempts: &[ExecutionAttemptId]) -> Result<(), FileSinkError> {
        // Whoever still writes, or already writes anew, is not disturbed.
        let _lock = lock(&self.path, Lock::Exclusive)?;
        let contents = Contents::list(&self.path)?;
        let of_them = |name: &&String| part_name::is_by_one_of(name, attempts);
        for name in contents.finished.iter().filter(of_them) {
            remove(&self.path.join(name))?;
        }
        sync(&self.path)
    }

    fn unpublish(&self, handle: &Handle) -> Result<(), FileSinkError> {
        self.file(handle)?.unpublish(&self.path)
    }

    fn discard(&self, handle: &Handle) -> Result<(), FileSinkError> {
        remove(&self.path.join(&self.file(handle)?.in_progress))
    }
}

/// Makes the folder ready for a fresh run. Nothing is removed if the run is refused.
fn prepare(folder: &Path, overwrite: bool) -> Result<(), FileSinkError> {
    let _lock = lock(folder, Lock::Exclusive)?;
    let contents = Contents::list(folder)?;
    if let Some(example) = contents.finished.first().filter(|_| !overwrite) {
        let (folder, example) = (folder.to_owned(), example.clone());
        return Err(FileSinkError::HoldsResults { folder, example });
    }
    let removed = contents.finished.len() + contents.in_progress.len();
    for name in contents.finished.iter().chain(&contents.in_progress) {
        remove(&folder.join(name))?;
    }
    if removed > 0 {
        sync(folder)?;
        tracing::info!(
            folder = %folder.display(),
            results = contents.finished.len(),
            leftovers = contents.in_progress.len(),
            "removed part files of earlier runs"
        );
    }
    Ok(())
}

/// Creates a folder and those above it, and brings the entry of a new one to the disk.
fn create(folder: &Path) -> Result<(), FileSinkError> {
    if folder.is_dir() {
        return Ok(());
    }
    let path = || folder.to_owned();
    match fs::create_dir_all(folder) {
        Ok(()) => match folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync(parent),
            _ => sync(Path::new(".")),
        },
        Err(_) if folder.exists() && !folder.is_dir() => {
            Err(FileSinkError::NotAFolder { path: path() })
        }
        Err(source) => Err(FileSinkError::CreateFolder {
            path: path(),
            source,
        }),
    }
}

/// Who may hold the folder together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    /// All subtasks of one run.
    Shared,
    /// A run that makes the folder ready.
    Exclusive,
}

/// Locks the folder until the file is dropped or the process ends. Some network file systems know
/// no locks: there nothing is locked.
fn lock(folder: &Path, lock: Lock) -> Result<Option<File>, FileSinkError> {
    let list = |source| FileSinkError::ListFolder {
        path: folder.to_owned(),
        source,
    };
    let file = File::open(folder).map_err(list)?;
    let locked = match lock {
        Lock::Shared => file.try_lock_shared(),
        Lock::Exclusive => file.try_lock(),
    };
    match locked {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(FileSinkError::InUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(error)) => {
            tracing::debug!(folder = %folder.display(), %error, "the file system knows no locks");
            Ok(None)
        }
    }
}

/// Brings a folder's entries to the disk.
fn sync(folder: &Path) -> Result<(), FileSinkError> {
    let error = |source| FileSinkError::SyncFolder {
        path: folder.to_owned(),
        source,
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(error)
}

/// Removes a file; it is fine if it is gone already.
pub(super) fn remove(path: &Path) -> Result<(), FileSinkError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FileSinkError::Remove {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// The part files in a folder, by name.
#[derive(Default)]
struct Contents {
    finished: Vec<String>,
    in_progress: Vec<String>,
}

impl Contents {
    fn list(folder: &Path) -> Result<Self, FileSinkError> {
        let error = |source| FileSinkError::ListFolder {
            path: PathBuf::from(folder),
            source,
        };
        let mut contents = Self::default();
        for entry in fs::read_dir(folder).map_err(error)? {
            let Ok(name) = entry.map_err(error)?.file_name().into_string() else {
                continue;
            };
            if part_name::is_finished(&name) {
                contents.finished.push(name);
            } else if part_name::is_in_progress(&name) {
                contents.in_progress.push(name);
            }
        }
        contents.finished.sort_unstable();
        Ok(contents)
    }
}
