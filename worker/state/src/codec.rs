//! How state becomes bytes: postcard's encoding, behind functions of our own, so that a format
//! version beside each state can say which encoding its bytes have.

use std::any::type_name;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::writer::{WriteError, Writer};

mod writer;

/// The version of the encoding that [`encode`] writes. Every state of a snapshot carries it.
pub const FORMAT_VERSION: u16 = 1;

/// What can be kept in state. Implemented for everything that fits.
///
/// The encoding is not self-describing: types that ask the format what comes next
/// (`#[serde(untagged)]`, `#[serde(flatten)]`, `serde_json::Value`) cannot be read back.
///
/// A later version of the program may add fields that have a `#[serde(default)]` or are options,
/// remove or reorder fields, add variants to enums, and make integers wider; fields and variants
/// are told by their names. Anything else is refused when the state is restored. Types that are
/// recursive, that have `#[serde(alias)]`, or whose `Deserialize` refuses ones and zeros cannot be
/// looked into: they must stay as they are, and keep their names.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be kept in state",
    label = "this is to be kept in state, but cannot be written and read back",
    note = "state holds owned types with `#[derive(Clone, serde::Serialize, serde::Deserialize)]`"
)]
pub trait StateValue: Serialize + DeserializeOwned + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Clone + Send + 'static> StateValue for T {}

/// A value that cannot be written as bytes, or bytes that are not the value they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{action} `{type_name}`: {cause}")]
pub struct CodecError {
    /// `encode` or `decode`.
    pub action: &'static str,
    /// The Rust type.
    pub type_name: &'static str,
    /// What went wrong.
    pub cause: String,
}

impl CodecError {
    #[cold]
    fn encode<T: ?Sized>(error: &WriteError) -> Self {
        Self {
            action: "encode",
            type_name: type_name::<T>(),
            cause: error.to_string(),
        }
    }

    #[cold]
    pub(crate) fn decode<T: ?Sized>(cause: impl Into<String>) -> Self {
        Self {
            action: "decode",
            type_name: type_name::<T>(),
            cause: cause.into(),
        }
    }
}

/// Appends the value's encoding.
#[inline]
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
    value
        .serialize(&mut Writer(out))
        .map_err(|e| CodecError::encode::<T>(&e))
}

/// Reads a value from the front of `bytes` and moves them on.
#[inline]
pub fn decode_front<T: DeserializeOwned>(bytes: &mut &[u8]) -> Result<T, CodecError> {
    let (value, rest) = postcard::take_from_bytes(bytes)
        .map_err(|e: postcard::Error| CodecError::decode::<T>(e.to_string()))?;
    *bytes = rest;
    Ok(value)
}

/// Reads a value that takes all of `bytes`.
#[inline]
pub fn decode<T: DeserializeOwned>(mut bytes: &[u8]) -> Result<T, CodecError> {
    let value = decode_front(&mut bytes)?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(CodecError::decode::<T>(format!(
            "{} bytes are left over",
            bytes.len()
        )))
    }
}

/// A type's name without module paths, so that moving a type does not change it. It stands in
/// snapshots to tell that a program's state has another type than the one that was written.
pub(crate) fn describe_type<T: ?Sized>() -> String {
    let mut description = String::new();
    let mut segment = String::new();
    let mut chars = type_name::<T>().chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_alphanumeric() || c == '_' {
            segment.push(c);
        } else if c == ':' && chars.peek() == Some(&':') {
            chars.next();
            segment.clear();
        } else {
            description.push_str(&segment);
            segment.clear();
            description.push(c);
        }
    }
    description.push_str(&segment);
    description
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_value_reads_back_and_leftover_bytes_are_refused() {
        let value = (7u32, String::from("seven"), vec![Some(1.5f64), None]);
        let mut bytes = Vec::new();
        encode(&value, &mut bytes).unwrap();
        assert_eq!(
            decode::<(u32, String, Vec<Option<f64>>)>(&bytes).unwrap(),
            value
        );
        bytes.push(0);
        let error = decode::<(u32, String, Vec<Option<f64>>)>(&bytes).unwrap_err();
        assert!(
            error.to_string().contains("1 bytes are left over"),
            "{error}"
        );
        assert!(decode::<String>(&[200, 1, b'a']).is_err(), "cut off");
    }

    #[test]
    fn a_type_description_has_no_module_paths() {
        assert_eq!(
            describe_type::<HashMap<String, Vec<Option<u64>>>>(),
            "HashMap<String, Vec<Option<u64>>>"
        );
        assert_eq!(
            describe_type::<(u8, [CodecError; 3])>(),
            "(u8, [CodecError; 3])"
        );
    }
}
