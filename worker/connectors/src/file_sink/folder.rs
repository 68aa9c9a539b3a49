//! The output folder: made ready for a run, locked while a run writes, brought to the disk.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use weir_types::ExecutionAttemptId;

use super::error::FileSinkError;
use super::part_name;

/// Strips `file://`; other schemes are refused, or a folder of that name would be created.
pub(super) fn local(path: &Path) -> Result<&Path, FileSinkError> {
    match path.to_str().and_then(|text| text.split_once("://")) {
        None => Ok(path),
        Some(("file", rest)) if rest.starts_with('/') => Ok(Path::new(rest)),
        Some(_) => Err(FileSinkError::NotLocal {
            path: path.to_owned(),
        }),
    }
}

/// Makes the folder ready for a fresh run. Nothing is removed if the run is refused.
pub(super) fn prepare(folder: &Path, overwrite: bool) -> Result<(), FileSinkError> {
    let folder = local(folder)?;
    create(folder)?;
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
pub(super) fn create(folder: &Path) -> Result<(), FileSinkError> {
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
pub(super) enum Lock {
    /// All subtasks of one run.
    Shared,
    /// A run that makes the folder ready.
    Exclusive,
}

/// Locks the folder until the file is dropped or the process ends. Some network file systems know
/// no locks: there nothing is locked.
pub(super) fn lock(folder: &Path, lock: Lock) -> Result<Option<File>, FileSinkError> {
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
pub(super) fn sync(folder: &Path) -> Result<(), FileSinkError> {
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

/// Removes what older attempts of the former subtasks that this one continues have left unfinished.
/// Nothing that a checkpoint holds is among it: that has been published before.
pub(super) fn remove_leftovers(
    folder: &Path,
    attempt: &ExecutionAttemptId,
    parallelism: u32,
) -> Result<(), FileSinkError> {
    let own = (attempt.epoch.0, attempt.attempt.0);
    let is_leftover = |name: &str| {
        part_name::author(name).is_some_and(|author| {
            let continued = author.subtask % parallelism.max(1) == attempt.subtask.0;
            continued && (author.epoch, author.attempt) < own
        })
    };
    let mut removed = 0;
    for name in Contents::list(folder)?.in_progress {
        if is_leftover(&name) {
            remove(&folder.join(name))?;
            removed += 1;
        }
    }
    if removed > 0 {
        sync(folder)?;
        tracing::info!(folder = %folder.display(), removed, "removed files of older attempts");
    }
    Ok(())
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
