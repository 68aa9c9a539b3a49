//! How splits, enumerators and prepared files are written into checkpoints and sent to readers: one
//! byte that names the version, then postcard. A checkpoint outlives the program that wrote it, so
//! the version comes first.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this program writes.
const VERSION: u8 = 1;

/// Bytes that no connector of this program has written.
#[derive(Debug, thiserror::Error)]
pub enum EncodingError {
    /// A newer program wrote it.
    #[error(
        "read a connector's state: it has version {found}, this program reads version {VERSION}"
    )]
    Version {
        /// The version that the bytes name.
        found: u8,
    },
    /// It is cut short or damaged.
    #[error("read a connector's state")]
    Decode(#[source] postcard::Error),
    /// It cannot be written.
    #[error("write a connector's state")]
    Encode(#[source] postcard::Error),
}

/// Writes a value with the version.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, EncodingError> {
    encode_as(VERSION, value)
}

/// Writes a value of another kind, whose version tells it from others.
pub(crate) fn encode_as<T: Serialize>(version: u8, value: &T) -> Result<Vec<u8>, EncodingError> {
    postcard::to_extend(value, vec![version]).map_err(EncodingError::Encode)
}

/// Reads what [`encode`] wrote.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EncodingError> {
    decode_as(VERSION, bytes)
}

/// Reads what [`encode_as`] wrote.
pub(crate) fn decode_as<T: DeserializeOwned>(
    version: u8,
    bytes: &[u8],
) -> Result<T, EncodingError> {
    let (found, rest) = bytes.split_first().ok_or(EncodingError::Decode(
        postcard::Error::DeserializeUnexpectedEnd,
    ))?;
    if *found != version {
        return Err(EncodingError::Version { found: *found });
    }
    postcard::from_bytes(rest).map_err(EncodingError::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_of_another_version_is_refused() {
        let mut bytes = encode(&7u64).expect("encodes");
        assert_eq!(decode::<u64>(&bytes).expect("decodes"), 7);
        bytes[0] = 2;
        assert!(matches!(
            decode::<u64>(&bytes),
            Err(EncodingError::Version { found: 2 })
        ));
        assert!(matches!(decode::<u64>(&[]), Err(EncodingError::Decode(_))));
    }
}
