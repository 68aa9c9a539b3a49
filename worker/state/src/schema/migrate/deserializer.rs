//! How a type asks for a value that was written under another schema: serde's `Deserializer`.

use serde::de::{Deserializer, Error as _, Visitor};

use super::access::{Elements, Entries, Fields, Variant};
use super::{MigrateError, Migrated, Reader};
use crate::schema::{Leaf, Node};

macro_rules! integers {
    ($($deserialize:ident $visit:ident $take:ident;)+) => {$(
        fn $deserialize<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
            let value = self.$take()?;
            visitor.$visit(value.try_into().map_err(MigrateError::custom)?)
        }
    )+};
}

macro_rules! plain {
    ($($deserialize:ident $leaf:ident $visit:ident;)+) => {$(
        fn $deserialize<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
            match self.leaf()? {
                Leaf::$leaf => visitor.$visit(self.take()?),
                _ => self.unlike(Leaf::$leaf.name()),
            }
        }
    )+};
}

impl<'de> Deserializer<'de> for Reader<'_, '_, '_> {
    type Error = MigrateError;

    integers! {
        deserialize_u8 visit_u8 take_unsigned;
        deserialize_u16 visit_u16 take_unsigned;
        deserialize_u32 visit_u32 take_unsigned;
        deserialize_u64 visit_u64 take_unsigned;
        deserialize_u128 visit_u128 take_unsigned;
        deserialize_i8 visit_i8 take_signed;
        deserialize_i16 visit_i16 take_signed;
        deserialize_i32 visit_i32 take_signed;
        deserialize_i64 visit_i64 take_signed;
        deserialize_i128 visit_i128 take_signed;
    }

    plain! {
        deserialize_bool Bool visit_bool;
        deserialize_f32 F32 visit_f32;
        deserialize_f64 F64 visit_f64;
        deserialize_char Char visit_char;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        if self.leaf()? != Leaf::String {
            return self.unlike("a text");
        }
        let text = self.take_bytes()?;
        visitor.visit_str(std::str::from_utf8(text).map_err(MigrateError::custom)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Migrated<V::Value> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        if self.leaf()? != Leaf::Bytes {
            return self.unlike("bytes");
        }
        visitor.visit_bytes(self.take_bytes()?)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Migrated<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        let Node::Option(part) = self.node() else {
            return self.unlike("an option");
        };
        match self.take::<u8>()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(self.part(*part)),
            tag => Err(MigrateError(format!("an option begins with {tag}"))),
        }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Migrated<V::Value> {
        match self.leaf()? {
            Leaf::Unit => visitor.visit_unit(),
            _ => self.unlike("()"),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Migrated<V::Value> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Migrated<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        let Node::Seq(part) = self.node() else {
            return self.unlike("a sequence");
        };
        let left = self.take_len()?;
        let part = *part;
        visitor.visit_seq(Elements {
            parts: std::iter::repeat_n(part, left),
            reader: self,
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Migrated<V::Value> {
        match self.node() {
            Node::Tuple(parts) if parts.len() == len => visitor.visit_seq(Elements {
                parts: parts.iter().copied(),
                reader: self,
            }),
            _ => self.unlike(&format!("a tuple of {len}")),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Migrated<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        let Node::Map(key, value) = self.node() else {
            return self.unlike("a map");
        };
        let left = self.take_len()?;
        visitor.visit_map(Entries {
            key: *key,
            value: *value,
            left,
            reader: self,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Migrated<V::Value> {
        let Node::Struct(_, fields) = self.node() else {
            return self.unlike(&format!("struct `{name}`"));
        };
        visitor.visit_map(Fields {
            rest: fields,
            reader: self,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        mut self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Migrated<V::Value> {
        let variant = self.take_variant()?;
        visitor.visit_enum(Variant {
            name: &variant.name,
            inner: Reader {
                node: variant.node,
                ..self
            },
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Migrated<V::Value> {
        self.unlike("a name")
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Migrated<V::Value> {
        self.unlike("something that says what it is")
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(mut self, visitor: V) -> Migrated<V::Value> {
        self.skip()?;
        visitor.visit_unit()
    }
}
