//! What all stored bytes of a snapshot have around them, so that a damaged object is told from a
//! foreign one and from one of a later version before anything in it is believed.
//!
//! ```text
//! object = magic (8 bytes) | version u16 | body length u64 | body | checksum u128
//! ```
//!
//! Numbers are little-endian. The checksum is [`weir_types::hash128`] of all before it. The
//! envelope is the same in all versions; the version says what the body is.

use serde::Serialize;
use weir_types::hash128;

/// What stands at the front of an object.
pub(crate) type Magic = [u8; 8];

const VERSION_END: usize = 10;
const PREFIX: usize = 18;
const CHECKSUM: usize = 16;

/// Bytes that are not the object they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The object does not begin as it should.
    #[error("these are not the bytes of a {want}: they begin with {found:?}")]
    Magic {
        /// What the object should be.
        want: &'static str,
        /// Its first bytes, as text.
        found: String,
    },
    /// There are fewer or more bytes than the object itself says.
    #[error("the {want} has {found} bytes and should have {expected}: it is cut off or has grown")]
    Length {
        /// What the object should be.
        want: &'static str,
        /// How many bytes it says it has.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// Some byte is not what was written.
    #[error("the {want}'s checksum does not match its bytes: it was damaged after it was written")]
    Checksum {
        /// What the object should be.
        want: &'static str,
    },
    /// It was written by another version.
    #[error(
        "the {want} has format version {found}, this program reads version {supported}: \
         read it with the version of Weir that wrote it, or a later one"
    )]
    Version {
        /// What the object should be.
        want: &'static str,
        /// Its version.
        found: u16,
        /// The version that can be read.
        supported: u16,
    },
}

/// A kind of object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Envelope {
    pub(crate) magic: Magic,
    pub(crate) version: u16,
    /// What people call it.
    pub(crate) name: &'static str,
}

impl Envelope {
    /// Puts the envelope around the postcard encoding of a value.
    pub(crate) fn seal(&self, value: &(impl Serialize + ?Sized)) -> Vec<u8> {
        let mut bytes = Vec::from(self.magic);
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.resize(PREFIX, 0);
        let mut bytes = postcard::to_extend(value, bytes).expect("plain data has an encoding");
        let len = (bytes.len() - PREFIX) as u64;
        bytes[VERSION_END..PREFIX].copy_from_slice(&len.to_le_bytes());
        let checksum = hash128(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// How many bytes the sealed object has that begins with `front`.
    pub(crate) fn sealed_len(&self, front: &[u8]) -> Result<u64, EnvelopeError> {
        let want = self.name;
        let magic = &front[..front.len().min(self.magic.len())];
        if !self.magic.starts_with(magic) || (magic.is_empty() && !front.is_empty()) {
            let found = String::from_utf8_lossy(magic).into_owned();
            return Err(EnvelopeError::Magic { want, found });
        }
        let overhead = (PREFIX + CHECKSUM) as u64;
        let Some(len) = front.get(VERSION_END..PREFIX) else {
            return Err(EnvelopeError::Length {
                want,
                expected: overhead,
                found: front.len() as u64,
            });
        };
        let mut le = [0; 8];
        le.copy_from_slice(len);
        Ok(u64::from_le_bytes(le).saturating_add(overhead))
    }

    /// Takes the body out, if every byte is as it was written.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], EnvelopeError> {
        let want = self.name;
        let expected = self.sealed_len(bytes)?;
        let found = bytes.len() as u64;
        if expected != found {
            return Err(EnvelopeError::Length {
                want,
                expected,
                found,
            });
        }
        let (sealed, checksum) = bytes.split_at(bytes.len() - CHECKSUM);
        if hash128(sealed).to_le_bytes() != checksum {
            return Err(EnvelopeError::Checksum { want });
        }
        let version = u16::from_le_bytes([sealed[VERSION_END - 2], sealed[VERSION_END - 1]]);
        if version != self.version {
            return Err(EnvelopeError::Version {
                want,
                found: version,
                supported: self.version,
            });
        }
        Ok(&sealed[PREFIX..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const THING: Envelope = Envelope {
        magic: *b"WEIRTEST",
        version: 3,
        name: "thing",
    };

    #[test]
    fn each_kind_of_damage_has_its_own_error() {
        let sealed = THING.seal("body");
        assert_eq!(THING.open(&sealed).unwrap(), b"\x04body");
        assert!(matches!(
            THING.open(b"{\"json\": true, and so on, and so on}"),
            Err(EnvelopeError::Magic { .. })
        ));
        assert!(matches!(
            THING.open(&sealed[..sealed.len() - 1]),
            Err(EnvelopeError::Length { .. })
        ));
        assert!(matches!(THING.open(b""), Err(EnvelopeError::Length { .. })));
        let mut damaged = sealed.clone();
        damaged[PREFIX] ^= 1;
        assert!(matches!(
            THING.open(&damaged),
            Err(EnvelopeError::Checksum { .. })
        ));
        let later = Envelope {
            version: 4,
            ..THING
        };
        assert_eq!(
            later.open(&sealed),
            Err(EnvelopeError::Version {
                want: "thing",
                found: 3,
                supported: 4
            })
        );
    }

    proptest! {
        #[test]
        fn a_flipped_bit_or_a_missing_end_is_always_noticed(
            body in prop::collection::vec(any::<u8>(), 0..100), bit in any::<u16>(), cut in any::<u16>(),
        ) {
            let sealed = THING.seal(&body);
            let mut flipped = sealed.clone();
            let bit = usize::from(bit) % (sealed.len() * 8);
            flipped[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(THING.open(&flipped).is_err());
            prop_assert!(THING.open(&sealed[..usize::from(cut) % sealed.len()]).is_err());
        }
    }
}
