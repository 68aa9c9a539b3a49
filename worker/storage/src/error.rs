//! What can go wrong with an object.

use std::error::Error;

/// What kind of failure it was: callers decide by it, never by the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreErrorKind {
    /// There is no such object.
    NotFound,
    /// The object exists and has another content than the one that was to be written.
    AlreadyExists,
    /// The object ends before the range that was asked for: it was cut off, or is another one.
    Truncated,
    /// A register is not in the expected state: somebody else has moved it.
    Conflict,
    /// A write may or may not have happened: reading back gave no answer either.
    InDoubt,
    /// The credentials are missing, expired or not allowed to do this; or the bucket is gone.
    Denied,
    /// There is no room.
    NoSpace,
    /// The store could not be reached, or kept failing, for longer than the retries lasted. The
    /// call had no effect, or one that repeating it does not add to.
    Unavailable,
    /// The store does not do what it must, for example compare-and-swap; or its address is wrong.
    Unsuitable,
    /// Anything else, for example an I/O error.
    Other,
}

impl StoreErrorKind {
    /// Whether the store itself is at fault, whatever it was asked for: it can't be reached, does
    /// not let the caller in, or has no room. All else is about one object.
    pub fn is_of_the_store(self) -> bool {
        match self {
            Self::InDoubt
            | Self::Denied
            | Self::NoSpace
            | Self::Unavailable
            | Self::Unsuitable
            | Self::Other => true,
            Self::NotFound | Self::AlreadyExists | Self::Truncated | Self::Conflict => false,
        }
    }
}

/// A call to an object store failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} `{path}` in {store}")]
pub struct StoreError {
    /// What kind of failure.
    pub kind: StoreErrorKind,
    /// What was tried, as a verb: `read`, `write`, `list`, `delete`, ….
    pub operation: &'static str,
    /// The object, relative to the store.
    pub path: String,
    /// The store, for people: a folder or `s3://bucket/prefix`.
    pub store: String,
    /// Why.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl StoreError {
    pub(crate) fn new(
        kind: StoreErrorKind,
        operation: &'static str,
        path: impl ToString,
        store: impl ToString,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            operation,
            path: path.to_string(),
            store: store.to_string(),
            source: source.into(),
        }
    }
}
