//! What can go wrong with state.

use weir_types::{CheckpointId, KeyGroup, KeyGroupRange};

use crate::codec::CodecError;
use crate::cold::ColdError;
use crate::key::KeyError;

/// An operation on state that failed.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Keyed state was used outside of a record or timer.
    #[error("use keyed state: no current key is set, so there is no entry to use")]
    NoCurrentKey,
    /// A key that has no place.
    #[error("hash a key of type `{type_name}`")]
    HashKey {
        /// The key's Rust type.
        type_name: &'static str,
        /// Why.
        source: KeyError,
    },
    /// A record was sent to the wrong subtask.
    #[error(
        "use key group {group}: this subtask holds {range}; is the key selector deterministic?"
    )]
    ForeignKeyGroup {
        /// The key's group.
        group: KeyGroup,
        /// What this subtask holds.
        range: KeyGroupRange,
    },
    /// One name, two different states.
    #[error(
        "register state `{name}` as {requested}: it is already registered as {registered}; \
         give one of them another name"
    )]
    Register {
        /// The name.
        name: String,
        /// Kind and types of the first registration.
        registered: String,
        /// Kind and types of this one.
        requested: String,
    },
    /// A handle of one backend was used with another.
    #[error("use a state handle: it was not made by this backend (want a {wanted})")]
    ForeignHandle {
        /// What the handle stands for.
        wanted: &'static str,
    },
    /// A state's value cannot be written.
    #[error("write state `{state}`")]
    Encode {
        /// The state's name.
        state: String,
        /// Why.
        source: CodecError,
    },
    /// A snapshot's bytes cannot be read.
    #[error("read state `{state}` from its snapshot")]
    Decode {
        /// The state's name.
        state: String,
        /// Why.
        source: CodecError,
    },
    /// The program declares a state with another type than the snapshot has.
    #[error(
        "restore state `{state}`: {cause}; the snapshot holds {snapshot}, the program declares \
         {program}; fields may be added with a default or removed and integers widened, anything \
         else needs a state with another name"
    )]
    Incompatible {
        /// The state's name.
        state: String,
        /// Kind and types in the snapshot.
        snapshot: String,
        /// Kind and types in the program.
        program: String,
        /// What differs.
        cause: String,
    },
    /// Snapshots are copied one at a time.
    #[error("begin snapshot {requested}: snapshot {running} is still being copied")]
    SnapshotRunning {
        /// The one under way.
        running: CheckpointId,
        /// The new one.
        requested: CheckpointId,
    },
    /// There is nothing to copy.
    #[error("copy a snapshot: none has begun")]
    NoSnapshot,
    /// The snapshots given for a restore do not fit together or do not fit this subtask.
    #[error("restore keyed state from snapshot {checkpoint} of key groups {range}: {cause}")]
    Restore {
        /// The snapshot's number.
        checkpoint: CheckpointId,
        /// Its key groups.
        range: KeyGroupRange,
        /// What does not fit.
        cause: String,
    },
    /// Key groups that no snapshot covers.
    #[error("restore keyed state: no snapshot covers key group {group}")]
    RestoreGap {
        /// The first one.
        group: KeyGroup,
    },
    /// The tier below the tables failed.
    #[error("keep state `{state}` on disk")]
    Cold {
        /// The state's name; the operator's, if it concerns all of them.
        state: String,
        /// Why.
        source: ColdError,
    },
    /// The snapshots of an operator's subtasks do not fit together.
    #[error("redistribute operator state `{state}`: {cause}")]
    Repartition {
        /// The state's name.
        state: String,
        /// What does not fit.
        cause: String,
    },
}

impl StateError {
    #[cold]
    pub(crate) fn hash<K: ?Sized>(source: KeyError) -> Self {
        Self::HashKey {
            type_name: std::any::type_name::<K>(),
            source,
        }
    }

    /// Whether the machine is to blame, so that the work belongs on another one.
    pub fn is_environment(&self) -> bool {
        matches!(
            self,
            Self::Cold {
                source: ColdError::DiskFull { .. },
                ..
            }
        )
    }

    #[cold]
    pub(crate) fn cold(state: &str, source: ColdError) -> Self {
        match source {
            ColdError::Codec(source) => Self::decode(state, source),
            source => Self::Cold {
                state: state.to_owned(),
                source,
            },
        }
    }

    #[cold]
    pub(crate) fn encode(state: &str, source: CodecError) -> Self {
        Self::Encode {
            state: state.to_owned(),
            source,
        }
    }

    #[cold]
    pub(crate) fn decode(state: &str, source: CodecError) -> Self {
        Self::Decode {
            state: state.to_owned(),
            source,
        }
    }
}
