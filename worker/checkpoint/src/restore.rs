//! Who gets what of a checkpoint when a job starts from it, possibly at another parallelism
//! (Flink's `StateAssignmentOperation`). A pure function of the checkpoint's metadata and the
//! program: what does not fit is refused here, before anything runs.
//!
//! - Keyed state goes by key groups: a subtask gets the files of all former subtasks that share key
//!   groups with it, each cut to those.
//! - Operator state of all former subtasks goes to every subtask, which takes its own part by
//!   `weir_state::own_part`. Only the states' own bytes say which lists are in them and how long
//!   these are, and larger ones lie in objects, which are not read here. All subtasks share one
//!   copy.
//! - What operators keep for themselves goes from former subtask `i` to subtask `i` modulo the new
//!   parallelism, so that each is continued exactly once.
//! - A subtask has ended if the same one had, at the same parallelism, or all had.

mod check;

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_state::KeyedSnapshot;
use weir_types::{CheckpointId, KeyGroupRange, OperatorId, SubtaskIndex, VertexId};

pub use self::check::{RestoreError, WhichOperator};
use crate::coordinator::OperatorInfo;
use crate::handle::{KeyedHandle, OperatorRestore, Stored, SubtaskRestore};
use crate::keyed_file::{self, Compression};
use crate::metadata::{CheckpointMetadata, OperatorMetadata};
use crate::pointer::SnapshotKind;

/// What a person allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreOptions {
    /// State of operators that the program no longer has is left behind (Flink's
    /// `allowNonRestoredState`), unless results that were promised would be lost with it.
    pub allow_non_restored_state: bool,
}

/// A checkpoint, dealt out to the subtasks of a program.
#[derive(Clone, Debug)]
pub struct RestorePlan {
    checkpoint: CheckpointId,
    kind: SnapshotKind,
    base: String,
    own: bool,
    operators: Vec<Planned>,
    /// What the enumerators of sources continue with.
    pub enumerators: BTreeMap<OperatorId, Vec<u8>>,
    /// Operators of the program that the checkpoint says nothing of: they start empty. For a
    /// message.
    pub starts_empty: Vec<WhichOperator>,
    /// Operators whose state is left behind because that was allowed. For a message.
    pub left_behind: Vec<WhichOperator>,
}

/// An operator of the program with what the checkpoint has of it.
#[derive(Clone, Debug)]
struct Planned {
    info: OperatorInfo,
    /// Its subtasks are in order, and without their operator state.
    former: Option<OperatorMetadata>,
    /// That of all former subtasks.
    operator_state: Arc<[(SubtaskIndex, Stored)]>,
}

/// Deals out a checkpoint or savepoint. `base` is the folder that its objects' names are relative
/// to; `own` says that they belong to this job's own checkpoints.
pub fn plan(
    metadata: &CheckpointMetadata,
    base: String,
    own: bool,
    program: &[OperatorInfo],
    options: RestoreOptions,
) -> Result<RestorePlan, RestoreError> {
    let left_behind = check::left_behind(metadata, program, options)?;
    let former_of = |id| metadata.operators.iter().find(|known| known.operator == id);
    let mut operators = Vec::with_capacity(program.len());
    let mut enumerators = BTreeMap::new();
    let mut starts_empty = Vec::new();
    for info in program {
        let former = former_of(info.operator);
        match former {
            Some(former) => check::fits(former, info)?,
            None => starts_empty.push(WhichOperator::of_program(info)),
        }
        if let Some(enumerator) = former.and_then(|former| former.enumerator.clone()) {
            enumerators.insert(info.operator, enumerator);
        }
        operators.push(Planned::new(info.clone(), former.cloned()));
    }
    Ok(RestorePlan {
        checkpoint: metadata.id,
        kind: metadata.kind,
        base,
        own,
        operators,
        enumerators,
        starts_empty,
        left_behind,
    })
}

impl RestorePlan {
    /// The checkpoint or savepoint.
    pub fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }

    /// The same as a person calls it.
    pub fn snapshot(&self) -> String {
        format!("{} {}", self.kind.noun(), self.checkpoint)
    }

    /// What a subtask is restored from: an entry for each operator of its chain that the
    /// checkpoint knows.
    pub fn subtask(&self, vertex: VertexId, subtask: SubtaskIndex) -> SubtaskRestore {
        let of_vertex = || {
            let operators = self.operators.iter();
            operators.filter(|planned| planned.info.vertex == vertex)
        };
        let operators = of_vertex().filter_map(|planned| {
            let restore = planned.restore(self.checkpoint, subtask)?;
            Some((planned.info.operator, restore))
        });
        SubtaskRestore {
            checkpoint: self.checkpoint,
            base: self.base.clone(),
            own: self.own,
            operators: operators.collect(),
            ended: of_vertex().next().is_some()
                && of_vertex().all(|planned| planned.has_ended(subtask)),
        }
    }
}

