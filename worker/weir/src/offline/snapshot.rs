//! One checkpoint or savepoint: its metadata as it was read, and where its objects lie.

use std::sync::Arc;

use weir_checkpoint::collector::{self, METADATA};
use weir_checkpoint::fsck::{self, Check, Defect};
use weir_checkpoint::handle::{ObjectRef, OperatorSubtaskState};
use weir_checkpoint::metadata::{self, CheckpointMetadata, MetadataError};
use weir_checkpoint::pointer::{Pointer, Root, SnapshotKind, SnapshotRef};
use weir_storage::{ObjectPath, ObjectStore, PathError, StoreError, StoreErrorKind, StoreOptions};

use super::place::{Folder, folder_of};

/// A snapshot whose metadata was read.
pub(super) struct Snapshot {
    /// Its folder, as `--restore` takes it.
    pub(super) location: String,
    /// What it says.
    pub(super) metadata: CheckpointMetadata,
    /// How many bytes that were.
    pub(super) metadata_size: u64,
    /// What the paths of [`Snapshot::checks`] are relative to.
    pub(super) store: Arc<dyn ObjectStore>,
    /// Its folder in `store`; empty: it is the store.
    path: String,
}

/// A snapshot that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadSnapshotError {
    /// The store failed.
    #[error("read the metadata")]
    Store(#[source] StoreError),
    /// It is not there, or is other than the pointer says.
    #[error(transparent)]
    Defect(Defect),
    /// It is not metadata.
    #[error("`{path}` makes no sense")]
    Metadata {
        /// The object.
        path: String,
        /// How.
        #[source]
        source: MetadataError,
    },
    /// Its folder cannot be one.
    #[error("read the metadata")]
    Path(#[source] PathError),
    /// A checkpoint whose folder stands alone.
    #[error(
        "{location} is a checkpoint outside of its job's folder, which holds its objects: only \
         savepoints can be moved"
    )]
    Alone {
        /// Its folder.
        location: String,
    },
}

impl ReadSnapshotError {
    /// Whether there is nothing.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self, Self::Defect(Defect::Missing { .. }))
    }
}

impl Snapshot {
    /// One that a job's pointer lists.
    pub(super) fn kept(
        store: &Arc<dyn ObjectStore>,
        snapshot: &SnapshotRef,
    ) -> Result<Self, ReadSnapshotError> {
        let bytes = read(store.as_ref(), &snapshot.path)?;
        fsck::verify_metadata(snapshot, &bytes).map_err(ReadSnapshotError::Defect)?;
        Self::decode(store, &snapshot.path, &bytes)
    }

    /// One in a job's folder that the pointer does not vouch for.
    pub(super) fn in_job(
        store: &Arc<dyn ObjectStore>,
        path: &str,
    ) -> Result<Self, ReadSnapshotError> {
        Self::decode(store, path, &read(store.as_ref(), path)?)
    }

    /// One whose folder is all that is known.
    pub(super) fn alone(
        store: &Arc<dyn ObjectStore>,
        options: &StoreOptions,
    ) -> Result<Self, ReadSnapshotError> {
        let mut snapshot = Self::decode(store, "", &read(store.as_ref(), "")?)?;
        if snapshot.metadata.kind == SnapshotKind::Savepoint {
            return Ok(snapshot);
        }
        let location = store.location();
        // What is left of `s3://bucket` is no folder.
        let parent = location
            .rsplit_once('/')
            .filter(|(parent, _)| !parent.is_empty() && !parent.ends_with('/'));
        let Some((parent, name)) = parent else {
            return Err(ReadSnapshotError::Alone { location });
        };
        snapshot.store = weir_storage::open(parent, options).map_err(ReadSnapshotError::Store)?;
        name.clone_into(&mut snapshot.path);
        Ok(snapshot)
    }

