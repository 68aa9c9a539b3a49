//! What a completed checkpoint or savepoint says of itself: the content of `_metadata`.

mod check;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use weir_types::{CheckpointId, Epoch, JobId, OperatorId, SubtaskIndex};

use crate::envelope::{Envelope, EnvelopeError};
use crate::handle::OperatorSubtaskState;
use crate::pointer::{OperationId, SnapshotKind};

/// A completed checkpoint or savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointMetadata {
    /// The job whose state it is.
    pub state_id: JobId,
    /// Its number.
    pub id: CheckpointId,
    /// The epoch that took it.
    pub epoch: Epoch,
    /// Checkpoint or savepoint.
    pub kind: SnapshotKind,
    /// The operation that asked for it.
    pub operation: Option<OperationId>,
    /// When it was triggered, in milliseconds since 1970.
    pub triggered_ms: i64,
    /// When the last subtask had acknowledged it.
    pub completed_ms: i64,
    /// The version of the program that wrote it.
    pub weir_version: String,
    /// By operator, in the order of their ids.
    pub operators: Vec<OperatorMetadata>,
}

/// One operator in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorMetadata {
    /// Its id: state belongs to it.
    pub operator: OperatorId,
    /// Its name, for people.
    pub name: String,
    /// Its uid, if the program gave it one.
    pub uid: Option<String>,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// How many key groups there were.
    pub max_parallelism: u32,
    /// Of a source: what its enumerator keeps.
    pub enumerator: Option<Vec<u8>>,
    /// By subtask; those without any state are left out.
    pub subtasks: Vec<(SubtaskIndex, OperatorSubtaskState)>,
    /// The subtasks that had processed all their input.
    pub ended: Vec<SubtaskIndex>,
}

/// Metadata that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The bytes are not those that were written.
    #[error("read checkpoint metadata")]
    Envelope(#[source] EnvelopeError),
    /// The checksum is right, but the content is not metadata.
    #[error("read checkpoint metadata: its content is not what format version 1 says: {0}")]
    Body(String),
    /// It contradicts itself.
    #[error("read checkpoint metadata: operator `{operator}`: {cause}")]
    Inconsistent {
        /// The operator's name.
        operator: String,
        /// What does not fit.
        cause: String,
    },
}

/// Version 1: the body is the postcard encoding of [`CheckpointMetadata`]. Whoever changes a type
/// in it makes a version 2 and keeps a copy of the old types to read version 1 with.
const V1: Envelope = Envelope {
    magic: *b"WEIRMETA",
    version: 1,
    name: "checkpoint metadata file",
};

/// The bytes of `_metadata`.
pub fn encode(metadata: &CheckpointMetadata) -> Vec<u8> {
    V1.seal(metadata)
}

/// Reads the bytes of `_metadata`. What it returns is consistent in itself.
pub fn decode(bytes: &[u8]) -> Result<CheckpointMetadata, MetadataError> {
    let body = V1.open(bytes).map_err(MetadataError::Envelope)?;
    let (metadata, rest) = postcard::take_from_bytes::<CheckpointMetadata>(body)
        .map_err(|error| MetadataError::Body(error.to_string()))?;
    if !rest.is_empty() {
        let cause = format!("{} bytes are left over", rest.len());
        return Err(MetadataError::Body(cause));
    }
    check::check(&metadata)?;
    Ok(metadata)
}

/// SHA-256 in hexadecimal digits: how the pointer names metadata.
pub fn sha256_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    Sha256::digest(bytes)
        .iter()
        .fold(String::new(), |mut hex, byte| {
            write!(hex, "{byte:02x}").expect("a String takes everything");
            hex
        })
}

#[cfg(test)]
mod tests;
