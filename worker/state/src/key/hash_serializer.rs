//! A serde serializer that writes nothing and hashes everything.
//!
//! It reports itself as not human-readable, as the state encoding does, so that types with two
//! forms (addresses, UUIDs) show the compact one in both.

use serde::Serialize;
use serde::ser::{self, Serializer};
use weir_types::KeyHasher;

use super::KeyError;

impl ser::Error for KeyError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::Serialize(message.to_string().into_boxed_str())
    }
}

pub(super) struct HashSerializer<'a>(pub(super) &'a mut KeyHasher);

/// A tuple, struct or sequence that is being hashed.
pub(super) struct Elements<'a> {
    hasher: &'a mut KeyHasher,
    count: u64,
}

impl<'a> Elements<'a> {
    #[inline]
    fn add<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        self.count += 1;
        value.serialize(HashSerializer(self.hasher))
    }
}

macro_rules! one_word {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), KeyError> {
            self.0.write_u64(u64::from(value));
            Ok(())
        }
    )*};
}

macro_rules! one_signed_word {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), KeyError> {
            self.0.write_u64(i64::from(value).cast_unsigned());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for HashSerializer<'a> {
    type Ok = ();
    type Error = KeyError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = ser::Impossible<(), KeyError>;
    type SerializeStruct = Elements<'a>;
    type SerializeStructVariant = Elements<'a>;

    one_word! {
        serialize_bool(bool), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32),
        serialize_u64(u64), serialize_char(char),
    }

    one_signed_word! {
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
    fn serialize_u128(self, value: u128) -> Result<(), KeyError> {
        self.0.write_u64(value as u64);
        self.0.write_u64((value >> 64) as u64);
        Ok(())
    }

    fn serialize_i128(self, value: i128) -> Result<(), KeyError> {
        self.serialize_u128(value.cast_unsigned())
    }

    fn serialize_f32(self, value: f32) -> Result<(), KeyError> {
        self.serialize_f64(f64::from(value))
    }

    fn serialize_f64(self, value: f64) -> Result<(), KeyError> {
        if value.is_nan() {
            return Err(KeyError::NotANumber);
        }
        // Adding zero turns -0.0, which equals 0.0, into 0.0.
        self.0.write_u64((value + 0.0).to_bits());
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), KeyError> {
        self.0.write_bytes(value.as_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<(), KeyError> {
        self.0.write_bytes(value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), KeyError> {
        self.0.write_u64(0);
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), KeyError> {
        self.0.write_u64(1);
        value.serialize(self)
    }

    #[inline]
    fn serialize_unit(self) -> Result<(), KeyError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), KeyError> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<(), KeyError> {
        self.0.write_u64(u64::from(index));
        Ok(())
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), KeyError> {
        value.serialize(self)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<(), KeyError> {
        self.0.write_u64(u64::from(index));
        value.serialize(self)
    }

    #[inline]
    fn serialize_seq(self, _len: Option<usize>) -> Result<Elements<'a>, KeyError> {
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Elements<'a>, KeyError> {
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Elements<'a>, KeyError> {
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Elements<'a>, KeyError> {
        self.0.write_u64(u64::from(index));
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Self::SerializeMap, KeyError> {
        Err(KeyError::Map)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Elements<'a>, KeyError> {
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Elements<'a>, KeyError> {
        self.0.write_u64(u64::from(index));
        Ok(Elements {
            hasher: self.0,
            count: 0,
        })
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = KeyError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), KeyError> {
        self.add(value)
    }

    #[inline]
    fn end(self) -> Result<(), KeyError> {
        self.hasher.write_u64(self.count);
        Ok(())
    }
}

macro_rules! fields {
    ($($trait:ident::$method:ident($($key:ident: $type:ty)?)),* $(,)?) => {$(
        impl ser::$trait for Elements<'_> {
            type Ok = ();
            type Error = KeyError;

            #[inline]
            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($key: $type,)?
                value: &T,
            ) -> Result<(), KeyError> {
                self.add(value)
            }

            #[inline]
            fn end(self) -> Result<(), KeyError> {
                Ok(())
            }
        }
    )*};
}

fields! {
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(_key: &'static str),
    SerializeStructVariant::serialize_field(_key: &'static str),
}
