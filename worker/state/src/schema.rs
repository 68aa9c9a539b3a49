//! Schemas: what a value's encoding consists of, so that state which a former version of a program
//! wrote can be read by a later one (Flink's `TypeSerializerSnapshot`).
//!
//! The encoding of values does not describe itself, so each state of a snapshot carries a schema,
//! traced from what the value's `Deserialize` asks for ([`trace`]). When a program asks for a
//! state, the two schemas are compared ([`compare`]). If the bytes mean the same, nothing more
//! happens. If fields were added with a default, removed or reordered, or integers widened, each
//! value is rewritten once, while it is loaded ([`migrate`]). Everything else is refused. Keys
//! never change: they decide where state lies.
//!
//! A type that cannot be traced (it is recursive, has aliases for fields, or refuses the values
//! that tracing offers it) has an opaque schema, and must keep its name.

mod compare;
mod migrate;
mod trace;
mod value_type;

use std::fmt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use self::compare::{Change, compare};
use self::migrate::migrate_front;
pub(crate) use self::migrate::skip_front;
use self::trace::{Probe, probe};
pub(crate) use self::value_type::{ValueType, Written};
use crate::codec::describe_type;

/// The most levels that a schema has.
const DEPTH_MAX: usize = 32;

/// The most nodes that a schema has.
const NODES_MAX: usize = 4096;

/// What a value's encoding consists of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Node>", into = "Vec<Node>")]
pub struct Schema {
    /// The first one is the value itself. Parts come behind what they are parts of.
    nodes: Vec<Node>,
}

/// The place of a node in its schema.
type NodeId = u32;

/// A part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Node {
    /// Nobody knows; the type's name.
    Opaque(String),
    Leaf(Leaf),
    Option(NodeId),
    Seq(NodeId),
    Map(NodeId, NodeId),
    Tuple(Vec<NodeId>),
    Struct(String, Vec<Named>),
    Enum(String, Vec<Named>),
}

/// A field of a struct or a variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Named {
    name: String,
    node: NodeId,
}

/// A value without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Leaf {
    Unit,
    Bool,
    I8,
    I16,
    I32,
    I64,
    I128,
    U8,
    U16,
    U32,
    U64,
    U128,
    F32,
    F64,
    Char,
    String,
    Bytes,
}

impl Schema {
    /// The schema of a type.
    pub fn of<T: DeserializeOwned>() -> Self {
        trace::trace::<T>().unwrap_or_else(|| Self {
            nodes: vec![Node::Opaque(describe_type::<T>())],
        })
    }

    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }
}

/// A schema's list of nodes that is none.
#[derive(Debug, thiserror::Error)]
#[error("read a schema: {0}")]
struct SchemaError(&'static str);

impl TryFrom<Vec<Node>> for Schema {
    type Error = SchemaError;

    /// Every part must be of one whole, which stands before it; so there are no cycles.
    fn try_from(nodes: Vec<Node>) -> Result<Self, SchemaError> {
        if nodes.is_empty() || nodes.len() > NODES_MAX {
            return Err(SchemaError("it has no parts or too many"));
        }
        let mut depths = vec![None; nodes.len()];
        depths[0] = Some(0);
        for (at, node) in nodes.iter().enumerate() {
            let Some(depth) = depths[at].filter(|depth| *depth < DEPTH_MAX) else {
                return Err(SchemaError("a part belongs to nothing, or lies too deep"));
            };
            for part in node.parts() {
                let part = part as usize;
                if part <= at || part >= nodes.len() || depths[part].is_some() {
                    return Err(SchemaError("a part is not there or belongs to two"));
                }
                depths[part] = Some(depth + 1);
            }
        }
        Ok(Self { nodes })
    }
}

impl From<Schema> for Vec<Node> {
    fn from(schema: Schema) -> Self {
        schema.nodes
    }
}

impl Node {
    fn parts(&self) -> Vec<NodeId> {
        match self {
            Self::Opaque(_) | Self::Leaf(_) => Vec::new(),
            Self::Option(part) | Self::Seq(part) => vec![*part],
            Self::Map(key, value) => vec![*key, *value],
            Self::Tuple(parts) => parts.clone(),
            Self::Struct(_, named) | Self::Enum(_, named) => {
                named.iter().map(|named| named.node).collect()
            }
        }
    }

    /// What a person calls it, without its parts.
    fn describe(&self) -> String {
        match self {
            Self::Opaque(name) => format!("`{name}` (a type that cannot be traced)"),
            Self::Leaf(leaf) => leaf.name().to_owned(),
            Self::Option(_) => "an option".to_owned(),
            Self::Seq(_) => "a sequence".to_owned(),
            Self::Map(..) => "a map".to_owned(),
            Self::Tuple(parts) => format!("a tuple of {}", parts.len()),
            Self::Struct(name, _) => format!("struct `{name}`"),
            Self::Enum(name, _) => format!("enum `{name}`"),
        }
    }
}

impl Leaf {
    fn name(self) -> &'static str {
        match self {
            Self::Unit => "()",
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::I128 => "i128",
            Self::U8 => "u8",
            Self::U16 => "u16",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::U128 => "u128",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Char => "char",
            Self::String => "String",
            Self::Bytes => "bytes",
        }
    }

    /// Of integers: whether it is signed, and its bits.
    fn integer(self) -> Option<(bool, u32)> {
        match self {
            Self::I8 => Some((true, 8)),
            Self::I16 => Some((true, 16)),
            Self::I32 => Some((true, 32)),
            Self::I64 => Some((true, 64)),
            Self::I128 => Some((true, 128)),
            Self::U8 => Some((false, 8)),
            Self::U16 => Some((false, 16)),
            Self::U32 => Some((false, 32)),
            Self::U64 => Some((false, 64)),
            Self::U128 => Some((false, 128)),
            _ => None,
        }
    }

    /// Whether every value of `self` is one of `wider`, which has more bits.
    fn widens_to(self, wider: Self) -> bool {
        match (self.integer(), wider.integer()) {
            (Some((signed, bits)), Some((wider_signed, wider_bits))) => {
                signed == wider_signed && bits < wider_bits
            }
            _ => false,
        }
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

impl Schema {
    fn write(&self, f: &mut fmt::Formatter<'_>, id: NodeId) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, named: &[Named]| {
            for (nth, Named { name, node }) in named.iter().enumerate() {
                write!(f, "{}{name}: ", if nth == 0 { "" } else { ", " })?;
                self.write(f, *node)?;
            }
            f.write_str("}")
        };
        match self.node(id) {
            Node::Option(part) => {
                f.write_str("Option<")?;
                self.write(f, *part)?;
                f.write_str(">")
            }
            Node::Seq(part) => {
                f.write_str("[")?;
                self.write(f, *part)?;
                f.write_str("]")
            }
            Node::Map(key, value) => {
                f.write_str("Map<")?;
                self.write(f, *key)?;
                f.write_str(", ")?;
                self.write(f, *value)?;
                f.write_str(">")
            }
            Node::Tuple(parts) => {
                f.write_str("(")?;
                for (nth, part) in parts.iter().enumerate() {
                    f.write_str(if nth == 0 { "" } else { ", " })?;
                    self.write(f, *part)?;
                }
                f.write_str(")")
            }
            Node::Struct(name, fields) => {
                write!(f, "{name} {{")?;
                list(f, fields)
            }
            Node::Enum(name, variants) => {
                write!(f, "enum {name} {{")?;
                list(f, variants)
            }
            Node::Opaque(name) => f.write_str(name),
            Node::Leaf(leaf) => f.write_str(leaf.name()),
        }
    }
}

#[cfg(test)]
mod tests;
