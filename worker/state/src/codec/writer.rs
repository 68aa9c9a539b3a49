//! Writes postcard's encoding, faster than postcard does.
//!
//! Where records change entries that a snapshot still needs, each of them is encoded first: a few
//! small integers, some ten million times while a job runs at its full speed. Postcard writes an
//! integer byte by byte into a buffer and copies that with a call of `memcpy`, which costs more
//! than all else. Here an integer is put together in a register. The bytes are the same; a test
//! compares them. They are read with postcard.

use std::fmt::{self, Display, Write as _};

use serde::ser::{self, Serialize};

/// Why a value cannot be written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// It has no length beforehand, which the encoding puts first.
    UnknownLength,
    /// What its own `Serialize` says.
    Value(String),
}

impl Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownLength => f.write_str("a sequence or map does not tell its length first"),
            Self::Value(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for WriteError {}

impl ser::Error for WriteError {
    #[cold]
    fn custom<T: Display>(why: T) -> Self {
        Self::Value(why.to_string())
    }
}

type Result<T> = std::result::Result<T, WriteError>;

/// Appends to a vector.
pub(super) struct Writer<'a>(pub(super) &'a mut Vec<u8>);

/// Integers below it take at most eight bytes.
const LONG: u64 = 1 << 56;

/// Appends an integer: seven bits a byte, the lowest first; all bytes but the last have the highest
/// bit set.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one byte at a time is wanted"
)]
fn varint(out: &mut Vec<u8>, value: u64) {
    if value < 0x80 {
        out.push(value as u8);
    } else if value < LONG {
        let bytes = (70 - value.leading_zeros()) / 7;
        let mut word = value;
        word = (word & 0x0000_0000_0FFF_FFFF) | (word & 0x00FF_FFFF_F000_0000) << 4;
        word = (word & 0x0000_3FFF_0000_3FFF) | (word & 0x0FFF_C000_0FFF_C000) << 2;
        word = (word & 0x007F_007F_007F_007F) | (word & 0x3F80_3F80_3F80_3F80) << 1;
        word |= 0x8080_8080_8080_8080 & ((1 << (8 * (bytes - 1))) - 1);
        // Eight bytes are one move, of which what is too much is taken back.
        let end = out.len() + bytes as usize;
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(end);
    } else {
        long_varint(out, u128::from(value));
    }
}

#[inline(never)]
#[expect(
    clippy::cast_possible_truncation,
    reason = "one byte at a time is wanted"
)]
fn long_varint(out: &mut Vec<u8>, mut value: u128) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

impl Writer<'_> {
    #[inline]
    fn length(&mut self, length: usize) {
        varint(self.0, length as u64);
    }

    #[inline]
    fn known_length(&mut self, length: Option<usize>) -> Result<()> {
        self.length(length.ok_or(WriteError::UnknownLength)?);
        Ok(())
    }
}

/// The methods that write an integer as one of 64 bits.
macro_rules! integers {
    ($($method:ident: $type:ty => $word:expr,)*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<()> {
                varint(self.0, $word(value));
                Ok(())
            }
        )*
    };
}

impl ser::Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    integers! {
        serialize_u16: u16 => u64::from,
        serialize_u32: u32 => u64::from,
        serialize_u64: u64 => std::convert::identity,
        serialize_i16: i16 => |value| zigzag(i64::from(value)),
        serialize_i32: i32 => |value| zigzag(i64::from(value)),
        serialize_i64: i64 => zigzag,
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<()> {
        self.serialize_u8(u8::from(value))
    }

    #[inline]
    fn serialize_u8(self, value: u8) -> Result<()> {
        self.0.push(value);
        Ok(())
    }

    #[inline]
    fn serialize_i8(self, value: i8) -> Result<()> {
        self.serialize_u8(value.cast_unsigned())
    }

    fn serialize_u128(self, value: u128) -> Result<()> {
        long_varint(self.0, value);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<()> {
        let zigzag = (value.cast_unsigned() << 1) ^ (value >> 127).cast_unsigned();
        self.serialize_u128(zigzag)
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<()> {
        self.0.extend_from_slice(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<()> {
        self.serialize_bytes(value.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        self.length(value.len());
        self.0.extend_from_slice(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.serialize_u8(0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        self.0.push(1);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<()> {
        self.serialize_u32(index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<()> {
        varint(self.0, u64::from(index));
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self> {
        self.known_length(length)?;
        Ok(self)
    }

    #[inline]
    fn serialize_tuple(self, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self> {
        varint(self.0, u64::from(index));
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self> {
        self.known_length(length)?;
        Ok(self)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Self> {
        Ok(self)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _length: usize,
    ) -> Result<Self> {
        varint(self.0, u64::from(index));
        Ok(self)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        let mut text = String::new();
        write!(text, "{value}").map_err(ser::Error::custom)?;
        self.serialize_str(&text)
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// What holds several values, of which nothing but the values is written.
macro_rules! compound {
    ($($trait:ident: $method:ident($($key:ident: $type:ty)?),)*) => {
        $(
            impl ser::$trait for &mut Writer<'_> {
                type Ok = ();
                type Error = WriteError;

                #[inline]
                fn $method<T: Serialize + ?Sized>(
                    &mut self,
                    $($key: $type,)?
                    value: &T,
                ) -> Result<()> {
                    $(let _ = $key;)?
                    value.serialize(&mut **self)
                }

                #[inline]
                fn end(self) -> Result<()> {
                    Ok(())
                }
            }
        )*
    };
}

compound! {
    SerializeSeq: serialize_element(),
    SerializeTuple: serialize_element(),
    SerializeTupleStruct: serialize_field(),
    SerializeTupleVariant: serialize_field(),
    SerializeStruct: serialize_field(key: &'static str),
    SerializeStructVariant: serialize_field(key: &'static str),
}

impl ser::SerializeMap for &mut Writer<'_> {
    type Ok = ();
    type Error = WriteError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        key.serialize(&mut **self)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        value.serialize(&mut **self)
    }

    #[inline]
    fn end(self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
