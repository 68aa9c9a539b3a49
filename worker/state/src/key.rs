//! Keys: what they must be able to do, and the hash that places them.
//!
//! The hash of a key is a **storage format**: it decides the key group, and state on disk lies in
//! key groups. So it is computed from the key's canonical words (what serde says the key consists
//! of), never from its memory layout or `std::hash::Hash`. All texts of the same content hash
//! alike (`String`, `&str`, `Box<str>`, `CompactString`), as do integers of the same value in
//! different widths. The same hash is used for the tables in memory, so that it is computed once
//! per record.

mod hash_serializer;

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::KeyHasher;

use self::hash_serializer::HashSerializer;

/// What can be a key, a namespace or the key of a map state. Implemented for everything that fits.
///
/// Equal keys must have equal serialized forms; a type with floating-point numbers that is `Eq`
/// by some wrapper must treat `-0.0` and `0.0` as equal, because the hash does.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a key",
    label = "this is used as a key, but it is none",
    note = "a key is an owned type with `#[derive(Clone, PartialEq, Eq, serde::Serialize, \
            serde::Deserialize)]`; take `String` instead of `&str`, and an integer or a text \
            instead of a floating-point number"
)]
pub trait StateKey: Serialize + DeserializeOwned + Eq + Clone + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Eq + Clone + Send + 'static> StateKey for T {}

/// A value that cannot be hashed as a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// NaN is not equal to itself.
    #[error("a key holds a floating-point number that is NaN, which equals nothing")]
    NotANumber,
    /// The entries of a map have no order that all writers agree on.
    #[error("a key holds a map or a flattened struct: use a sorted list of pairs")]
    Map,
    /// The key's own `Serialize` refused.
    #[error("serialize a key: {0}")]
    Serialize(Box<str>),
}

/// The hash that places a key: [`weir_types::KeyGroup::of_hash`] makes a key group of it.
///
/// The words are: an integer, `bool` or `char` one word (128-bit integers two, low half first);
/// a float its bits as `f64`, with `-0.0` as `0.0`; a text or byte string its bytes and length;
/// `None` a 0, `Some` a 1 and its content; an enum its variant's index and content; tuples and
/// structs their fields; other sequences their elements and then their number; units nothing.
#[inline]
pub fn key_hash<K: Serialize + ?Sized>(key: &K) -> Result<u64, KeyError> {
    let mut hasher = KeyHasher::new();
    key.serialize(HashSerializer(&mut hasher))?;
    Ok(hasher.finish())
}

/// The hash of a value that belongs to something with the hash `seed`: a namespace to its key.
/// Not a storage format.
#[inline]
pub(crate) fn hash_within<K: Serialize + ?Sized>(seed: u64, key: &K) -> Result<u64, KeyError> {
    if size_of_val(key) == 0 {
        return Ok(seed);
    }
    let mut hasher = KeyHasher::new();
    hasher.write_u64(seed);
    key.serialize(HashSerializer(&mut hasher))?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests;
