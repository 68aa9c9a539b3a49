//! Copies of this TaskManager's part of the newest checkpoint on its local disk (Flink's task-local
//! recovery): a subtask that starts again here takes its state from them instead of the store.
//!
//! ```text
//!  uploader ─ an object is stored ─▶ keep it for checkpoint n      files of a database: a link
//!  subtask  ─ n is complete ───────▶ what only older ones need goes            others: a copy
//!  restore  ─ an object of the checkpoint that the JobManager names ─▶ find it, or the store
//! ```
//!
//! The store decides what a checkpoint is; a copy only saves reading it. It stands for one object:
//! the same name (with epoch, checkpoint and attempt in it), size and checksum. So it does not
//! matter which subtask made it and which one asks. Whatever is odd about a copy, it is forgotten,
//! and the store is asked. When the local disk fails, there are no copies any more.
//!
//! Threads: uploaders and subtasks share it. Nothing is written, and nothing is removed, while the
//! lock is held.

mod index;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;

use weir_checkpoint::handle::ObjectRef;
use weir_state::StateBackendFactory;
use weir_types::{CheckpointId, causes};

use self::index::Index;

/// The most that copies take beside links, which take nothing of their own while the database has
/// the file, too. What does not fit is read from the store.
const BYTES_MAX: u64 = 4 << 30;

/// The copies of one TaskManager.
pub struct LocalCopies {
    /// Its folder goes with it, however long an uploader still has something to do.
    backend: Weak<dyn StateBackendFactory>,
    bytes_max: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    folder: Folder,
    index: Index,
    next_file: u64,
}

enum Folder {
    NotYet,
    Is(PathBuf),
    /// Copies cannot be had here.
    Off,
}

impl LocalCopies {
    /// Copies in the local folder of a slot's state backend, which is made with the first one.
    pub fn new(backend: &Arc<dyn StateBackendFactory>) -> Self {
        Self {
            backend: Arc::downgrade(backend),
            bytes_max: BYTES_MAX,
            inner: Mutex::new(Inner {
                folder: Folder::NotYet,
                index: Index::default(),
                next_file: 0,
            }),
        }
    }

    /// Keeps an object that a checkpoint needs, as a link to a file that never changes.
    pub(crate) fn keep_link(&self, checkpoint: CheckpointId, object: &ObjectRef, file: &Path) {
        self.keep(checkpoint, object, 0, |copy| fs::hard_link(file, copy));
    }

    /// Keeps an object that a checkpoint needs, as a file of its own.
    pub(crate) fn keep_bytes(&self, checkpoint: CheckpointId, object: &ObjectRef, bytes: &[u8]) {
        self.keep(checkpoint, object, bytes.len() as u64, |copy| {
            fs::write(copy, bytes)
        });
    }

    /// A checkpoint needs an object that an earlier one has brought.
    pub(crate) fn keep_known(&self, checkpoint: CheckpointId, object: &ObjectRef) {
        self.lock().index.need(object, checkpoint);
    }