impl Planned {
    fn new(info: OperatorInfo, mut former: Option<OperatorMetadata>) -> Self {
        let mut operator_state = Vec::new();
        if let Some(former) = &mut former {
            former.subtasks.sort_by_key(|(subtask, _)| *subtask);
            let states = former.subtasks.iter_mut();
            operator_state.extend(states.filter_map(|(subtask, state)| {
                let stored = state.operator_state.take()?;
                Some((*subtask, stored))
            }));
        }
        Self {
            info,
            former,
            operator_state: operator_state.into(),
        }
    }

    /// What a subtask of it is restored from; none: the checkpoint does not know it.
    fn restore(&self, checkpoint: CheckpointId, subtask: SubtaskIndex) -> Option<OperatorRestore> {
        let former = self.former.as_ref()?;
        let states = &former.subtasks;
        let parallelism = self.info.parallelism;
        let has_keyed = states.iter().any(|(_, state)| !state.keyed.is_empty());
        let mut keyed = Vec::new();
        if has_keyed {
            let range = KeyGroupRange::of_subtask(former.max_parallelism, parallelism, subtask.0);
            let handles = states.iter().flat_map(|(_, state)| &state.keyed);
            keyed.extend(handles.filter_map(|handle| clipped(handle, range)));
            let empty = former.empty_ranges();
            let empty = empty.map(|range| former.empty_file(checkpoint, range));
            keyed.extend(empty.filter_map(|handle| clipped(&handle, range)));
        }
        let raw = states
            .iter()
            .filter(|(former, _)| former.0 % parallelism == subtask.0)
            .filter_map(|(former, state)| Some((*former, state.raw.clone()?)));
        Some(OperatorRestore {
            keyed,
            operator_state: Arc::clone(&self.operator_state),
            former_parallelism: former.parallelism,
            raw: raw.collect(),
        })
    }

    fn has_ended(&self, subtask: SubtaskIndex) -> bool {
        self.former.as_ref().is_some_and(|former| {
            let all = former.ended.len() as u64 == u64::from(former.parallelism);
            let same = former.parallelism == self.info.parallelism;
            all || (same && former.ended.contains(&subtask))
        })
    }
}

impl OperatorMetadata {
    /// The key groups of subtasks that had ended and left no keyed state: there is nothing in
    /// them, and nothing is missing.
    fn empty_ranges(&self) -> impl Iterator<Item = KeyGroupRange> {
        let (max, parallelism) = (self.max_parallelism, self.parallelism);
        let without_keyed = |subtask: &&SubtaskIndex| {
            let mut states = self.subtasks.iter();
            !states.any(|(other, state)| other == *subtask && !state.keyed.is_empty())
        };
        let empty = self.ended.iter().filter(without_keyed);
        empty.map(move |subtask| KeyGroupRange::of_subtask(max, parallelism, subtask.0))
    }

    /// A file that says of these key groups that there is nothing in them.
    fn empty_file(&self, checkpoint: CheckpointId, range: KeyGroupRange) -> KeyedHandle {
        let max_parallelism = self.max_parallelism;
        let snapshot = KeyedSnapshot {
            checkpoint,
            base: None,
            max_parallelism,
            range,
            states: Vec::new(),
        };
        KeyedHandle {
            stored: Stored::Inline(keyed_file::encode(&snapshot, Compression::None)),
            checkpoint,
            base: None,
            range,
            max_parallelism,
            states: Vec::new(),
        }
    }
}

/// The handle with only those key groups that lie in the range, too.
fn clipped(handle: &KeyedHandle, range: KeyGroupRange) -> Option<KeyedHandle> {
    let start = handle.range.start.max(range.start);
    let end = handle.range.end.min(range.end);
    (start <= end).then(|| KeyedHandle {
        range: KeyGroupRange { start, end },
        ..handle.clone()
    })
}

#[cfg(test)]
mod tests;
