//! The pointer as bytes: JSON, so that a person can read it, with a version and a checksum, so that
//! a damaged one is never taken for an older state of the job.
//!
//! Decoding accepts exactly what encoding writes, but for white space: a field that this version
//! does not know would get lost by the next write.

use serde::{Deserialize, Serialize};
use weir_types::hash128;

use super::Pointer;

/// The only version there is.
const VERSION: u32 = 1;

/// Bytes that are not a pointer of this version.
#[derive(Debug, thiserror::Error)]
pub enum DecodePointerError {
    /// Not the JSON of a pointer.
    #[error("decode the pointer: it is not what this program writes")]
    Parse(#[source] serde_json::Error),
    /// Written by another version.
    #[error(
        "decode the pointer: it has version {found}, this program knows version {VERSION}: use the \
         version of weir that wrote it, or a newer one"
    )]
    Version {
        /// Its version.
        found: u32,
    },
    /// The content is not the one that the checksum was made of.
    #[error(
        "decode the pointer: its checksum is {stated}, its content's is {actual}: it is damaged"
    )]
    Checksum {
        /// What it says.
        stated: String,
        /// What it should say.
        actual: String,
    },
    /// It contradicts itself, though its checksum is right.
    #[error("decode the pointer: {0}")]
    Contradiction(String),
}

/// What is stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<P> {
    version: u32,
    /// Of the content's JSON without white space, in hexadecimal digits.
    checksum: String,
    pointer: P,
}

/// Enough of an envelope to know whether the rest can be read.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

impl Pointer {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let envelope = Envelope {
            version: VERSION,
            checksum: self.checksum(),
            pointer: self,
        };
        let mut bytes = serde_json::to_vec_pretty(&envelope)
            .expect("strings, numbers and lists of them have a JSON form");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the stored form.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodePointerError> {
        let Versioned { version } =
            serde_json::from_slice(bytes).map_err(DecodePointerError::Parse)?;
        if version != VERSION {
            return Err(DecodePointerError::Version { found: version });
        }
        let envelope: Envelope<Self> =
            serde_json::from_slice(bytes).map_err(DecodePointerError::Parse)?;
        let actual = envelope.pointer.checksum();
        if envelope.checksum != actual {
            return Err(DecodePointerError::Checksum {
                stated: envelope.checksum,
                actual,
            });
        }
        envelope.pointer.check()?;
        Ok(envelope.pointer)
    }

    fn checksum(&self) -> String {
        let bytes =
            serde_json::to_vec(self).expect("strings, numbers and lists of them have a JSON form");
        format!("{:032x}", hash128(&bytes))
    }

    fn check(&self) -> Result<(), DecodePointerError> {
        let wrong = |text: String| Err(DecodePointerError::Contradiction(text));
        if !self.retained.is_sorted_by(|a, b| a.id < b.id) {
            return wrong(
                "the snapshots that it keeps are not in the order of their numbers".into(),
            );
        }
        // A job that has begun anew keeps what there was until it has completed a checkpoint.
        let kept = |latest| self.retained.contains(latest);
        if !self.latest.as_ref().is_none_or(kept) {
            return wrong("its latest snapshot is not among those that it keeps".into());
        }
        if self.branch.is_some_and(|branch| branch > self.epoch) {
            return wrong("its branch begins in an epoch beyond its own".into());
        }
        let beyond = |s: &&super::SnapshotRef| s.id > self.last_id || s.epoch > self.epoch;
        if let Some(snapshot) = self.retained.iter().find(beyond) {
            return wrong(format!(
                "snapshot {} of epoch {} is beyond its own {} and {}",
                snapshot.id, snapshot.epoch, self.last_id, self.epoch
            ));
        }
        Ok(())
    }
}

/// 128 bits as 32 hexadecimal digits: JSON's numbers end earlier in many readers.
pub(super) mod hex {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};
    use weir_types::JobId;

    pub(in crate::pointer) fn serialize<S: Serializer>(
        value: &u128,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(in crate::pointer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        let id: JobId = text.parse().map_err(D::Error::custom)?;
        Ok(id.0)
    }
}

/// As [`hex`], for a job's id.
pub(super) mod hex_job {
    use serde::{Deserializer, Serializer};
    use weir_types::JobId;

    pub(in crate::pointer) fn serialize<S: Serializer>(
        value: &JobId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        super::hex::serialize(&value.0, serializer)
    }

    pub(in crate::pointer) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<JobId, D::Error> {
        super::hex::deserialize(deserializer).map(JobId)
    }
}
