//! How a type is given the parts that it asked for.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{MigrateError, Migrated, Reader};
use crate::schema::{Leaf, Named, NodeId};

/// The parts of a sequence or tuple.
pub(super) struct Elements<'s, 'b, 'd, I> {
    pub(super) parts: I,
    pub(super) reader: Reader<'s, 'b, 'd>,
}

impl<'de, I: Iterator<Item = NodeId>> SeqAccess<'de> for Elements<'_, '_, '_, I> {
    type Error = MigrateError;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Migrated<Option<S::Value>> {
        let Some(part) = self.parts.next() else {
            return Ok(None);
        };
        seed.deserialize(self.reader.part(part)).map(Some)
    }
}

/// The entries of a map.
pub(super) struct Entries<'s, 'b, 'd> {
    pub(super) key: NodeId,
    pub(super) value: NodeId,
    pub(super) left: usize,
    pub(super) reader: Reader<'s, 'b, 'd>,
}

impl<'de> MapAccess<'de> for Entries<'_, '_, '_> {
    type Error = MigrateError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Migrated<Option<S::Value>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        seed.deserialize(self.reader.part(self.key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Migrated<S::Value> {
        seed.deserialize(self.reader.part(self.value))
    }
}

/// The fields of a struct, by the names under which they were written.
pub(super) struct Fields<'s, 'b, 'd> {
    pub(super) rest: &'s [Named],
    pub(super) reader: Reader<'s, 'b, 'd>,
}

impl<'de> MapAccess<'de> for Fields<'_, '_, '_> {
    type Error = MigrateError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Migrated<Option<S::Value>> {
        match self.rest.first() {
            Some(field) => seed
                .deserialize(StrDeserializer::new(&field.name))
                .map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Migrated<S::Value> {
        let Some((field, rest)) = self.rest.split_first() else {
            return self.reader.unlike("one more field");
        };
        self.rest = rest;
        seed.deserialize(self.reader.part(field.node))
    }
}

/// One variant of an enum.
pub(super) struct Variant<'s, 'b, 'd> {
    pub(super) name: &'s str,
    pub(super) inner: Reader<'s, 'b, 'd>,
}

impl<'de, 's, 'b, 'd> EnumAccess<'de> for Variant<'s, 'b, 'd> {
    type Error = MigrateError;
    type Variant = Reader<'s, 'b, 'd>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Migrated<(S::Value, Reader<'s, 'b, 'd>)> {
        let chosen = seed.deserialize(StrDeserializer::new(self.name))?;
        Ok((chosen, self.inner))
    }
}

impl<'de> VariantAccess<'de> for Reader<'_, '_, '_> {
    type Error = MigrateError;

    fn unit_variant(self) -> Migrated<()> {
        match self.leaf()? {
            Leaf::Unit => Ok(()),
            _ => self.unlike("a variant without content"),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Migrated<S::Value> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Migrated<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Migrated<V::Value> {
        self.deserialize_struct("", fields, visitor)
    }
}
