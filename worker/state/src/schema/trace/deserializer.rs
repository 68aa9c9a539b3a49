//! How a type that is being traced asks: serde's `Deserializer`.

use serde::de::{Deserializer, Visitor};

use super::access::{Entry, Fields, Parts, Variant};
use super::{Probe, Slot, Tracer, Untraceable};
use crate::schema::{Leaf, NODES_MAX};

macro_rules! leaves {
    ($($deserialize:ident $leaf:ident $visit:ident $of:expr;)+) => {$(
        fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
            let number = self.leaf(Leaf::$leaf)?;
            let of: fn(u8) -> _ = $of;
            visitor.$visit(of(number))
        }
    )+};
}

fn text(number: u8) -> &'static str {
    if number == 0 { "0" } else { "1" }
}

impl<'de> Deserializer<'de> for Tracer<'_, '_> {
    type Error = Untraceable;

    leaves! {
        deserialize_bool Bool visit_bool |n| n == 1;
        deserialize_i8 I8 visit_i8 |n| i8::from(n == 1);
        deserialize_i16 I16 visit_i16 i16::from;
        deserialize_i32 I32 visit_i32 i32::from;
        deserialize_i64 I64 visit_i64 i64::from;
        deserialize_i128 I128 visit_i128 i128::from;
        deserialize_u8 U8 visit_u8 |n| n;
        deserialize_u16 U16 visit_u16 u16::from;
        deserialize_u32 U32 visit_u32 u32::from;
        deserialize_u64 U64 visit_u64 u64::from;
        deserialize_u128 U128 visit_u128 u128::from;
        deserialize_f32 F32 visit_f32 f32::from;
        deserialize_f64 F64 visit_f64 f64::from;
        deserialize_char Char visit_char |n| if n == 0 { '0' } else { '1' };
        deserialize_str String visit_str text;
        deserialize_string String visit_str text;
        deserialize_byte_buf Bytes visit_byte_buf |n| vec![n];
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let number = self.leaf(Leaf::Bytes)?;
        visitor.visit_bytes(&[number])
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        self.leaf(Leaf::Unit)?;
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let same = |slot: &Slot| matches!(slot, Slot::Option(_));
        match self.agreed(|| Slot::Option(Box::default()), same)? {
            (Slot::Option(slot), pass) => visitor.visit_some(Tracer {
                slot,
                pass: pass.into_part(0),
            }),
            _ => Err(Untraceable),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let same = |slot: &Slot| matches!(slot, Slot::Seq(_));
        match self.agreed(|| Slot::Seq(Box::default()), same)? {
            (Slot::Seq(slot), pass) => visitor.visit_seq(Parts {
                slots: [&mut **slot].into_iter().enumerate(),
                pass,
            }),
            _ => Err(Untraceable),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        if len > NODES_MAX {
            return Err(Untraceable);
        }
        let same = |slot: &Slot| matches!(slot, Slot::Tuple(parts) if parts.len() == len);
        match self.agreed(|| Slot::Tuple(vec![Slot::Unknown; len]), same)? {
            (Slot::Tuple(parts), pass) => visitor.visit_seq(Parts {
                slots: parts.iter_mut().enumerate(),
                pass,
            }),
            _ => Err(Untraceable),
        }
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Untraceable> {
        let same = |slot: &Slot| matches!(slot, Slot::Map(_));
        match self.agreed(|| Slot::Map(Box::default()), same)? {
            (Slot::Map(parts), pass) => {
                let (key, value) = &mut **parts;
                visitor.visit_map(Entry {
                    key: Some(key),
                    value: Some(value),
                    pass,
                })
            }
            _ => Err(Untraceable),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        let new = || Slot::Struct(name, unknown(fields));
        let same = |slot: &Slot| matches!(slot, Slot::Struct(known, parts) if *known == name && are(parts, fields));
        let (Slot::Struct(_, parts), pass) = self.agreed(new, same)? else {
            return Err(Untraceable);
        };
        if pass.by_name {
            return visitor.visit_map(Fields {
                rest: parts.iter_mut().enumerate(),
                unknown: pass.probe_here() == Some(Probe::WithUnknown),
                value: None,
                pass,
            });
        }
        visitor.visit_seq(Parts {
            slots: parts.iter_mut().map(|(_, slot)| slot).enumerate(),
            pass,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Untraceable> {
        let new = || Slot::Enum(name, unknown(variants));
        let same = |slot: &Slot| matches!(slot, Slot::Enum(known, parts) if *known == name && are(parts, variants));
        let (Slot::Enum(_, parts), pass) = self.agreed(new, same)? else {
            return Err(Untraceable);
        };
        let on_the_way = pass.way.and_then(|(way, _)| way.first().copied());
        let unseen = || parts.iter().position(|(_, slot)| !slot.complete());
        let variant = on_the_way.or_else(unseen).unwrap_or(0);
        let (name, slot) = parts.get_mut(variant).ok_or(Untraceable)?;
        visitor.visit_enum(Variant {
            variant,
            name,
            inner: Tracer {
                slot,
                pass: pass.into_part(variant),
            },
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Untraceable> {
        Err(Untraceable)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Untraceable> {
        Err(Untraceable)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Untraceable> {
        Err(Untraceable)
    }
}

fn unknown(names: &'static [&'static str]) -> Vec<(&'static str, Slot)> {
    names.iter().map(|name| (*name, Slot::Unknown)).collect()
}

fn are(parts: &[(&'static str, Slot)], names: &[&'static str]) -> bool {
    parts.iter().map(|(name, _)| name).eq(names)
}
