//! Which objects nothing needs any more: mark and sweep. A pure function of the pointer, of the
//! metadata of all that it lists, and of a listing of the job's state folder.
//!
//! **Mark**: the pointer lists the snapshots that are kept and the folders of open operations.
//! Their metadata and all objects that it names are needed; of an operation's folder, all that is
//! in it. So is all in the folder of a snapshot that may yet complete: while the job is not over,
//! that is one of the leader's epoch with a number above the newest complete one's. **Sweep**: of
//! the rest, what is older than the grace period goes.
//!
//! Why an object that goes never becomes needed again: of two snapshots the older never completes
//! after the newer, and none of an epoch that was followed by another; and a checkpoint refers to
//! its own new objects and to those of kept snapshots only ([`reused_outside`] tells). Neither
//! needs a clock, so the collector may be a process that knows nothing of what the job's leader is
//! doing, nor of its time-outs. Objects under `shared/` do not say whose they are: for them the
//! grace period must be longer than twice the longest time-out, as no write of the pointer that
//! names a checkpoint begins after that. Whoever deletes must read the pointer again before each
//! batch and stop if it no longer fits ([`Batch::still_holds`]): the kept snapshots may be others
//! by then.
//!
//! Only objects in folders that snapshots are written to are ever deleted: the pointer itself and
//! whatever else lies there stays. What sinks keep under `taskowned/` is theirs to delete.
//!
//! A leading JobManager knows more than a listing tells, and so deletes sooner: see [`upkeep`].

pub mod upkeep;

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{CheckpointId, Epoch, hash128};

use crate::handle::{ObjectRef, Stored};
use crate::metadata::CheckpointMetadata;
use crate::pointer::{Pointer, Root, SnapshotKind, SnapshotRef};

/// The object with a snapshot's metadata, in its folder.
pub const METADATA: &str = "_metadata";

/// An object in the job's state folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name, relative to the folder.
    pub path: String,
    /// How many bytes it has.
    pub size: u64,
    /// When it was written, by the store's clock, in milliseconds since 1970.
    pub modified_ms: i64,
}

/// What the pointer lists, with what was read of it.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The metadata of snapshots, by their folder. All that the pointer keeps must be there; of an
    /// open operation, it may not be written yet.
    pub metadata: BTreeMap<String, CheckpointMetadata>,
}

/// Nothing may be deleted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// What a kept snapshot needs is unknown.
    #[error(
        "collect: the metadata of kept snapshot `{path}` was not read, so what it needs is not \
         known; nothing is deleted"
    )]
    Unread {
        /// Its folder.
        path: String,
    },
    /// The metadata is of another snapshot than the pointer says.
    #[error(
        "collect: the metadata in `{path}` is that of snapshot {found}, the pointer says \
         {expected}; nothing is deleted"
    )]
    Mismatch {
        /// Its folder.
        path: String,
        /// What the pointer says.
        expected: u64,
        /// What it says itself.
        found: u64,
    },
}

/// What is needed.
#[derive(Clone, Debug)]
pub struct Marked {
    token: Token,
    objects: BTreeSet<String>,
    folders: Vec<String>,
    /// None: the job is over, nothing is being written.
    open: Option<Open>,
}

/// Which snapshots may yet complete.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Of this epoch, or of one whose claim the pointer did not show yet.
    epoch: Epoch,
    /// The newest that is complete.
    latest: Option<CheckpointId>,
}

/// The state of the pointer that a decision rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    epoch: Epoch,
    roots: u128,
}

/// Objects to delete, if the pointer still is what it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    token: Token,
    /// The objects.
    pub objects: Vec<Listed>,
}

/// How much is deleted, and when.
#[derive(Clone, Copy, Debug)]
pub struct SweepOptions {
    /// What time it is, in milliseconds since 1970. Ages are told from it and the store's times of
    /// writing: where it is another clock's than the store's, the grace period must make up for the
    /// difference.
    pub now_ms: i64,
    /// How old an object must be.
    pub grace_ms: i64,
    /// How many objects make a batch.
    pub batch: usize,
}

