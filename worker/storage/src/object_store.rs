//! The traits that a store implements.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{ObjectPath, StoreError};

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name, relative to the store.
    pub path: ObjectPath,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since 1970 on the store's clock.
    pub modified_ms: i64,
}

/// A large object that was begun and is not finished, as [`ObjectStore::list_unfinished`] shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The name that it is to have, relative to the store; where that is not known, one in the same
    /// folder that no object has.
    pub path: ObjectPath,
    /// When it was begun, or last written to, in milliseconds since 1970 on the store's clock.
    pub begun_ms: i64,
    /// What it was begun as.
    pub(crate) upload: String,
}

/// A state of a register, as its store names it: a number of a link, an ETag. Only good for
/// comparing and for [`ObjectStore::swap_register`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// A place for objects. See the crate's text for what blocks and what is retried.
pub trait ObjectStore: Send + Sync {
    /// The store for people and configuration: a folder's path or `s3://bucket/prefix`.
    fn location(&self) -> String;

    /// A whole object.
    fn get(&self, path: &ObjectPath) -> Result<Vec<u8>, StoreError>;

    /// A part of an object. A range that goes beyond its end is an error.
    fn get_range(&self, path: &ObjectPath, range: Range<u64>) -> Result<Vec<u8>, StoreError>;

    /// The file that the object is, if it is one of this machine. It may be linked, never changed.
    fn local_file(&self, path: &ObjectPath) -> Option<PathBuf> {
        let _ = path;
        None
    }

    /// Creates an object, complete or not at all, durable when this returns. A name that is
    /// reserved ([`ObjectPath::is_reserved`]) is refused as `Unsuitable`. An object that exists
    /// already is left alone: that is an error of kind `AlreadyExists`, unless it has the very
    /// same content (a repeated write whose first answer was lost).
    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<(), StoreError>;

    /// Creates a large object piece by piece. It exists from [`ObjectWriter::finish`] on.
    fn create_large(&self, path: &ObjectPath) -> Result<Box<dyn ObjectWriter>, StoreError>;

    /// What was begun in a folder or the folders in it, and is not finished: by writers that are at
    /// work, and by those that were killed and so could not clean up. In a bucket, results that
    /// wait for their commit are shown too ([`crate::RecoverableWriter`]). So whoever abandons what
    /// is found must know by its name that it is an object of his own, and by its age that nobody
    /// writes it any more. Stores that keep nothing of this kind show nothing.
    fn list_unfinished(&self, folder: &ObjectPath) -> Result<Vec<Unfinished>, StoreError> {
        let _ = folder;
        Ok(Vec::new())
    }

    /// Removes what was begun: its writer can no longer finish it. It is no error if it is gone, or
    /// finished; then nothing changes.
    fn abandon(&self, unfinished: &Unfinished) -> Result<(), StoreError> {
        let _ = unfinished;
        Ok(())
    }

    /// All objects in a folder and the folders in it, in the order of their names. Unfinished
    /// objects and registers' older versions are not shown.
    fn list(&self, folder: &ObjectPath) -> Result<Vec<ObjectInfo>, StoreError>;

    /// Removes an object, or a register that nobody moves any more. One that does not exist is no
    /// error.
    fn delete(&self, path: &ObjectPath) -> Result<(), StoreError>;

    /// A register's content and version; none if it was never written. Only this reads registers:
    /// to [`ObjectStore::get`] they are no objects, although listings show them (and some stores
    /// would give them).
    fn read_register(&self, path: &ObjectPath) -> Result<Option<(Vec<u8>, Version)>, StoreError>;

    /// Moves a register from the expected version (none: it was never written) to a new content,
    /// atomically. `Conflict`: it was in another state, and nothing has changed. `InDoubt`: read
    /// again; contents that differ in a nonce tell whose write it was. So no two writes may have
    /// equal content.
    fn swap_register(
        &self,
        path: &ObjectPath,
        expected: Option<&Version>,
        bytes: &[u8],
    ) -> Result<Version, StoreError>;

    /// The same store, seen from one of its folders.
    fn within(&self, folder: &ObjectPath) -> Arc<dyn ObjectStore>;
}

/// An object while it is written. Dropped before [`ObjectWriter::finish`], it leaves nothing that
/// a listing shows. What the writers of a killed process leave is found by
/// [`ObjectStore::list_unfinished`].
pub trait ObjectWriter: Send {
    /// Appends.
    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes the object exist, durable when this returns; as [`ObjectStore::create`] where one
    /// exists already. Gives its size.
    fn finish(self: Box<Self>) -> Result<u64, StoreError>;
}
