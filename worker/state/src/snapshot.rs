//! What a snapshot of keyed state is: pure data, for somebody else to store.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use crate::cold::FileSnapshot;
use crate::schema::{Change, Schema, ValueType, compare};

/// How much a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotKind {
    /// Everything.
    Full,
    /// What changed since the last confirmed snapshot; everything if there is none.
    Incremental,
    /// The files of the tier on disk; without one the same as [`Self::Incremental`].
    Files,
}

/// A snapshot that is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenSnapshot {
    /// Entries, which any backend can read.
    Entries(KeyedSnapshot),
    /// Local files, which have to be stored somewhere else.
    Files(FileSnapshot),
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
    /// What the encodings of keys and values consist of.
    pub schemas: StateSchemas,
}

/// What the encodings of a state's keys and values consist of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSchemas {
    /// The key's.
    pub key: Schema,
    /// The namespace's.
    pub namespace: Schema,
    /// Of map state, the user key's.
    pub user_key: Option<Schema>,
    /// The value's; of a list, an element's; of a map, a user value's.
    pub value: Schema,
}

impl StateMeta {
    /// What has to be done with state of `self` to read it as `declared`, or why it cannot be. A
    /// time to live may come and go.
    pub(crate) fn change_to(&self, declared: &Self, values: ValueType) -> Result<Change, String> {
        let Self {
            name: _,
            kind,
            format_version,
            key_type: _,
            namespace_type: _,
            value_type: _,
            timed: _,
            schemas,
        } = self;
        if *kind != declared.kind {
            return Err(format!("it was {kind:?} state and is {:?}", declared.kind));
        }
        // Older timers are read as they are.
        let read =
            *kind == StateKind::Timers && (1..=declared.format_version).contains(format_version);
        if *format_version != declared.format_version && !read {
            return Err(format!("it was written in format {format_version}"));
        }
        let new = &declared.schemas;
        same_key("key", &schemas.key, &new.key)?;
        same_key("namespace", &schemas.namespace, &new.namespace)?;
        match (&schemas.user_key, &new.user_key) {
            (Some(old), Some(new)) => same_key("user key", old, new)?,
            (None, None) => {}
            _ => return Err("one of them has user keys".to_owned()),
        }
        values.change_from(&schemas.value, &new.value)
    }
}

fn same_key(what: &str, old: &Schema, new: &Schema) -> Result<(), String> {
    let why = match compare(old, new, &|_, _| false) {
        Ok(Change::None) => return Ok(()),
        Ok(Change::Rewrite) => "its fields or integers changed".to_owned(),
        Err(why) => why,
    };
    Err(format!(
        "the type of its {what} changed, which it must not ({why})"
    ))
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
