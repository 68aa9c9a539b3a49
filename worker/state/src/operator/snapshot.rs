//! What a snapshot of operator state is: pure data.

use serde::{Deserialize, Serialize};

use crate::schema::Schema;

/// How a state is given to the subtasks when the parallelism changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorStateMode {
    /// Each element goes to one subtask (Flink's list state).
    Split,
    /// Each subtask gets all elements of all subtasks (Flink's union list state).
    Union,
    /// Each subtask has the same and gets it again (Flink's broadcast state).
    Broadcast,
}

/// The operator state of one subtask at a barrier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// The states, by name.
    pub states: Vec<OperatorStateSnapshot>,
}

/// One state in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorStateSnapshot {
    /// What it is.
    pub meta: OperatorStateMeta,
    /// Its elements, each encoded for itself; of broadcast state its entries.
    pub elements: Vec<Vec<u8>>,
}

/// What a state is, beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorStateMeta {
    /// Its name, unique in its operator.
    pub name: String,
    /// How it is redistributed.
    pub mode: OperatorStateMode,
    /// The encoding of elements.
    pub format_version: u16,
    /// The element's type, without module paths.
    pub element_type: String,
    /// What its encoding consists of.
    pub element_schema: Schema,
}

impl std::fmt::Display for OperatorStateMeta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            mode,
            element_type,
            format_version,
            ..
        } = self;
        write!(
            f,
            "{mode:?} state of `{element_type}` (format {format_version})"
        )
    }
}
