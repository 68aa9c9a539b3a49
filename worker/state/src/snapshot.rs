//! What a snapshot of keyed state is: pure data, for somebody else to store.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Everything.
    Full,
    /// What changed since the last confirmed snapshot; everything if there is none.
    Incremental,
}

/// The keyed state of one subtask at a barrier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyedSnapshot {
    /// The checkpoint it belongs to.
    pub checkpoint: CheckpointId,
    /// The snapshot that it continues. None: it stands for itself.
    pub base: Option<CheckpointId>,
    /// The job's number of key groups, which can never change.
    pub max_parallelism: u32,
    /// The subtask's key groups.
    pub range: KeyGroupRange,
    /// The states, by name.
    pub states: Vec<StateSnapshot>,
}

/// One state in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSnapshot {
    /// What it is.
    pub meta: StateMeta,
    /// Whether it replaces what earlier snapshots say about this state and the snapshot's key
    /// groups, instead of adding to it.
    pub complete: bool,
    /// The key groups that have something to say, in order.
    pub blocks: Vec<GroupBlock>,
}

/// One key group's part of a state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupBlock {
    /// The key group.
    pub group: KeyGroup,
    /// Records in the encoding that the state's format version names.
    pub bytes: Vec<u8>,
}

/// The kinds of keyed state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateKind {
    /// One value.
    Value,
    /// A list of values.
    List,
    /// A map with keys of its own.
    Map,
    /// One value that more are reduced into.
    Reducing,
    /// An accumulator that values are added to.
    Aggregating,
    /// Timers; Weir's own.
    Timers,
}

/// What a state is, beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateMeta {
    /// Its name, unique in its operator.
    pub name: String,
    /// Its kind.
    pub kind: StateKind,
    /// The encoding of keys and values.
    pub format_version: u16,
    /// The key's type, without module paths.
    pub key_type: String,
    /// The namespace's type: `()` unless the state is per window.
    pub namespace_type: String,
    /// The value's type; of a map, those of user key and value.
    pub value_type: String,
    /// Each value has the time of its last use beside it.
    pub timed: bool,
}

impl StateMeta {
    /// Whether state of `self` can be read as `other`: all but the time to live must be equal.
    pub(crate) fn is_readable_as(&self, other: &Self) -> bool {
        let Self {
            name,
            kind,
            format_version,
            key_type,
            namespace_type,
            value_type,
            timed: _,
        } = self;
        *name == other.name
            && *kind == other.kind
            && *format_version == other.format_version
            && *key_type == other.key_type
            && *namespace_type == other.namespace_type
            && *value_type == other.value_type
    }
}

impl fmt::Display for StateMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            key_type,
            namespace_type,
            value_type,
            format_version,
            timed,
            ..
        } = self;
        write!(f, "{kind:?} state of `{value_type}` keyed by `{key_type}`")?;
        if namespace_type != "()" {
            write!(f, " and `{namespace_type}`")?;
        }
        if *timed {
            f.write_str(" with a time to live")?;
        }
        write!(f, " (format {format_version})")
    }
}
