//! What one checkpoint or savepoint consists of, by its metadata alone.

use std::collections::BTreeSet;
use std::ops::Range;

use anyhow::anyhow;
use weir_checkpoint::blob;
use weir_checkpoint::collector::metadata_objects;
use weir_checkpoint::handle::{OperatorSubtaskState, Stored};
use weir_checkpoint::keyed_file::{Compression, Reader};
use weir_checkpoint::metadata::OperatorMetadata;
use weir_cli::{
    Failure, OperatorReport, SnapshotChoice, SnapshotReport, StateReport, SubtaskReport,
};
use weir_state::{OperatorSnapshot, OperatorStateMode, StateKind, StateMeta};
use weir_storage::ObjectPath;
use weir_types::{CheckpointId, SubtaskIndex};

use super::place::{Folder, Found, Place};
use super::snapshot::Snapshot;

/// How many files are looked into for what is told of all.
const FILES_READ_MAX: usize = 8;

/// The one that is meant.
pub(super) fn find(place: &Place, which: &SnapshotChoice) -> Result<Snapshot, Failure> {
    match (which, place.look()?) {
        (SnapshotChoice::Here, Found::Snapshot(folder)) => {
            let snapshot = Snapshot::alone(&folder.store, &place.options);
            snapshot.map_err(Failure::failed)
        }
        (SnapshotChoice::Here, Found::Folders(_)) => Err(Failure::usage(anyhow!(
            "{} is not the folder of a checkpoint or savepoint: it holds no `_metadata`; \
             `weir checkpoints ls --dir` tells the folders of a job's",
            place.store.location()
        ))),
        (SnapshotChoice::Number(_), Found::Snapshot(folder)) => Err(Failure::usage(anyhow!(
            "{} is the folder of one checkpoint or savepoint: leave out the number",
            folder.store.location()
        ))),
        (SnapshotChoice::Number(id), Found::Folders(folders)) => match folders.as_slice() {
            [folder] => kept(folder, CheckpointId(*id)),
            [] => Err(Failure::usage(anyhow!(
                "{} holds no job",
                place.store.location()
            ))),
            folders => {
                let names: Vec<_> = folders.iter().map(|each| each.name.as_str()).collect();
                Err(Failure::usage(anyhow!(
                    "{} holds several jobs: name one with `--job`: {}",
                    place.store.location(),
                    names.join(", ")
                )))
            }
        },
    }
}

fn kept(folder: &Folder, id: CheckpointId) -> Result<Snapshot, Failure> {
    let pointer = folder.pointer().map_err(Failure::failed)?;
    let Some(found) = pointer.retained.iter().find(|kept| kept.id == id) else {
        let there: Vec<_> = pointer.retained.iter().map(|k| k.id.to_string()).collect();
        let there = match there.as_slice() {
            [] => "none".to_owned(),
            ids => ids.join(", "),
        };
        return Err(Failure::usage(anyhow!(
            "job {} keeps no checkpoint or savepoint {id}: it keeps {there}",
            folder.name
        )));
    };
    Snapshot::kept(&folder.store, found).map_err(Failure::failed)
}

pub(super) fn report(snapshot: &Snapshot) -> SnapshotReport {
    let metadata = &snapshot.metadata;
    let objects: BTreeSet<_> = metadata_objects(metadata).map(|each| &each.path).collect();
    let operation = metadata.operation.as_ref();
    SnapshotReport {
        location: snapshot.location.clone(),
        id: metadata.id.0,
        epoch: metadata.epoch.0,
        kind: metadata.kind.noun().to_owned(),
        state_id: metadata.state_id.to_string(),
        operation: operation.map(|operation| operation.0.clone()),
        triggered: metadata.triggered_ms,
        completed: metadata.completed_ms,
        weir_version: metadata.weir_version.clone(),
        objects: objects.len() as u64,
        state_size: snapshot.state_size(),
        compression: compression(snapshot).map(str::to_owned),
        operators: metadata.operators.iter().map(operator).collect(),
    }
}

/// How keyed state is compressed: what the files say of themselves, as the metadata does not. What
/// is damaged is for fsck to tell.
fn compression(snapshot: &Snapshot) -> Option<&'static str> {
    let operators = snapshot.metadata.operators.iter();
    let subtasks = operators.flat_map(|operator| &operator.subtasks);
    let files = subtasks.flat_map(|(_, state)| &state.keyed);
    let mut found = None;
    for file in files.take(FILES_READ_MAX) {
        match compression_of(snapshot, &file.stored) {
            Some(Compression::Lz4) => return Some("lz4"),
            Some(Compression::None) => found = Some("none"),
            None => {}
        }
    }
    found
}

