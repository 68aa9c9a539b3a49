//! Reads a value that was written under another schema: fields and variants are found by their
//! names, integers may be wider than they were.

mod access;
mod deserializer;

use std::fmt;

use serde::de::{DeserializeOwned, Error as _};

use super::{Leaf, Named, Node, NodeId, Schema};
use crate::codec::CodecError;

/// Reads a value of the schema from the front of `bytes` and moves them on.
pub(crate) fn migrate_front<T: DeserializeOwned>(
    schema: &Schema,
    bytes: &mut &[u8],
) -> Result<T, CodecError> {
    let reader = Reader {
        schema,
        node: 0,
        bytes,
    };
    T::deserialize(reader).map_err(|error| CodecError::decode::<T>(error.0))
}

/// Passes over a value of the schema at the front of `bytes` and moves them on.
pub(crate) fn skip_front(schema: &Schema, bytes: &mut &[u8]) -> Result<(), CodecError> {
    let mut reader = Reader {
        schema,
        node: 0,
        bytes,
    };
    let skipped = reader.skip();
    skipped.map_err(|error| CodecError::decode::<Schema>(error.0))
}

#[derive(Debug)]
struct MigrateError(String);

impl fmt::Display for MigrateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for MigrateError {}

impl serde::de::Error for MigrateError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Migrated<T> = Result<T, MigrateError>;

/// One part of the value.
struct Reader<'s, 'b, 'd> {
    schema: &'s Schema,
    node: NodeId,
    bytes: &'b mut &'d [u8],
}

impl<'s, 'b, 'd> Reader<'s, 'b, 'd> {
    fn node(&self) -> &'s Node {
        self.schema.node(self.node)
    }

    fn part(&mut self, node: NodeId) -> Reader<'s, '_, 'd> {
        Reader {
            schema: self.schema,
            node,
            bytes: self.bytes,
        }
    }

    /// A plain value as it was written.
    fn take<T: DeserializeOwned>(&mut self) -> Migrated<T> {
        let (value, rest) = postcard::take_from_bytes(self.bytes).map_err(MigrateError::custom)?;
        *self.bytes = rest;
        Ok(value)
    }

    fn take_len(&mut self) -> Migrated<usize> {
        let len: u64 = self.take()?;
        usize::try_from(len).map_err(MigrateError::custom)
    }

    fn take_bytes(&mut self) -> Migrated<&'d [u8]> {
        let len = self.take_len()?;
        let cut_off = || MigrateError("the value is cut off".to_owned());
        let (text, rest) = self.bytes.split_at_checked(len).ok_or_else(cut_off)?;
        *self.bytes = rest;
        Ok(text)
    }

    fn leaf(&self) -> Migrated<Leaf> {
        match self.node() {
            Node::Leaf(leaf) => Ok(*leaf),
            _ => self.unlike("a value without parts"),
        }
    }

    fn unlike<T>(&self, wanted: &str) -> Migrated<T> {
        let found = self.node().describe();
        Err(MigrateError(format!("want {wanted}, {found} was written")))
    }

    /// An unsigned integer of any width.
    fn take_unsigned(&mut self) -> Migrated<u128> {
        match self.leaf()? {
            Leaf::U8 => self.take::<u8>().map(u128::from),
            Leaf::U16 => self.take::<u16>().map(u128::from),
            Leaf::U32 => self.take::<u32>().map(u128::from),
            Leaf::U64 => self.take::<u64>().map(u128::from),
            Leaf::U128 => self.take(),
            _ => self.unlike("an unsigned integer"),
        }
    }

    /// A signed integer of any width.
    fn take_signed(&mut self) -> Migrated<i128> {
        match self.leaf()? {
            Leaf::I8 => self.take::<i8>().map(i128::from),
            Leaf::I16 => self.take::<i16>().map(i128::from),
            Leaf::I32 => self.take::<i32>().map(i128::from),
            Leaf::I64 => self.take::<i64>().map(i128::from),
            Leaf::I128 => self.take(),
            _ => self.unlike("a signed integer"),
        }
    }

    /// Passes over a value that nobody wants any more.
    fn skip(&mut self) -> Migrated<()> {
        match self.node() {
            Node::Opaque(_) => self.unlike("something that is known"),
            Node::Leaf(leaf) => self.skip_leaf(*leaf),
            Node::Option(part) => match self.take::<u8>()? {
                0 => Ok(()),
                _ => self.part(*part).skip(),
            },
            Node::Seq(part) => {
                let len = self.take_len()?;
                self.skip_many(len, &[*part])
            }
            Node::Map(key, value) => {
                let len = self.take_len()?;
                self.skip_many(len, &[*key, *value])
            }
            Node::Tuple(parts) => self.skip_many(1, parts),
            Node::Struct(_, fields) => {
                let mut fields = fields.iter();
                fields.try_for_each(|field| self.part(field.node).skip())
            }
            Node::Enum(..) => {
                let variant = self.take_variant()?;
                self.part(variant.node).skip()
            }
        }
    }

    fn skip_many(&mut self, len: usize, parts: &[NodeId]) -> Migrated<()> {
        for _ in 0..len {
            let before = self.bytes.len();
            for part in parts {
                self.part(*part).skip()?;
            }
            if self.bytes.len() == before {
                // Nothing but units: however many there are, they have no bytes.
                break;
            }
        }
        Ok(())
    }

    fn skip_leaf(&mut self, leaf: Leaf) -> Migrated<()> {
        match leaf {
            Leaf::Unit => Ok(()),
            Leaf::Bool => self.take::<bool>().map(drop),
            Leaf::F32 => self.take::<f32>().map(drop),
            Leaf::F64 => self.take::<f64>().map(drop),
            Leaf::Char => self.take::<char>().map(drop),
            Leaf::String | Leaf::Bytes => self.take_bytes().map(drop),
            Leaf::U8 | Leaf::U16 | Leaf::U32 | Leaf::U64 | Leaf::U128 => {
                self.take_unsigned().map(drop)
            }
            Leaf::I8 | Leaf::I16 | Leaf::I32 | Leaf::I64 | Leaf::I128 => {
                self.take_signed().map(drop)
            }
        }
    }

    fn take_variant(&mut self) -> Migrated<&'s Named> {
        let Node::Enum(_, variants) = self.node() else {
            return self.unlike("an enum");
        };
        let index: u32 = self.take()?;
        let variant = variants.get(index as usize);
        variant.ok_or_else(|| MigrateError(format!("there is no variant {index}")))
    }
}
