//! The local folder of one process, and what killed processes left beside it.
//!
//! ```text
//! <base>/weir-state-<process>-<n>        the folder; see `folder` for what is in it
//!       /weir-state-<process>-<n>.lock   locked for as long as the process lives
//! ```
//!
//! The system lets go of a lock when a process ends, however it ends. So whoever can lock the file
//! of another folder knows that it is nobody's, and removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use weir_state::ColdError;

use crate::error::Place;
use crate::removal::remove;

const PREFIX: &str = "weir-state-";
const LOCK: &str = "lock";

/// How many names are tried: more than one process has only if they do not see each other's ids.
const NAMES: u32 = 10_000;

/// A folder of this process, which goes when this is dropped.
#[derive(Debug)]
pub struct ScratchFolder {
    path: PathBuf,
    lock: PathBuf,
    /// Holds the lock.
    _file: File,
}

impl ScratchFolder {
    /// Makes a folder of its own in `base`, and removes those of processes that are gone.
    pub fn create(base: &Path) -> Result<Self, ColdError> {
        let place = Place::new(base);
        fs::create_dir_all(base).map_err(place.io("make a folder"))?;
        remove_orphans(base);
        let failed = place.io("make a folder of this process");
        let process = std::process::id();
        for n in 0..NAMES {
            let path = base.join(format!("{PREFIX}{process}-{n}"));
            let lock = path.with_extension(LOCK);
            if let Some(file) = locked_anew(&lock).map_err(&failed)? {
                let folder = Self {
                    path,
                    lock,
                    _file: file,
                };
                fs::create_dir(&folder.path).map_err(&failed)?;
                return Ok(folder);
            }
        }
        Err(place.failed("make a folder of this process", "all names are taken"))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // What stays is removed by the next process.
        drop(remove_both(&self.path, &self.lock));
    }
}

/// A file that was not there before, locked; none if the name is taken.
fn locked_anew(path: &Path) -> io::Result<Option<File>> {
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(file) => Ok(is_locked_at(&file, path).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(error) => Err(error),
    }
}

/// Locks the file, if nobody has it and it still has this name: whoever had it before may have
/// removed it.
fn is_locked_at(file: &File, path: &Path) -> bool {
    let same = || {
        let (own, named) = (file.metadata().ok()?, fs::metadata(path).ok()?);
        Some((own.dev(), own.ino()) == (named.dev(), named.ino()))
    };
    file.try_lock().is_ok() && same() == Some(true)
}

/// What cannot be removed, for example because it is another user's, stays.
fn remove_orphans(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let lock = entry.path();
        let name = entry.file_name();
        let is_lock = name.to_str().is_some_and(|name| name.starts_with(PREFIX))
            && lock.extension().is_some_and(|extension| extension == LOCK);
        if !is_lock {
            continue;
        }
        if let Ok(file) = File::open(&lock)
            && is_locked_at(&file, &lock)
        {
            drop(remove_both(&lock.with_extension(""), &lock));
        }
    }
}

/// The lock last: as long as it is there, somebody will try again.
fn remove_both(folder: &Path, lock: &Path) -> io::Result<()> {
    remove(folder)?;
    fs::remove_file(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(base: &Path) -> Vec<String> {
        let entries = fs::read_dir(base).unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_goes_with_its_owner_and_others_stay() {
        let base = tempfile::tempdir().unwrap();
        fs::write(base.path().join("notes.txt"), "mine").unwrap();
        fs::create_dir(base.path().join("weir-state-of-mind")).unwrap();
        let first = ScratchFolder::create(base.path()).unwrap();
        let second = ScratchFolder::create(base.path()).unwrap();
        assert_ne!(first.path(), second.path());
        fs::write(first.path().join("data"), "x").unwrap();
        drop(second);
        assert!(first.path().join("data").exists());
        drop(first);
        assert_eq!(names(base.path()), ["notes.txt", "weir-state-of-mind"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not() {
        let base = tempfile::tempdir().unwrap();
        // A file without its lock is what a kill leaves.
        fs::create_dir_all(base.path().join("weir-state-1-0/slot")).unwrap();
        fs::write(base.path().join("weir-state-1-0.lock"), "").unwrap();
        let alive = ScratchFolder::create(base.path()).unwrap();
        assert!(!base.path().join("weir-state-1-0").exists());
        let other = ScratchFolder::create(base.path()).unwrap();
        assert!(alive.path().exists() && other.path().exists());
        assert_eq!(names(base.path()).len(), 4);
    }
}