fn compression_of(snapshot: &Snapshot, stored: &Stored) -> Option<Compression> {
    let mut read = |range: Range<u64>| match stored {
        Stored::Inline(bytes) => {
            let place = usize::try_from(range.start)
                .ok()
                .zip(range.end.try_into().ok());
            let bytes = place.and_then(|(start, end): (usize, usize)| bytes.get(start..end));
            bytes.map(<[u8]>::to_vec).ok_or(Unread)
        }
        Stored::Object(object) => {
            let path = ObjectPath::new(snapshot.place(object)).map_err(|_| Unread)?;
            snapshot.store.get_range(&path, range).map_err(|_| Unread)
        }
        // A database compresses its files by options of its own.
        Stored::Files(_) => Err(Unread),
    };
    let reader = Reader::open(&mut read, stored.size()).ok()?;
    Some(reader.compression())
}

/// A part of a file that cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be read")]
struct Unread;

fn operator(operator: &OperatorMetadata) -> OperatorReport {
    let OperatorMetadata {
        operator: id,
        name,
        uid,
        parallelism,
        max_parallelism,
        enumerator,
        subtasks,
        ended,
    } = operator;
    OperatorReport {
        id: id.to_string(),
        name: name.clone(),
        uid: uid.clone(),
        parallelism: *parallelism,
        max_parallelism: *max_parallelism,
        ended: u32::try_from(ended.len()).unwrap_or(u32::MAX),
        enumerator_size: enumerator.as_ref().map_or(0, Vec::len) as u64,
        states: states(operator),
        subtasks: subtasks
            .iter()
            .map(|(index, state)| subtask(*index, state))
            .collect(),
    }
}

fn subtask(index: SubtaskIndex, state: &OperatorSubtaskState) -> SubtaskReport {
    let size = |stored: &Option<Stored>| stored.as_ref().map_or(0, Stored::size);
    let files = |stored: &Stored| match stored {
        Stored::Inline(_) | Stored::Object(_) => 1,
        Stored::Files(files) => files.len(),
    };
    let keyed_files: usize = state.keyed.iter().map(|handle| files(&handle.stored)).sum();
    SubtaskReport {
        subtask: index.0,
        keyed_size: state.keyed.iter().map(|handle| handle.stored.size()).sum(),
        keyed_files: u32::try_from(keyed_files).unwrap_or(u32::MAX),
        operator_size: size(&state.operator_state),
        raw_size: size(&state.raw),
        uncommitted: state.uncommitted,
    }
}

/// Keyed states are told by the metadata; operator states by their own bytes, which are few and
/// so mostly lie in the metadata. Subtasks have the same ones, or some of them.
fn states(operator: &OperatorMetadata) -> Vec<StateReport> {
    let mut states: Vec<StateReport> = Vec::new();
    let mut add = |state: StateReport| {
        if !states.contains(&state) {
            states.push(state);
        }
    };
    for (_, state) in &operator.subtasks {
        for handle in &state.keyed {
            handle.states.iter().map(keyed).for_each(&mut add);
        }
        let Some(Stored::Inline(bytes)) = &state.operator_state else {
            continue;
        };
        // What is damaged is for fsck to tell.
        let snapshot = blob::decode::<OperatorSnapshot>(bytes).unwrap_or_default();
        for state in snapshot.states {
            add(StateReport {
                name: state.meta.name,
                kind: match state.meta.mode {
                    OperatorStateMode::Split => "operator list",
                    OperatorStateMode::Union => "operator union list",
                    OperatorStateMode::Broadcast => "broadcast",
                }
                .to_owned(),
                value_type: state.meta.element_type,
            });
        }
    }
    states
}

fn keyed(meta: &StateMeta) -> StateReport {
    let mut value_type = format!("{} by {}", meta.value_type, meta.key_type);
    if meta.namespace_type != "()" {
        value_type.push_str(" and ");
        value_type.push_str(&meta.namespace_type);
    }
    if meta.timed {
        value_type.push_str(", with a time to live");
    }
    StateReport {
        name: meta.name.clone(),
        kind: match meta.kind {
            StateKind::Value => "value",
            StateKind::List => "list",
            StateKind::Map => "map",
            StateKind::Reducing => "reducing",
            StateKind::Aggregating => "aggregating",
            StateKind::Timers => "timers",
        }
        .to_owned(),
        value_type,
    }
}