impl Token {
    /// Of a pointer that was just read.
    pub fn of(pointer: &Pointer) -> Self {
        let Pointer {
            epoch,
            latest,
            retained,
            roots,
            ..
        } = pointer;
        let roots = postcard::to_allocvec(&(latest, retained, roots));
        Self {
            epoch: *epoch,
            roots: hash128(&roots.expect("plain data has an encoding")),
        }
    }
}

impl Batch {
    /// Objects that nothing needs, by what was marked.
    fn new(marked: &Marked, objects: Vec<Listed>) -> Self {
        Self {
            token: marked.token,
            objects,
        }
    }

    /// Whether it may be deleted, according to the pointer as it was read just now. If not, all
    /// further batches of the same sweep are void too: mark again.
    pub fn still_holds(&self, pointer: &Pointer) -> bool {
        self.token == Token::of(pointer)
    }
}

/// The folders whose metadata must be read for [`mark`]: those of kept snapshots, and those of open
/// operations, which may have none.
pub fn roots(pointer: &Pointer) -> (Vec<&SnapshotRef>, &[Root]) {
    let mut kept: Vec<&SnapshotRef> = pointer.retained.iter().collect();
    kept.extend(
        pointer
            .latest
            .iter()
            .filter(|latest| !pointer.retained.contains(latest)),
    );
    (kept, &pointer.roots)
}

/// Finds out what is needed.
pub fn mark(pointer: &Pointer, contents: &Contents) -> Result<Marked, MarkError> {
    let mut objects = BTreeSet::new();
    let mut folders = Vec::new();
    let (kept, open) = roots(pointer);
    for snapshot in kept {
        let path = &snapshot.path;
        let Some(metadata) = contents.metadata.get(path) else {
            return Err(MarkError::Unread { path: path.clone() });
        };
        if metadata.id != snapshot.id {
            return Err(MarkError::Mismatch {
                path: path.clone(),
                expected: snapshot.id.0,
                found: metadata.id.0,
            });
        }
        objects.extend(needed(path, metadata));
    }
    for root in open {
        folders.push(folder(&root.path));
        folders.push(folder(root_name(&root.path)));
        let metadata = contents.metadata.get(&root.path);
        objects.extend(
            metadata
                .into_iter()
                .flat_map(|metadata| needed(&root.path, metadata)),
        );
    }
    let open = Open {
        epoch: pointer.epoch,
        latest: pointer.latest.as_ref().map(|latest| latest.id),
    };
    Ok(Marked {
        token: Token::of(pointer),
        objects,
        folders,
        open: (!pointer.run_state.is_over()).then_some(open),
    })
}

/// What is to go, the oldest objects first.
pub fn sweep(marked: &Marked, listing: &[Listed], options: SweepOptions) -> Vec<Batch> {
    let goes = |listed: &&Listed| {
        let old = options.now_ms.saturating_sub(listed.modified_ms) > options.grace_ms;
        old && is_swept(&listed.path) && !marked.needs(&listed.path)
    };
    let mut objects: Vec<Listed> = listing.iter().filter(goes).cloned().collect();
    objects.sort_by(|a, b| (a.modified_ms, &a.path).cmp(&(b.modified_ms, &b.path)));
    let batches = objects.chunks(options.batch.max(1));
    batches
        .map(|objects| Batch::new(marked, objects.to_vec()))
        .collect()
}

/// What an open root is called in the job's state folder, if it lies there: a person may have named
/// it by an address or by a path from anywhere.
pub fn root_name(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(METADATA).unwrap_or(path);
    let path = path.trim_end_matches('/');
    path.rsplit('/').next().unwrap_or(path)
}

