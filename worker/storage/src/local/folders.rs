//! Folders of a local store: made durable before anything is written into them, swept of what
//! crashed writers left, listed, and removed when their last object is.

use std::collections::HashMap;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::register;
use super::temporary::is_temporary;
use crate::object_store::Unfinished;
use crate::{ObjectInfo, ObjectPath};

/// A temporary file this much older than a new one has lost its writer. No write takes so long
/// without touching its file.
const TEMPORARY_AGE_MAX: Duration = Duration::from_secs(3_600);
/// What a file that is being written is shown as: no object has that name.
const UNFINISHED: &str = "unfinished";
/// How many folders are remembered. Forgetting one costs a few flushes.
const FOLDERS_REMEMBERED_MAX: usize = 1_024;

/// What a store knows of its folders.
pub(super) struct Folders {
    root: PathBuf,
    prepared: Mutex<HashMap<PathBuf, Prepared>>,
}

/// A folder that is durable and was swept.
#[derive(Clone, Copy)]
struct Prepared {
    /// Device and inode: a folder that was removed and made again is another one.
    identity: (u64, u64),
    swept: SystemTime,
}

impl Folders {
    pub(super) fn new(root: PathBuf) -> Self {
        Self {
            root,
            prepared: Mutex::new(HashMap::new()),
        }
    }

    /// Makes sure that the folder exists, and that a loss of power cannot take it away together
    /// with a file that was flushed into it.
    pub(super) fn prepare(&self, folder: &Path) -> io::Result<()> {
        if let Ok(found) = fs::metadata(folder)
            && self
                .known(folder)
                .is_some_and(|known| known.identity == identity(&found))
        {
            return Ok(());
        }
        make(&self.root)?;
        let mut made = self.root.clone();
        let below = folder
            .strip_prefix(&self.root)
            .unwrap_or_else(|_| Path::new(""));
        for part in below {
            let parent = made.clone();
            made.push(part);
            make_one(&made)?;
            // Even if another process made it: that one may have died before its flush.
            flush(&parent)?;
        }
        let found = fs::metadata(folder)?;
        let prepared = Prepared {
            identity: identity(&found),
            swept: UNIX_EPOCH,
        };
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= FOLDERS_REMEMBERED_MAX {
            all.clear();
        }
        all.insert(folder.to_owned(), prepared);
        Ok(())
    }

    fn known(&self, folder: &Path) -> Option<Prepared> {
        let all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(folder).copied()
    }

    /// Removes what crashed writers left, at most once an hour for each folder. The time is that of
    /// a file just made: so the file system's clock is compared with itself.
    pub(super) fn sweep(&self, folder: &Path, now: SystemTime) {
        {
            let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            match all.get_mut(folder) {
                Some(known) if is_old(known.swept, now) => known.swept = now,
                _ => return,
            }
        }
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let leftover = entry.file_name().to_str().is_some_and(is_temporary)
                && entry
                    .metadata()
                    .and_then(|found| found.modified())
                    .is_ok_and(|modified| is_old(modified, now));
            if !leftover {
                continue;
            }
            let file = entry.path();
            let file_shown = file.display();
            match fs::remove_file(&file) {
                Ok(()) => tracing::info!(file = %file_shown, "removed what a crashed writer left"),
                Err(error) => {
                    tracing::warn!(file = %file_shown, %error, "cannot remove a writer's leftover");
                }
            }
        }
    }
}

fn is_old(modified: SystemTime, now: SystemTime) -> bool {
    now.duration_since(modified)
        .is_ok_and(|age| age > TEMPORARY_AGE_MAX)
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

/// Makes a folder and those above it; those that were missing are flushed into their parents.
fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(parent) = folder.parent() else {
        return Ok(());
    };
    make(parent)?;
    make_one(folder)?;
    flush(parent)
}

fn make_one(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        made => made,
    }
}

/// Makes the names in a folder durable.
pub(super) fn flush(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What is in a folder under names that are wanted; of a symbolic link, what it leads to. A folder
/// that does not exist is empty.
fn entries(folder: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<(String, Metadata)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if super::is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| wanted(name)) else {
            continue;
        };
        match fs::metadata(entry.path()) {
            Ok(metadata) => found.push((name.to_owned(), metadata)),
            // It has been finished or removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Adds the objects in one folder to `found` and the folders in it to `rest`. One that does not
/// exist is empty.
pub(super) fn list(
    folder: &Path,
    path: &ObjectPath,
    found: &mut Vec<ObjectInfo>,
    rest: &mut Vec<ObjectPath>,
) -> io::Result<()> {
    let mut registers: HashMap<String, (u64, Metadata)> = HashMap::new();
    // Temporary files, and whatever was put here by others, have names that are no paths.
    for (name, metadata) in entries(folder, |name| path.join(name).is_ok())? {
        let path = path.join(&name).map_err(io::Error::other)?;
        if metadata.is_dir() {
            rest.push(path);
        } else if let Some((register, number)) = register::split(&name) {
            match registers.get(register) {
                Some((newest, _)) if *newest > number => {}
                _ => drop(registers.insert(register.to_owned(), (number, metadata))),
            }
        } else if metadata.is_file() {
            found.push(info(path, &metadata));
        }
    }
    for (name, (_, metadata)) in registers {
        let path = path.join(&name).map_err(io::Error::other)?;
        found.push(info(path, &metadata));
    }
    Ok(())
}

/// Adds what is, or was, being written in one folder to `found` and the folders in it to `rest`.
/// The names that the files are to have are not known: each is shown under [`UNFINISHED`].
pub(super) fn list_temporary(
    folder: &Path,
    path: &ObjectPath,
    found: &mut Vec<Unfinished>,
    rest: &mut Vec<ObjectPath>,
) -> io::Result<()> {
    for (name, metadata) in entries(folder, |_| true)? {
        if is_temporary(&name) && metadata.is_file() {
            found.push(Unfinished {
                path: path.join(UNFINISHED).map_err(io::Error::other)?,
                begun_ms: modified_ms(&metadata),
                upload: name,
            });
        } else if metadata.is_dir()
            && let Ok(inner) = path.join(&name)
        {
            rest.push(inner);
        }
    }
    Ok(())
}

fn info(path: ObjectPath, metadata: &Metadata) -> ObjectInfo {
    ObjectInfo {
        path,
        size: metadata.len(),
        modified_ms: modified_ms(metadata),
    }
}

fn modified_ms(metadata: &Metadata) -> i64 {
    let modified = metadata.modified().unwrap_or(UNIX_EPOCH);
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Removes the folders that a removed file leaves empty. The root stays.
pub(super) fn remove_emptied(root: &Path, file: &Path) {
    let mut folder = file.parent();
    while let Some(empty) = folder.filter(|folder| *folder != root && folder.starts_with(root)) {
        // One that is not empty refuses; so does one that is not ours to remove.
        if fs::remove_dir(empty).is_err() {
            return;
        }
        folder = empty.parent();
    }
}
