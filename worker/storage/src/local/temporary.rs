//! A file that is being written: under a name that no object can have, next to its final one.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::folders::Folders;

/// Begins the names of temporary files. No object's name has a `~`.
const PREFIX: &str = ".tmp~";
/// How often a folder that vanishes is made again: others remove those that they find empty.
const ATTEMPTS: usize = 16;
/// How much of two files is compared at a time.
const COMPARED_BYTES: usize = 64 * 1024;

/// Whether a file is, or was, being written.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A file without its final name. Dropped, its temporary name is removed.
pub(super) struct Temporary {
    file: File,
    path: PathBuf,
    written: u64,
}

impl Temporary {
    /// Makes a file in the folder of `target`.
    pub(super) fn new(folders: &Folders, target: &Path) -> io::Result<Self> {
        let folder = target.parent().unwrap_or_else(|| Path::new("/"));
        let mut attempt = 0;
        let made = loop {
            attempt += 1;
            let made = folders
                .prepare(folder)
                .and_then(|()| Self::create(folder.join(unique_name())));
            match made {
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                made => break made?,
            }
        };
        if let Ok(now) = made.file.metadata().and_then(|found| found.modified()) {
            folders.sweep(folder, now);
        }
        Ok(made)
    }

    fn create(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        Ok(Self {
            file,
            path,
            written: 0,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Makes the content durable. Gives its size.
    pub(super) fn flush(&self) -> io::Result<u64> {
        self.file.sync_all()?;
        Ok(self.written)
    }

    /// Gives the file its final name, unless that is taken.
    pub(super) fn link(&self, target: &Path) -> io::Result<()> {
        fs::hard_link(&self.path, target).map_err(|error| match error.kind() {
            // Folders of some shared and user-space file systems.
            io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported
                if fs::metadata(&self.path).is_ok() && no_links(&error) =>
            {
                let cause = "this file system has no hard links, choose another folder";
                io::Error::new(io::ErrorKind::Unsupported, cause)
            }
            _ => error,
        })
    }
}

/// Whether the file system itself says that it has no hard links (`EPERM`, `EOPNOTSUPP`); a folder
/// that may not be written to says `EACCES`.
fn no_links(error: &io::Error) -> bool {
    const EPERM: i32 = 1;
    const ENOSYS: i32 = 38;
    const EOPNOTSUPP: i32 = 95;
    matches!(error.raw_os_error(), Some(EPERM | ENOSYS | EOPNOTSUPP))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path.display(), %error, "cannot remove a temporary file");
        }
    }
}

/// A name that no other thread, process or machine uses.
fn unique_name() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random = RandomState::new().hash_one(count);
    format!("{PREFIX}{}-{random:016x}", std::process::id())
}

/// Whether two files have the same bytes.
pub(super) fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; COMPARED_BYTES], vec![0; COMPARED_BYTES]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        if let Err(error) = other.read_exact(&mut right[..count]) {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof => Ok(false),
                _ => Err(error),
            };
        }
        if left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
