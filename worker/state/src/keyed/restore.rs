//! Chooses, out of the snapshots of any number of subtasks, what belongs to this one.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use crate::codec::{CodecError, decode_front, encode};
use crate::error::StateError;
use crate::schema::{Change, ValueType, Written};
use crate::snapshot::{GroupBlock, KeyedSnapshot, StateMeta, StateSnapshot};
use crate::table::shards::KeyGroups;
use crate::table::state_table::{StateTable, ValueFormat};
use crate::table::unread::Part;

/// A state as it came out of snapshots: records that are decoded when the program asks for it.
#[derive(Default)]
pub(crate) struct Restored {
    /// Usually one. More if the program changed the state's encoding while a snapshot was copied:
    /// some key groups are then in the old one.
    metas: Vec<StateMeta>,
    groups: BTreeMap<KeyGroup, Block>,
}

#[derive(Clone)]
struct Block {
    /// The place of its meta.
    meta: usize,
    /// Of one snapshot behind the other.
    parts: Vec<Part>,
}

impl Block {
    fn joined(self) -> Vec<u8> {
        match <[Part; 1]>::try_from(self.parts) {
            Ok([only]) => Arc::try_unwrap(only).unwrap_or_else(|shared| shared.to_vec()),
            Err(parts) => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
                parts.concat()
            }
        }
    }
}

impl Restored {
    /// Puts the state into the table that the program made for it. `values` is the type that the
    /// program declares for its values. `later`: what is read when it is asked for may wait.
    pub(crate) fn load(
        &self,
        declared: &StateMeta,
        values: ValueType,
        (table, later): (&mut dyn StateTable, bool),
        now_ms: i64,
    ) -> Result<(), StateError> {
        let decode = |source| StateError::decode(&declared.name, source);
        let name = Arc::from(declared.name.as_str());
        let mut changes = Vec::new();
        for meta in &self.metas {
            changes.push(change(meta, declared, values)?);
        }
        for (group, block) in &self.groups {
            let meta = &self.metas[block.meta];
            let format = ValueFormat {
                version: meta.format_version,
                timed: meta.timed,
                now_ms,
            };
            if later && changes[block.meta] == Change::None {
                let taken = table.restore_later(*group, &block.parts, (&name, format));
                taken.map_err(decode)?;
                continue;
            }
            for part in &block.parts {
                let read = match changes[block.meta] {
                    Change::None => table.restore(*group, part, format),
                    Change::Rewrite => {
                        let rewritten = rewrite(part, meta, values).map_err(decode)?;
                        table.restore(*group, &rewritten, format)
                    }
                };
                read.map_err(decode)?;
            }
        }
        Ok(())
    }

    /// Whether all records are in this encoding, if there is one.
    pub(crate) fn is_all(&self, encoding: Option<&StateMeta>) -> bool {
        encoding.is_none_or(|encoding| self.metas.iter().all(|meta| meta == encoding))
    }

    /// What it is and its records, if all of them are in one encoding.
    pub(crate) fn into_only(mut self) -> Result<(StateMeta, Vec<GroupBlock>), Self> {
        if self.metas.len() != 1 {
            return Err(self);
        }
        let Some(meta) = self.metas.pop() else {
            return Err(self);
        };
        let blocks = self.groups.into_iter().map(|(group, block)| GroupBlock {
            group,
            bytes: block.joined(),
        });
        Ok((meta, blocks.collect()))
    }

    /// The state as it was, for the next snapshot.
    pub(crate) fn to_snapshot(&self) -> Vec<StateSnapshot> {
        let of_meta = |(nth, meta): (usize, &StateMeta)| {
            let blocks = self.groups.iter().filter(|(_, block)| block.meta == nth);
            let blocks = blocks.map(|(group, block)| GroupBlock {
                group: *group,
                bytes: block.clone().joined(),
            });
            StateSnapshot {
                meta: meta.clone(),
                // The first one says that nothing came before; the others add to it.
                complete: nth == 0,
                blocks: blocks.collect(),
            }
        };
        self.metas.iter().enumerate().map(of_meta).collect()
    }

    fn place_of(&mut self, meta: StateMeta) -> usize {
        let known = self.metas.iter().position(|known| *known == meta);
        known.unwrap_or_else(|| {
            self.metas.push(meta);
            self.metas.len() - 1
        })
    }
}

/// What has to be done to read state that was written as `meta`.
pub(crate) fn change(
    meta: &StateMeta,
    declared: &StateMeta,
    values: ValueType,
) -> Result<Change, StateError> {
    let change = meta.change_to(declared, values);
    change.map_err(|cause| StateError::Incompatible {
        state: declared.name.clone(),
        snapshot: meta.to_string(),
        program: declared.to_string(),
        cause,
    })
}