    fn decode(
        store: &Arc<dyn ObjectStore>,
        path: &str,
        bytes: &[u8],
    ) -> Result<Self, ReadSnapshotError> {
        let metadata = metadata::decode(bytes).map_err(|source| ReadSnapshotError::Metadata {
            path: join(path, METADATA),
            source,
        })?;
        let location = store.location();
        Ok(Self {
            location: match path {
                "" => location,
                path => format!("{}/{path}", location.trim_end_matches('/')),
            },
            metadata,
            metadata_size: bytes.len() as u64,
            store: Arc::clone(store),
            path: path.to_owned(),
        })
    }

    /// The bytes of the state in it.
    pub(super) fn state_size(&self) -> u64 {
        let operators = self.metadata.operators.iter();
        let sizes = operators.map(|operator| {
            let enumerator = operator.enumerator.as_ref().map_or(0, Vec::len) as u64;
            let subtasks = operator.subtasks.iter();
            enumerator + subtasks.map(|(_, state)| size_of(state)).sum::<u64>()
        });
        sizes.sum()
    }

    /// Where one of its objects lies in `store`.
    pub(super) fn place(&self, object: &ObjectRef) -> String {
        match (self.metadata.kind, self.path.as_str()) {
            (SnapshotKind::Savepoint, "") => object.path.clone(),
            (kind, path) => collector::place(path, kind, object),
        }
    }

    /// The objects to read, and what is wrong with the metadata itself.
    pub(super) fn checks(&self) -> (Vec<Check>, Vec<Defect>) {
        if !self.path.is_empty() {
            return fsck::checks(&self.path, &self.metadata);
        }
        // A savepoint's objects get their folder's name, which the store here has already.
        let (mut checks, defects) = fsck::checks("savepoint", &self.metadata);
        for check in &mut checks {
            if let Some(path) = check.path.strip_prefix("savepoint/") {
                check.path = path.to_owned();
            }
        }
        (checks, defects)
    }
}

/// What a job needs beside what it keeps, as far as it is there: a snapshot of an operation that is
/// open, and the one that a person had the job begin with, which may lie anywhere.
pub(super) fn roots(
    folder: &Folder,
    pointer: &Pointer,
    options: &StoreOptions,
) -> Vec<Result<Snapshot, ReadSnapshotError>> {
    let kept = |root: &Root| pointer.retained.iter().any(|kept| kept.path == root.path);
    let open = pointer.roots.iter().filter(|root| !kept(root));
    let read = open.map(|root| {
        if !is_address(&root.path)
            && let Ok(path) = ObjectPath::new(root.path.as_str())
        {
            let inside = Snapshot::in_job(&folder.store, path.as_str());
            if !matches!(&inside, Err(error) if error.is_absent()) {
                return inside;
            }
        }
        let store = weir_storage::open(folder_of(&root.path), options);
        Snapshot::alone(&store.map_err(ReadSnapshotError::Store)?, options)
    });
    // The operation may not have written it yet; or the job has long had its own, and the one
    // that it began with was deleted.
    let needed = |read: &Result<Snapshot, ReadSnapshotError>| match read {
        Ok(_) => true,
        Err(error) => !error.is_absent(),
    };
    read.filter(needed).collect()
}

/// Whether a path says where it is by itself.
fn is_address(path: &str) -> bool {
    path.starts_with('/') || path.starts_with("file:") || path.contains("://")
}

pub(super) fn size_of(state: &OperatorSubtaskState) -> u64 {
    let keyed = state.keyed.iter().map(|handle| &handle.stored);
    let others = state.operator_state.iter().chain(&state.raw);
    keyed.chain(others).map(|stored| stored.size()).sum()
}

fn read(store: &dyn ObjectStore, folder: &str) -> Result<Vec<u8>, ReadSnapshotError> {
    let path = join(folder, METADATA);
    let name = ObjectPath::new(path.as_str()).map_err(ReadSnapshotError::Path)?;
    store.get(&name).map_err(|error| match error.kind {
        StoreErrorKind::NotFound => ReadSnapshotError::Defect(Defect::Missing { path }),
        _ => ReadSnapshotError::Store(error),
    })
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() {
        return name.to_owned();
    }
    format!("{}/{name}", folder.trim_end_matches('/'))
}
