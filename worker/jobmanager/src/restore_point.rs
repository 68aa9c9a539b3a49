//! What a claimed job goes on from: its newest snapshot, if all of it is there.

use std::collections::HashMap;

use weir_checkpoint::collector::METADATA;
use weir_checkpoint::fsck::{self, Check};
use weir_checkpoint::metadata::{self, CheckpointMetadata, sha256_hex};
use weir_checkpoint::pointer::{Pointer, SnapshotRef};
use weir_storage::{ObjectPath, ObjectStore, StoreError, StoreErrorKind};
use weir_types::{CheckpointId, causes};

use crate::claiming::ClaimError;

/// How many older snapshots a job may go back to by itself without having been started again.
const OLDER_MAX: usize = 2;

/// How closely a snapshot is looked at before it is restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its metadata alone: the job still runs, and may let go of it at any moment.
    Metadata,
    /// Whether all of its objects are there, too, with as many bytes as they should have.
    Objects,
}

/// A snapshot that the pointer names.
pub enum Found {
    /// It is there.
    Whole(Box<CheckpointMetadata>),
    /// Something of it is gone, or not what was written.
    Unreadable(String),
}

/// A snapshot's metadata, checked against what the pointer says of it. A store that does not answer
/// says nothing about it.
pub fn find_snapshot(store: &dyn ObjectStore, snapshot: &SnapshotRef) -> Result<Found, StoreError> {
    let path = match ObjectPath::new(format!("{}/{METADATA}", snapshot.path)) {
        Ok(path) => path,
        Err(error) => return Ok(Found::Unreadable(error.to_string())),
    };
    let bytes = match store.get(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StoreErrorKind::NotFound => {
            return Ok(Found::Unreadable(causes(&error)));
        }
        Err(error) => return Err(error),
    };
    if sha256_hex(&bytes) != snapshot.sha256 {
        return Ok(Found::Unreadable(format!(
            "its metadata has another checksum than the pointer says ({} bytes, {} expected)",
            bytes.len(),
            snapshot.size
        )));
    }
    Ok(match metadata::decode(&bytes) {
        Ok(metadata) => Found::Whole(Box::new(metadata)),
        Err(error) => Found::Unreadable(causes(&error)),
    })
}

/// The same where it does not matter why there is none.
pub(crate) fn read_snapshot(
    store: &dyn ObjectStore,
    snapshot: &SnapshotRef,
) -> Result<CheckpointMetadata, String> {
    match find_snapshot(store, snapshot) {
        Ok(Found::Whole(metadata)) => Ok(*metadata),
        Ok(Found::Unreadable(cause)) => Err(cause),
        Err(error) => Err(causes(&error)),
    }
}

/// The objects of a job's folder with their sizes, listed once.
#[derive(Default)]
struct Listed(Option<HashMap<String, u64>>);

impl Listed {
    fn sizes(&mut self, store: &dyn ObjectStore) -> Result<&HashMap<String, u64>, StoreError> {
        if self.0.is_none() {
            let objects = store.list(&ObjectPath::default())?.into_iter();
            let objects = objects.map(|object| (object.path.as_str().to_owned(), object.size));
            self.0 = Some(objects.collect());
        }
        Ok(self.0.get_or_insert_default())
    }
}

/// Looks at a snapshot.
fn look_at(
    store: &dyn ObjectStore,
    snapshot: &SnapshotRef,
    look: Look,
    listed: &mut Listed,
) -> Result<Found, StoreError> {
    let found = find_snapshot(store, snapshot)?;
    let Found::Whole(metadata) = &found else {
        return Ok(found);
    };
    if look == Look::Metadata {
        return Ok(found);
    }
    let cause = what_is_missing(store, &snapshot.path, metadata, listed)?;
    Ok(cause.map_or(found, Found::Unreadable))
}

/// What of a snapshot's objects is not there, or has another size. `path`: its folder in the store.
fn what_is_missing(
    store: &dyn ObjectStore,
    path: &str,
    metadata: &CheckpointMetadata,
    listed: &mut Listed,
) -> Result<Option<String>, StoreError> {
    // What lies in the metadata itself is covered by its checksum.
    let (objects, _) = fsck::checks(path, metadata);
    let mut defects = Vec::new();
    if !objects.is_empty() {
        let sizes = listed.sizes(store)?;
        let verify = |object: &Check| object.verify_size(sizes.get(&object.path).copied());
        defects.extend(objects.iter().filter_map(|object| verify(object).err()));
    }
    Ok(match defects.split_first() {
        None => None,
        Some((first, [])) => Some(first.to_string()),
        Some((first, more)) => Some(format!(
            "{first}, and {} more of its objects are no good",
            more.len()
        )),
    })
}

/// What is not there of a snapshot that a person named. The store holds what the names of its
/// objects are relative to.
pub fn missing_objects(
    store: &dyn ObjectStore,
    metadata: &CheckpointMetadata,
) -> Result<Option<String>, StoreError> {
    what_is_missing(store, "", metadata, &mut Listed::default())
}

/// What a claimed job goes on from, and a warning for people if that is not its newest snapshot.
/// Only a job whose results cannot have been committed beyond it may fall back by itself, and never
/// to what it has left behind as it began anew.
pub fn restore_point(
    store: &dyn ObjectStore,
    pointer: &Pointer,
    transactional: bool,
    look: Look,
) -> Result<Option<(CheckpointMetadata, Option<String>)>, ClaimError> {
    let Some(latest) = &pointer.latest else {
        return Ok(None);
    };
    let mut listed = Listed::default();
    let mut found =
        |snapshot| look_at(store, snapshot, look, &mut listed).map_err(ClaimError::Store);
    let cause = match found(latest)? {
        Found::Whole(metadata) => return Ok(Some((*metadata, None))),
        Found::Unreadable(cause) => cause,
    };
    let older = pointer.retained.iter().rev();
    let older = older.filter(|older| pointer.is_own_branch(older) && older.id < latest.id);
    for older in older.filter(|_| !transactional) {
        if let Found::Whole(metadata) = found(older)? {
            let warning = format!(
                "{} cannot be read ({cause}): the job goes back to {}",
                latest.path, older.path
            );
            return Ok(Some((*metadata, Some(warning))));
        }
    }
    Err(ClaimError::LatestUnreadable {
        path: format!("{}/{}", store.location(), latest.path),
        cause,
    })
}

/// What a job that goes on from this snapshot may go back to by itself if that turns out to be
/// damaged, oldest first. What can't be read now is not among it.
pub fn older_points(
    store: &dyn ObjectStore,
    pointer: &Pointer,
    newest: CheckpointId,
) -> Vec<CheckpointMetadata> {
    let older = pointer.retained.iter().rev();
    let older = older.filter(|older| pointer.is_own_branch(older) && older.id < newest);
    let read = older.filter_map(|older| read_snapshot(store, older).ok());
    let mut read: Vec<_> = read.take(OLDER_MAX).collect();
    read.reverse();
    read
}

#[cfg(test)]
mod tests;