/// A block with all its values as the program writes them now.
pub(crate) fn rewrite(
    block: &[u8],
    meta: &StateMeta,
    values: ValueType,
) -> Result<Vec<u8>, CodecError> {
    let written = Written {
        schema: &meta.schemas.value,
        timed: meta.timed,
    };
    let mut out = Vec::with_capacity(block.len());
    let mut value = Vec::new();
    let mut rest = block;
    while let Some((&tag, behind)) = rest.split_first() {
        rest = behind;
        out.push(tag);
        let key = take_text(&mut rest)?;
        put_text(key, &mut out)?;
        if tag != 0 {
            value.clear();
            values.rewrite(take_text(&mut rest)?, written, &mut value)?;
            put_text(&value, &mut out)?;
        }
    }
    Ok(out)
}

/// Takes a text of the block format.
fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let len: u64 = decode_front(bytes)?;
    let split = usize::try_from(len).map(|len| bytes.split_at_checked(len));
    let Ok(Some((text, rest))) = split else {
        return Err(CodecError::decode::<StateMeta>("the block is cut off"));
    };
    *bytes = rest;
    Ok(text)
}

fn put_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), CodecError> {
    encode(&(text.len() as u64), out)?;
    out.extend_from_slice(text);
    Ok(())
}

/// What is restored from files: the key groups that they hold, which need not be in a snapshot and
/// must not, and what was read of them already.
#[derive(Default)]
pub(crate) struct Elsewhere {
    pub(crate) ranges: Vec<(KeyGroupRange, CheckpointId)>,
    pub(crate) read: Vec<StateSnapshot>,
}

/// What was restored.
pub(crate) struct Collected {
    /// By name.
    pub(crate) states: BTreeMap<String, Restored>,
    /// The snapshot that holds all of it and nothing else, for later ones to continue.
    pub(crate) base: Option<CheckpointId>,
}

/// Collects the states of the wanted key groups.
pub(crate) fn collect(
    wanted: KeyGroups,
    snapshots: impl IntoIterator<Item = KeyedSnapshot>,
    elsewhere: Elsewhere,
) -> Result<Collected, StateError> {
    let in_files = !elsewhere.ranges.is_empty();
    let mut states = BTreeMap::<String, Restored>::new();
    let mut sources = Sources(elsewhere.ranges);
    for state in elsewhere.read {
        add_state(&mut states, wanted.range, wanted.range, state)?;
    }
    for snapshot in snapshots {
        sources.add(&snapshot, wanted)?;
        for state in snapshot.states {
            add_state(&mut states, wanted.range, snapshot.range, state)?;
        }
    }
    sources.check_all_covered(wanted.range)?;
    // It covers all that is wanted, and no two cover the same.
    let same = |(range, _): &&(KeyGroupRange, CheckpointId)| *range == wanted.range;
    let base = sources.0.iter().find(same).filter(|_| !in_files);
    Ok(Collected {
        states,
        base: base.map(|(_, latest)| *latest),
    })
}

/// What the snapshots of one former subtask say of some key groups, all of which they cover: the
/// first one stands for itself, each other one continues the one before it. For whoever has to read
/// a few key groups at a time.
pub fn merge_snapshots(
    max_parallelism: u32,
    range: KeyGroupRange,
    snapshots: impl IntoIterator<Item = KeyedSnapshot>,
) -> Result<Vec<StateSnapshot>, StateError> {
    let wanted = KeyGroups {
        max_parallelism,
        range,
    };
    let collected = collect(wanted, snapshots, Elsewhere::default())?;
    let mut states = Vec::with_capacity(collected.states.len());
    for restored in collected.states.into_values() {
        match restored.into_only() {
            Ok((meta, blocks)) => states.push(StateSnapshot {
                meta,
                complete: true,
                blocks,
            }),
            Err(restored) => states.extend(restored.to_snapshot()),
        }
    }
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
    let name = meta.name.clone();
    let restored = states.entry(name.clone()).or_default();
    let nth = restored.place_of(meta);
    if complete {
        restored.groups.retain(|group, _| !source.contains(*group));
    }
    for GroupBlock { group, bytes } in blocks {
        if !wanted.contains(group) || !source.contains(group) {
            continue;
        }
        match restored.groups.entry(group) {
            Entry::Vacant(vacant) => {
                let parts = vec![Arc::new(bytes)];
                vacant.insert(Block { meta: nth, parts });
            }
            Entry::Occupied(mut block) if block.get().meta == nth => {
                block.get_mut().parts.push(Arc::new(bytes));
            }
            Entry::Occupied(block) => {
                return Err(StateError::Incompatible {
                    state: name,
                    snapshot: restored.metas[block.get().meta].to_string(),
                    program: restored.metas[nth].to_string(),
                    cause: "one snapshot continues another with other types".to_owned(),
                });
            }
        }
    }
    Ok(())
}

/// The subtasks whose snapshots were seen: their key groups and latest snapshot.
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
