//! The questions about stores that need no JobManager: what is there, what does it consist of, is
//! it whole, and what does nothing need any more.
//!
//! What to read and what to think of it is decided in `weir_checkpoint`; here is who reads, and
//! deletes. A job may run meanwhile, elsewhere: nothing here ever moves a pointer, an answer is
//! about the pointer as it was read, and deleting stops when the pointer has moved on. (The one
//! exception is [`clear`], which takes the job away from whoever has it.) Everything blocks, on the
//! thread of the command.
//!
//! Failure story: what is wrong with one job or one snapshot is told in its place of the report,
//! and the others go on. A [`Failure`] is what leaves nothing to report.

mod check;
mod clear;
mod inspect;
mod place;
mod snapshot;
mod sweep;

use weir_checkpoint::pointer::{Pointer, RunState, SnapshotRef};
use weir_cli::{
    ClearRequest, Failure, FsckReport, FsckRequest, GcReport, GcRequest, InspectRequest,
    SnapshotReport, StoreListing, StoreRequest, StoredJob, StoredSnapshot,
};
use weir_storage::StoreOptions;
use weir_types::{SystemClock, causes};

use self::place::{Folder, Found, Place};
use self::snapshot::Snapshot;

/// The jobs of a store with what they keep.
pub(crate) fn ls(request: StoreRequest) -> Result<StoreListing, Failure> {
    let place = Place::open(&request)?;
    let jobs = place.folders()?;
    let jobs = jobs.iter().map(|folder| stored(folder, &place.options));
    Ok(StoreListing {
        location: place.store.location(),
        jobs: jobs.collect(),
    })
}

/// What one checkpoint or savepoint consists of.
pub(crate) fn inspect(request: InspectRequest) -> Result<SnapshotReport, Failure> {
    let place = Place::open(&request.store)?;
    let snapshot = inspect::find(&place, &request.which)?;
    Ok(inspect::report(&snapshot))
}

/// Reads all that is kept and compares checksums.
pub(crate) fn fsck(request: FsckRequest) -> Result<FsckReport, Failure> {
    let place = Place::open(&request.store)?;
    let jobs = match place.look()? {
        Found::Folders(folders) => {
            let jobs = folders.iter();
            jobs.map(|folder| check::folder(folder, &place.options))
                .collect()
        }
        Found::Snapshot(folder) => vec![check::folder(&folder, &place.options)],
    };
    Ok(FsckReport { jobs })
}

/// Finds what nothing needs any more, and deletes it if that is wanted.
pub(crate) fn gc(request: GcRequest) -> Result<GcReport, Failure> {
    let place = Place::open(&request.store)?;
    sweep::sweep(&place, &request, &SystemClock)
}

/// Deletes the checkpoints of a job that is over.
pub(crate) fn clear(request: ClearRequest) -> Result<GcReport, Failure> {
    let place = Place::open(&request.store)?;
    clear::clear(&place, &request, &SystemClock)
}

fn stored(folder: &Folder, options: &StoreOptions) -> StoredJob {
    let name = folder.name.clone();
    let pointer = match folder.pointer() {
        Ok(pointer) => pointer,
        Err(error) => {
            return StoredJob {
                name,
                problem: Some(causes(&error)),
                ..StoredJob::default()
            };
        }
    };
    let outside = snapshot::roots(folder, &pointer, options);
    let mut snapshots: Vec<_> = outside.iter().flatten().map(stored_root).collect();
    snapshots.extend(
        pointer
            .retained
            .iter()
            .map(|kept| stored_snapshot(folder, &pointer, kept)),
    );
    StoredJob {
        name,
        state: word(&pointer.run_state).to_owned(),
        epoch: pointer.epoch.0,
        deployment: pointer.deployment,
        holder: pointer.holder.clone(),
        snapshots,
        problem: None,
    }
}

fn stored_snapshot(folder: &Folder, pointer: &Pointer, kept: &SnapshotRef) -> StoredSnapshot {
    let read = Snapshot::kept(&folder.store, kept);
    StoredSnapshot {
        id: kept.id.0,
        epoch: kept.epoch.0,
        kind: kept.kind.noun().to_owned(),
        location: format!("{}/{}", folder.store.location(), kept.path),
        completed: kept.completed_ms,
        operation: kept.operation.as_ref().map(|operation| operation.0.clone()),
        latest: pointer.latest.as_ref() == Some(kept),
        state_size: read.ok().map(|snapshot| snapshot.state_size()),
    }
}

/// One that the job needs though it is not among those that it keeps.
fn stored_root(snapshot: &Snapshot) -> StoredSnapshot {
    let metadata = &snapshot.metadata;
    let operation = metadata.operation.as_ref();
    StoredSnapshot {
        id: metadata.id.0,
        epoch: metadata.epoch.0,
        kind: metadata.kind.noun().to_owned(),
        location: snapshot.location.clone(),
        completed: metadata.completed_ms,
        operation: operation.map(|operation| operation.0.clone()),
        latest: false,
        state_size: Some(snapshot.state_size()),
    }
}

fn word(state: &RunState) -> &'static str {
    match state {
        RunState::Running => "running",
        RunState::Stopping(_) => "stopping",
        RunState::Stopped(_) => "stopped",
        RunState::Finished => "finished",
        RunState::Failed => "failed",
        RunState::Cancelled => "cancelled",
        RunState::Deleted => "deleted",
    }
}

#[cfg(test)]
mod tests;
