//! How a type that is being traced is given the parts that it asked for.

use serde::de::value::{StrDeserializer, U32Deserializer, UnitDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{Pass, Probe, Slot, Tracer, Untraceable};
use crate::schema::Leaf;

/// Parts one after the other.
pub(super) struct Parts<'p, I> {
    pub(super) slots: I,
    pub(super) pass: Pass<'p>,
}

impl<'de, 't, I: Iterator<Item = (usize, &'t mut Slot)>> SeqAccess<'de> for Parts<'_, I> {
    type Error = Untraceable;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Untraceable> {
        let Some((part, slot)) = self.slots.next() else {
            return Ok(None);
        };
        let pass = self.pass.into_part(part);
        seed.deserialize(Tracer { slot, pass }).map(Some)
    }
}

/// The one entry of a map.
pub(super) struct Entry<'t, 'p> {
    pub(super) key: Option<&'t mut Slot>,
    pub(super) value: Option<&'t mut Slot>,
    pub(super) pass: Pass<'p>,
}

impl<'de> MapAccess<'de> for Entry<'_, '_> {
    type Error = Untraceable;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Untraceable> {
        let Some(slot) = self.key.take() else {
            return Ok(None);
        };
        let pass = self.pass.into_part(0);
        seed.deserialize(Tracer { slot, pass }).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Untraceable> {
        let slot = self.value.take().ok_or(Untraceable)?;
        let pass = self.pass.into_part(1);
        seed.deserialize(Tracer { slot, pass })
    }
}

/// The fields of a struct by their names, as a probe wants them.
pub(super) struct Fields<'t, 'p, I> {
    pub(super) rest: I,
    /// One that the struct does not have is still to come.
    pub(super) unknown: bool,
    pub(super) value: Option<(usize, &'t mut Slot)>,
    pub(super) pass: Pass<'p>,
}

impl<'de, 't, I> MapAccess<'de> for Fields<'t, '_, I>
where
    I: Iterator<Item = (usize, &'t mut (&'static str, Slot))>,
{
    type Error = Untraceable;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Untraceable> {
        let here = self.pass.probe_here();
        let next = self
            .rest
            .find(|(field, _)| here != Some(Probe::Without(*field)));
        let name = match next {
            Some((field, (name, slot))) => {
                self.value = Some((field, slot));
                *name
            }
            None if self.unknown => {
                (self.unknown, self.value) = (false, None);
                "\u{0}a name that no field has"
            }
            None => return Ok(None),
        };
        seed.deserialize(StrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Untraceable> {
        match self.value.take() {
            Some((field, slot)) => {
                let pass = self.pass.into_part(field);
                seed.deserialize(Tracer { slot, pass })
            }
            None => seed.deserialize(UnitDeserializer::new()),
        }
    }
}

/// One variant of an enum.
pub(super) struct Variant<'t, 'p> {
    pub(super) variant: usize,
    pub(super) name: &'static str,
    pub(super) inner: Tracer<'t, 'p>,
}

impl<'de, 't, 'p> EnumAccess<'de> for Variant<'t, 'p> {
    type Error = Untraceable;
    type Variant = Tracer<'t, 'p>;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Tracer<'t, 'p>), Untraceable> {
        let index = u32::try_from(self.variant).map_err(|_| Untraceable)?;
        let chosen = if self.inner.pass.by_name {
            seed.deserialize(StrDeserializer::new(self.name))
        } else {
            seed.deserialize(U32Deserializer::new(index))
        };
        Ok((chosen?, self.inner))
    }
}

impl<'de> VariantAccess<'de> for Tracer<'_, '_> {
    type Error = Untraceable;

    fn unit_variant(self) -> Result<(), Untraceable> {
        self.leaf(Leaf::Unit).map(drop)
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Untraceable> {
        seed.deserialize(self)
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.deserialize_struct("", fields, visitor)
    }
}