    fn keep(
        &self,
        checkpoint: CheckpointId,
        object: &ObjectRef,
        bytes: u64,
        make: impl FnOnce(&Path) -> io::Result<()>,
    ) {
        let mut inner = self.lock();
        if inner.index.need(object, checkpoint) || inner.index.bytes() + bytes > self.bytes_max {
            return;
        }
        let backend = self.backend.upgrade();
        let Some(folder) = backend.and_then(|backend| inner.folder(&*backend)) else {
            return;
        };
        let number = inner.next_file;
        inner.next_file += 1;
        drop(inner);
        let copy = file(&folder, number);
        match make(&copy) {
            Ok(()) => {
                let mut inner = self.lock();
                inner.index.add(object, checkpoint, number, bytes);
            }
            // The file went with its subtask, or the folder with the job: no fault of the disk.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                drop(fs::remove_file(&copy));
                let place = copy.display();
                self.give_up(&format!("write {place}: {error}"));
            }
        }
    }

    /// Where a copy of an object is.
    pub(crate) fn find(&self, object: &ObjectRef) -> Option<PathBuf> {
        let inner = self.lock();
        match (&inner.folder, inner.index.find(object)) {
            (Folder::Is(folder), Some(number)) => Some(file(folder, number)),
            _ => None,
        }
    }

    /// A checkpoint is complete: nobody goes back behind it.
    pub(crate) fn completed(&self, checkpoint: CheckpointId) {
        self.retain(|other| other >= checkpoint);
    }

    /// A checkpoint will never be complete.
    pub(crate) fn aborted(&self, checkpoint: CheckpointId) {
        self.retain(|other| other != checkpoint);
    }

    /// Subtasks start again from this checkpoint, or from nothing: no other one will be gone back
    /// to.
    pub(crate) fn restoring(&self, checkpoint: Option<CheckpointId>) {
        self.retain(|other| Some(other) == checkpoint);
    }

    /// A copy is not what it should be.
    pub(crate) fn distrust(&self, object: &ObjectRef, why: &str) {
        let (path, size) = (&object.path, object.size);
        tracing::warn!("the local copy of `{path}` ({size} bytes) is not used: {why}");
        let mut inner = self.lock();
        let gone = inner.index.remove(object);
        let files = inner.files(gone);
        drop(inner);
        files.iter().for_each(|file| drop(fs::remove_file(file)));
    }

    fn retain(&self, keep: impl Fn(CheckpointId) -> bool) {
        let mut inner = self.lock();
        let gone = inner.index.retain(keep);
        let files = inner.files(gone);
        drop(inner);
        remove(files);
    }

    fn give_up(&self, why: &str) {
        tracing::warn!(
            "no local copies of checkpoints from now on: {why}; a subtask that starts again reads \
             its state from the store"
        );
        let mut inner = self.lock();
        let gone = inner.index.retain(|_| false);
        let files = inner.files(gone);
        inner.folder = Folder::Off;
        drop(inner);
        remove(files);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // The index is whole between any two of its calls.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalCopies {
    fn drop(&mut self) {
        // Without the backend its folder is gone, and the next one may have the same name.
        if let (Some(_), Folder::Is(folder)) = (self.backend.upgrade(), &self.lock().folder) {
            // What stays goes with the folder of the process.
            drop(fs::remove_dir_all(folder));
        }
    }
}

impl Inner {
    fn folder(&mut self, backend: &dyn StateBackendFactory) -> Option<PathBuf> {
        if let Folder::NotYet = self.folder {
            let scratch = backend.scratch().map_err(|error| causes(&error));
            self.folder = match scratch {
                Ok(None) => Folder::Off,
                Ok(Some(scratch)) => {
                    let folder = scratch.join("copies");
                    match fs::create_dir_all(&folder) {
                        Ok(()) => Folder::Is(folder),
                        Err(error) => off(&format!("make {}: {error}", folder.display())),
                    }
                }
                Err(cause) => off(&cause),
            };
        }
        match &self.folder {
            Folder::Is(folder) => Some(folder.clone()),
            Folder::NotYet | Folder::Off => None,
        }
    }

    fn files(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<PathBuf> {
        match &self.folder {
            Folder::Is(folder) => numbers.into_iter().map(|n| file(folder, n)).collect(),
            Folder::NotYet | Folder::Off => Vec::new(),
        }
    }
}

fn off(why: &str) -> Folder {
    tracing::warn!("no local copies of checkpoints: {why}");
    Folder::Off
}

fn file(folder: &Path, number: u64) -> PathBuf {
    folder.join(number.to_string())
}

/// Removes files on a thread of its own: a large one takes a while, and subtasks come by here.
fn remove(files: Vec<PathBuf>) {
    if files.is_empty() {
        return;
    }
    let thread = thread::Builder::new().name("local-copies".to_owned());
    // What stays goes with the folder.
    let all = move || files.iter().for_each(|file| drop(fs::remove_file(file)));
    drop(thread.spawn(all));
}

#[cfg(test)]
mod tests;