/// What a snapshot that is no longer kept referred to. Others may need some of it.
pub fn released(snapshot: &SnapshotRef, metadata: &CheckpointMetadata) -> Vec<Listed> {
    let path = &snapshot.path;
    let objects = metadata_objects(metadata)
        .map(|object| (place(path, metadata.kind, object), object.size))
        .chain([(format!("{}{METADATA}", folder(path)), snapshot.size)]);
    let unique: BTreeMap<String, u64> = objects.collect();
    let swept = unique.into_iter().filter(|(path, _)| is_swept(path));
    let listed = swept.map(|(path, size)| Listed {
        path,
        size,
        modified_ms: snapshot.completed_ms,
    });
    listed.collect()
}

/// The objects that a checkpoint takes over from others and that none of the kept snapshots holds.
/// A checkpoint with such objects must not be completed: they may be deleted at any moment.
pub fn reused_outside<'a>(
    metadata: &'a CheckpointMetadata,
    kept: &[&CheckpointMetadata],
) -> Vec<&'a ObjectRef> {
    let held: BTreeSet<&ObjectRef> = kept
        .iter()
        .filter(|kept| kept.kind == SnapshotKind::Checkpoint)
        .flat_map(|kept| metadata_objects(kept))
        .collect();
    let handles = metadata
        .operators
        .iter()
        .flat_map(|operator| &operator.subtasks)
        .flat_map(|(_, state)| &state.keyed);
    handles
        .flat_map(|handle| handle.reused(metadata.id))
        .filter(|object| !held.contains(object))
        .collect()
}

/// All objects that a snapshot's metadata names, as it names them.
pub fn metadata_objects(metadata: &CheckpointMetadata) -> impl Iterator<Item = &ObjectRef> {
    let subtasks = metadata
        .operators
        .iter()
        .flat_map(|operator| &operator.subtasks);
    subtasks.flat_map(|(_, state)| {
        let keyed = state.keyed.iter().map(|handle| &handle.stored);
        let others = state.operator_state.iter().chain(&state.raw);
        keyed.chain(others).flat_map(Stored::objects)
    })
}

/// The name of an object relative to the job's state folder: a checkpoint names it so, a savepoint
/// names it relative to its own folder, `path`.
pub fn place(path: &str, kind: SnapshotKind, object: &ObjectRef) -> String {
    match kind {
        SnapshotKind::Checkpoint => object.path.clone(),
        SnapshotKind::Savepoint if path.is_empty() => object.path.clone(),
        SnapshotKind::Savepoint => format!("{}{}", folder(path), object.path),
    }
}

fn needed(path: &str, metadata: &CheckpointMetadata) -> Vec<String> {
    let kind = metadata.kind;
    let objects = metadata_objects(metadata).map(|object| place(path, kind, object));
    let own = format!("{}{METADATA}", folder(path));
    objects.chain([own]).collect()
}

fn folder(path: &str) -> String {
    format!("{}/", path.trim_end_matches('/'))
}

/// Whether an object lies where snapshots are written.
fn is_swept(path: &str) -> bool {
    let Some((first, _)) = path.split_once('/') else {
        return false;
    };
    first == "shared" || first.starts_with("chk-") || first.starts_with("savepoint-")
}

impl Marked {
    /// Whether an object must stay, however old it is.
    pub fn needs(&self, path: &str) -> bool {
        self.objects.contains(path)
            || self.folders.iter().any(|folder| path.starts_with(folder))
            || self.open.is_some_and(|open| open.holds(path))
    }
}

impl Open {
    /// Whether an object lies in the folder of a snapshot that may yet complete.
    fn holds(self, path: &str) -> bool {
        number(path).is_some_and(|(epoch, id)| {
            epoch >= self.epoch && self.latest.is_none_or(|latest| id > latest)
        })
    }
}

/// Of which snapshot an object is, if its folder says so; see [`SnapshotKind::folder`].
fn number(path: &str) -> Option<(Epoch, CheckpointId)> {
    let (folder, _) = path.split_once('/')?;
    let (kind, id) = folder.rsplit_once('-')?;
    let (kind, epoch) = kind.rsplit_once('-')?;
    let named = matches!(kind, "chk" | "savepoint");
    named.then_some((Epoch(epoch.parse().ok()?), CheckpointId(id.parse().ok()?)))
}

#[cfg(test)]
mod tests;
