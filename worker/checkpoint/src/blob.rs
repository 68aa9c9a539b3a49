//! Small parts of a snapshot: an operator's [`OperatorSnapshot`], and what it keeps for itself, a
//! map from names to bytes. Each is an envelope with a checksum around postcard's encoding.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_state::OperatorSnapshot;

use crate::envelope::{Envelope, EnvelopeError};

/// A part of a snapshot that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The bytes are not those that were written.
    #[error("read a part of a snapshot")]
    Envelope(#[source] EnvelopeError),
    /// The checksum is right, but the content is something else.
    #[error("read a part of a snapshot: the {want}'s content is not what version 1 says: {cause}")]
    Body {
        /// What it should be.
        want: &'static str,
        /// What is wrong.
        cause: String,
    },
}

/// What an operator keeps for itself: bytes by name.
pub type RawState = BTreeMap<String, Vec<u8>>;

/// What can be a blob.
pub trait Blob: Serialize + DeserializeOwned {
    /// What its bytes begin with.
    const MAGIC: [u8; 8];
    /// What people call it.
    const NAME: &'static str;
}

impl Blob for OperatorSnapshot {
    const MAGIC: [u8; 8] = *b"WEIROPST";
    const NAME: &'static str = "operator state file";
}

impl Blob for RawState {
    const MAGIC: [u8; 8] = *b"WEIRRAWS";
    const NAME: &'static str = "raw state file";
}

fn envelope<B: Blob>() -> Envelope {
    Envelope {
        magic: B::MAGIC,
        version: 1,
        name: B::NAME,
    }
}

/// The blob's bytes.
pub fn encode<B: Blob>(blob: &B) -> Vec<u8> {
    envelope::<B>().seal(blob)
}

/// Reads a blob from its bytes.
pub fn decode<B: Blob>(bytes: &[u8]) -> Result<B, BlobError> {
    let want = B::NAME;
    let body = envelope::<B>().open(bytes).map_err(BlobError::Envelope)?;
    let refuse = |cause: String| BlobError::Body { want, cause };
    let (blob, rest) = postcard::take_from_bytes(body).map_err(|e| refuse(e.to_string()))?;
    if !rest.is_empty() {
        return Err(refuse(format!("{} bytes are left over", rest.len())));
    }
    Ok(blob)
}

#[cfg(test)]
mod tests;
