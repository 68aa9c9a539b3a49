//! Objects that are stored long before anybody sees them, and become visible in one step, by
//! another process if need be (Flink's `RecoverableWriter`).
//!
//! ```text
//!   open ─▶ write … ─▶ close_for_commit ─▶ commit        visible, at once and as a whole
//!     └────────┴────────────────┴───────▶ abort          nothing is left
//! ```
//!
//! Between the two nothing is remembered here: a [`CommitRecoverable`] is all that a commit needs,
//! so it can lie in a checkpoint and be committed by whoever goes on from there, as often as need
//! be.

use serde::{Deserialize, Serialize};

use crate::{ObjectPath, ObjectStore, StoreError};

/// A store that can keep complete objects out of sight.
pub trait RecoverableWriter: ObjectStore {
    /// Begins an object. Others may be begun under the same name: the first one to be committed
    /// gets it.
    fn open(&self, path: &ObjectPath) -> Result<Box<dyn RecoverableStream>, StoreError>;

    /// Makes an object visible. To do it again is harmless, also where the answer to the first time
    /// was lost.
    ///
    /// `AlreadyExists`: another object has the name, and keeps it. `NotFound`: neither the object
    /// nor what it was to be made of is there; somebody has removed one or the other. Whatever else
    /// goes wrong, committing again may help.
    fn commit(&self, prepared: &CommitRecoverable) -> Result<(), StoreError>;

    /// What was begun in a folder or the folders in it, and is neither committed nor aborted.
    fn list_uncommitted(&self, folder: &ObjectPath) -> Result<Vec<Uncommitted>, StoreError>;

    /// Removes what was begun. It is no error if it is gone, or committed; then nothing changes.
    fn abort(&self, uncommitted: &Uncommitted) -> Result<(), StoreError>;
}

/// An object that is being written out of sight. Dropped before
/// [`RecoverableStream::close_for_commit`], it is aborted.
pub trait RecoverableStream: Send {
    /// Appends. May wait until earlier bytes are stored: the memory that a stream takes is bounded.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Stores what is not stored yet; durable when this returns.
    fn close_for_commit(self: Box<Self>) -> Result<CommitRecoverable, StoreError>;
}

/// A complete object that nobody sees yet: all that is needed to commit it, anywhere and at any
/// time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitRecoverable {
    /// Its name, relative to the store.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// What it was begun as.
    pub(crate) upload: String,
    /// What tells the object from others of its name.
    pub(crate) nonce: String,
    /// What it is made of, in order.
    pub(crate) parts: Vec<StoredPart>,
}

/// A part of an object, as its store names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPart {
    pub(crate) tag: Option<String>,
    pub(crate) checksum: Option<String>,
}

impl CommitRecoverable {
    /// The same for [`RecoverableWriter::abort`].
    pub fn uncommitted(&self) -> Result<Uncommitted, crate::PathError> {
        Ok(Uncommitted {
            path: ObjectPath::new(&*self.path)?,
            upload: self.upload.clone(),
        })
    }
}

/// An object that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncommitted {
    /// Its name, relative to the store.
    pub path: ObjectPath,
    pub(crate) upload: String,
}
