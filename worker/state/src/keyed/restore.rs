//! Chooses, out of the snapshots of any number of subtasks, what belongs to this one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use crate::error::StateError;
use crate::snapshot::{GroupBlock, KeyedSnapshot, StateMeta, StateSnapshot};
use crate::table::shards::KeyGroups;
use crate::table::state_table::{StateTable, ValueFormat};

/// A state as it came out of snapshots: records that are decoded when the program asks for it.
pub(crate) struct Restored {
    pub(crate) meta: StateMeta,
    groups: BTreeMap<KeyGroup, Vec<u8>>,
}

impl Restored {
    /// Puts the state into the table that the program made for it.
    pub(crate) fn load(
        &self,
        declared: &StateMeta,
        table: &mut impl StateTable,
        format: ValueFormat,
    ) -> Result<(), StateError> {
        if !self.meta.is_readable_as(declared) {
            return Err(StateError::Incompatible {
                state: declared.name.clone(),
                snapshot: self.meta.to_string(),
                program: declared.to_string(),
            });
        }
        for (group, bytes) in &self.groups {
            table
                .restore(*group, bytes, format)
                .map_err(|source| StateError::decode(&declared.name, source))?;
        }
        Ok(())
    }

    /// The state as it was, for the next snapshot.
    pub(crate) fn to_snapshot(&self) -> StateSnapshot {
        let blocks = self.groups.iter();
        let blocks = blocks.map(|(group, bytes)| GroupBlock {
            group: *group,
            bytes: bytes.clone(),
        });
        StateSnapshot {
            meta: self.meta.clone(),
            complete: true,
            blocks: blocks.collect(),
        }
    }
}

/// Collects the states of the wanted key groups, by name.
pub(crate) fn collect(
    wanted: KeyGroups,
    snapshots: impl IntoIterator<Item = KeyedSnapshot>,
) -> Result<BTreeMap<String, Restored>, StateError> {
    let mut states = BTreeMap::<String, Restored>::new();
    let mut sources = Sources::default();
    for snapshot in snapshots {
        sources.add(&snapshot, wanted)?;
        for state in snapshot.states {
            add_state(&mut states, wanted.range, snapshot.range, state)?;
        }
    }
    sources.check_all_covered(wanted.range)?;
    Ok(states)
}

fn add_state(
    states: &mut BTreeMap<String, Restored>,
    wanted: KeyGroupRange,
    source: KeyGroupRange,
    state: StateSnapshot,
) -> Result<(), StateError> {
    let StateSnapshot {
        meta,
        complete,
        blocks,
    } = state;
    let restored = states.entry(meta.name.clone()).or_insert_with(|| Restored {
        meta: meta.clone(),
        groups: BTreeMap::new(),
    });
    if restored.meta != meta {
        return Err(StateError::Incompatible {
            state: meta.name.clone(),
            snapshot: restored.meta.to_string(),
            program: meta.to_string(),
        });
    }
    if complete {
        restored.groups.retain(|group, _| !source.contains(*group));
    }
    for GroupBlock { group, bytes } in blocks {
        if !wanted.contains(group) || !source.contains(group) {
            continue;
        }
        match restored.groups.entry(group) {
            Entry::Vacant(vacant) => drop(vacant.insert(bytes)),
            Entry::Occupied(mut block) => block.get_mut().extend(bytes),
        }
    }
    Ok(())
}

/// The subtasks whose snapshots were seen: their key groups and latest snapshot.
#[derive(Default)]
struct Sources(Vec<(KeyGroupRange, CheckpointId)>);

impl Sources {
    fn add(&mut self, snapshot: &KeyedSnapshot, wanted: KeyGroups) -> Result<(), StateError> {
        let KeyedSnapshot {
            checkpoint,
            base,
            max_parallelism,
            range,
            states: _,
        } = snapshot;
        let refuse = |cause: String| {
            Err(StateError::Restore {
                checkpoint: *checkpoint,
                range: *range,
                cause,
            })
        };
        if *max_parallelism != wanted.max_parallelism {
            return refuse(format!(
                "it was written with max parallelism {max_parallelism}, the job has {}; \
                 it cannot change, because keys are placed by it",
                wanted.max_parallelism
            ));
        }
        let known = self.0.iter_mut().find(|(source, _)| source == range);
        match (known, base) {
            (None, None) => {
                let overlaps =
                    |other: &KeyGroupRange| other.start <= range.end && range.start <= other.end;
                if let Some((other, _)) = self.0.iter().find(|(other, _)| overlaps(other)) {
                    return refuse(format!("another snapshot covers key groups {other}"));
                }
                self.0.push((*range, *checkpoint));
                Ok(())
            }
            (Some((_, latest)), Some(base)) if latest == base => {
                *latest = *checkpoint;
                Ok(())
            }
            (Some((_, latest)), None) => {
                refuse(format!("it is a full one and follows snapshot {latest}"))
            }
            (Some((_, latest)), Some(base)) => refuse(format!(
                "it continues snapshot {base}, but {latest} came before it"
            )),
            (None, Some(base)) => {
                refuse(format!("snapshot {base}, which it continues, is missing"))
            }
        }
    }

    fn check_all_covered(&self, wanted: KeyGroupRange) -> Result<(), StateError> {
        let covered = |group: &KeyGroup| self.0.iter().any(|(range, _)| range.contains(*group));
        match wanted.iter().find(|group| !covered(group)) {
            Some(group) => Err(StateError::RestoreGap { group }),
            None => Ok(()),
        }
    }
}
