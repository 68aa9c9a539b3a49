//! Identifiers. The 128-bit ones print as 32 hexadecimal digits, as Flink's do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::hash::hash128;

/// A text that is not an id of the wanted form.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not an id: want 32 hexadecimal digits")]
pub struct ParseIdError(pub String);

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl $name {
            /// The id that belongs to a text: a stable hash of it.
            pub fn from_text(text: &str) -> Self {
                Self(hash128(text.as_bytes()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(ParseIdError(text.to_owned()));
                }
                u128::from_str_radix(text, 16)
                    .map(Self)
                    .map_err(|_| ParseIdError(text.to_owned()))
            }
        }
    };
}

hex_id! {
    /// One job: one lineage of state. Not derived from the job's name.
    JobId
}
hex_id! {
    /// A logical operator: derived from its uid, or from its place in the topology. State belongs
    /// to it.
    OperatorId
}
hex_id! {
    /// A vertex of the JobGraph: the id of the operator at the head of its chain.
    VertexId
}
hex_id! {
    /// One life of a TaskManager process. A TaskManager that was declared lost comes back under a
    /// new one.
    TaskManagerId
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

number_id! {
    /// One run of a job by one JobManager leader. It only grows and is the fencing token: every
    /// RPC, file name, manifest and transaction carries it.
    Epoch(u64)
}
number_id! {
    /// Number of a checkpoint or savepoint. It only grows over the job's whole life.
    CheckpointId(u64)
}
number_id! {
    /// Which of a vertex's parallel instances, from 0.
    SubtaskIndex(u32)
}
number_id! {
    /// How often a subtask was started before, within one epoch, from 0.
    AttemptNumber(u32)
}
number_id! {
    /// A slot of a TaskManager, from 0.
    SlotIndex(u32)
}

/// One attempt to run one subtask. With the epoch it is the fencing token of the data plane:
/// receivers accept only the current attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExecutionAttemptId {
    /// The epoch of the JobManager that deployed it.
    pub epoch: Epoch,
    /// The vertex it is an instance of.
    pub vertex: VertexId,
    /// Its place among the vertex's subtasks.
    pub subtask: SubtaskIndex,
    /// How often this subtask was started before in this epoch.
    pub attempt: AttemptNumber,
}

impl fmt::Display for ExecutionAttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}_{}_{}_{}",
            self.epoch, self.vertex, self.subtask, self.attempt
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hex_id_reads_back_what_it_prints() {
        let id = OperatorId::from_text("count");
        assert_eq!(id.to_string().len(), 32);
        assert_eq!(id.to_string().parse::<OperatorId>(), Ok(id));
        assert_ne!(id, OperatorId::from_text("counts"));
    }

    #[test]
    fn a_text_that_is_no_id_is_refused() {
        for text in [
            "",
            "12",
            "+0000000000000000000000000000001",
            &"g".repeat(32),
        ] {
            assert!(text.parse::<JobId>().is_err(), "{text}");
        }
    }
}
