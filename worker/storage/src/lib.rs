//! Where checkpoints lie: object stores with atomic conditional writes.
//!
//! [`ObjectStore`] is what the rest of the tree sees. Objects are written once and never changed;
//! the few small things that do change (the pointer to a job's newest state) are *registers*, which
//! move only by compare-and-swap. All calls block, so they belong on threads that may wait: a
//! subtask's uploader, the JobManager's checkpoint thread. None of them holds a lock while it
//! waits.
//!
//! [`RecoverableWriter`] is for results: objects that are stored now and seen later.
//!
//! [`open`] finds the store behind an address, [`probe()`] shows that it keeps its promises.
//!
//! Failure story: every error says what was tried, on which object of which store, and what kind of
//! failure it was ([`StoreErrorKind`]). Passing trouble is retried inside, with pauses that grow
//! and jitter; what comes out is either final or has lasted longer than the store's own patience.

#![warn(missing_docs)]

mod address;
mod error;
#[cfg(any(test, feature = "testing"))]
mod faulty;
mod local;
#[cfg(any(test, feature = "testing"))]
mod memory;
mod object_store;
mod options;
mod path;
mod probe;
mod recoverable;
#[cfg(feature = "s3")]
mod s3;

pub use address::{open, open_recoverable};
pub use error::{StoreError, StoreErrorKind};
#[cfg(any(test, feature = "testing"))]
pub use faulty::{Call, Fault, FaultyStore, Operation};
pub use local::{LocalStore, read_range};
#[cfg(any(test, feature = "testing"))]
pub use memory::MemoryStore;
pub use object_store::{ObjectInfo, ObjectStore, ObjectWriter, Unfinished, Version};
pub use options::{CredentialFiles, OptionError, StoreOptions};
pub use path::{ObjectPath, PathError};
pub use probe::{probe, store_time};
pub use recoverable::{CommitRecoverable, RecoverableStream, RecoverableWriter, Uncommitted};
#[cfg(feature = "s3")]
pub use s3::S3Store;

#[cfg(test)]
mod tests;
