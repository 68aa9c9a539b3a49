//! Finds out what a type's encoding consists of, by watching what its `Deserialize` asks for. It is
//! offered made-up values: one element of each sequence, some value of each option, and the
//! variants of an enum one after the other, as often as it takes to have seen them all.

mod access;
mod deserializer;

use std::fmt;

use serde::de::DeserializeOwned;

use super::{DEPTH_MAX, Leaf, NODES_MAX, Named, Node, NodeId, Schema};

/// How often a type is asked, at most: once for each variant of its enums, roughly.
const PASSES_MAX: usize = 1000;

/// What is known of a part of the type.
#[derive(Clone, Debug, Default)]
enum Slot {
    #[default]
    Unknown,
    Leaf(Leaf),
    Option(Box<Slot>),
    Seq(Box<Slot>),
    Map(Box<(Slot, Slot)>),
    Tuple(Vec<Slot>),
    Struct(&'static str, Vec<(&'static str, Slot)>),
    Enum(&'static str, Vec<(&'static str, Slot)>),
}

/// A question to a type: can it be read by the names of fields and variants, ...
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probe {
    /// ... with all its fields,
    AsIs,
    /// ... without this field of the struct,
    Without(usize),
    /// ... with a field that the struct does not have?
    WithUnknown,
}

/// How one pass chooses.
#[derive(Clone, Copy)]
struct Pass<'p> {
    /// Structs are given as maps, variants by their names.
    by_name: bool,
    /// Leads to the part that the probe is about; none: this part is off the way.
    way: Option<(&'p [usize], Probe)>,
    depth: usize,
    /// Numbers are this, texts are its digit.
    number: u8,
}

/// The type cannot be traced.
#[derive(Debug)]
struct Untraceable;

impl fmt::Display for Untraceable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the type cannot be traced")
    }
}

impl std::error::Error for Untraceable {}

impl serde::de::Error for Untraceable {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// The type's schema; none if it cannot be traced.
pub(super) fn trace<T: DeserializeOwned>() -> Option<Schema> {
    explore::<T>().map(|(slot, _)| {
        let mut nodes = Vec::new();
        flatten(&slot, &mut nodes);
        Schema { nodes }
    })
}

/// Asks the type about the part that `way` leads to: from the value inwards, the number of the
/// field, variant or element.
pub(crate) fn probe<T: DeserializeOwned>(way: &[usize], probe: Probe) -> bool {
    let Some((mut slot, number)) = explore::<T>() else {
        return false;
    };
    let pass = Pass {
        by_name: true,
        way: Some((way, probe)),
        depth: 0,
        number,
    };
    let slot = &mut slot;
    T::deserialize(Tracer { slot, pass }).is_ok()
}

fn explore<T: DeserializeOwned>() -> Option<(Slot, u8)> {
    // Some types refuse zero, some texts that are no numbers; more than that is not guessed.
    [1, 0]
        .into_iter()
        .find_map(|number| explore_with::<T>(number).map(|slot| (slot, number)))
}

fn explore_with<T: DeserializeOwned>(number: u8) -> Option<Slot> {
    let mut slot = Slot::Unknown;
    for _ in 0..PASSES_MAX {
        let pass = Pass {
            by_name: false,
            way: None,
            depth: 0,
            number,
        };
        let tracer = Tracer {
            slot: &mut slot,
            pass,
        };
        T::deserialize(tracer).ok()?;
        if slot.size() > NODES_MAX {
            return None;
        }
        if slot.complete() {
            return Some(slot);
        }
    }
    None
}

impl Slot {
    fn complete(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Leaf(_) => true,
            Self::Option(part) | Self::Seq(part) => part.complete(),
            Self::Map(parts) => parts.0.complete() && parts.1.complete(),
            Self::Tuple(parts) => parts.iter().all(Self::complete),
            Self::Struct(_, named) | Self::Enum(_, named) => {
                named.iter().all(|(_, slot)| slot.complete())
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Unknown | Self::Leaf(_) => 1,
            Self::Option(part) | Self::Seq(part) => 1 + part.size(),
            Self::Map(parts) => 1 + parts.0.size() + parts.1.size(),
            Self::Tuple(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
            Self::Struct(_, named) | Self::Enum(_, named) => {
                1 + named.iter().map(|(_, slot)| slot.size()).sum::<usize>()
            }
        }
    }
}

fn flatten(slot: &Slot, nodes: &mut Vec<Node>) -> NodeId {
    let id = nodes.len();
    nodes.push(Node::Leaf(Leaf::Unit));
    let named = |list: &[(&'static str, Slot)], nodes: &mut Vec<Node>| {
        let each = list.iter().map(|(name, slot)| Named {
            name: (*name).to_owned(),
            node: flatten(slot, nodes),
        });
        each.collect::<Vec<_>>()
    };
    nodes[id] = match slot {
        Slot::Unknown => unreachable!("the type was explored completely"),
        Slot::Leaf(leaf) => Node::Leaf(*leaf),
        Slot::Option(part) => Node::Option(flatten(part, nodes)),
        Slot::Seq(part) => Node::Seq(flatten(part, nodes)),
        Slot::Map(parts) => {
            let key = flatten(&parts.0, nodes);
            Node::Map(key, flatten(&parts.1, nodes))
        }
        Slot::Tuple(parts) => Node::Tuple(parts.iter().map(|part| flatten(part, nodes)).collect()),
        Slot::Struct(name, fields) => Node::Struct((*name).to_owned(), named(fields, nodes)),
        Slot::Enum(name, variants) => Node::Enum((*name).to_owned(), named(variants, nodes)),
    };
    NodeId::try_from(id).expect("a schema has few nodes")
}

impl<'p> Pass<'p> {
    /// For the part with this number.
    fn into_part(self, part: usize) -> Self {
        let way = match self.way {
            Some((way, probe)) => match way.split_first() {
                Some((first, rest)) if *first == part => Some((rest, probe)),
                _ => None,
            },
            None => None,
        };
        Self {
            way,
            depth: self.depth + 1,
            ..self
        }
    }

    /// The probe, if it is about this very part.
    fn probe_here(self) -> Option<Probe> {
        match self.way {
            Some(([], probe)) => Some(probe),
            _ => None,
        }
    }
}

/// Offers a made-up value and notes what was asked for.
struct Tracer<'t, 'p> {
    slot: &'t mut Slot,
    pass: Pass<'p>,
}

impl<'t, 'p> Tracer<'t, 'p> {
    fn leaf(self, leaf: Leaf) -> Result<u8, Untraceable> {
        match self.slot {
            Slot::Unknown => *self.slot = Slot::Leaf(leaf),
            Slot::Leaf(known) if *known == leaf => {}
            _ => return Err(Untraceable),
        }
        Ok(self.pass.number)
    }

    /// What is known of this part, if it agrees with what is asked for now.
    fn agreed(
        self,
        new: impl FnOnce() -> Slot,
        same: impl FnOnce(&Slot) -> bool,
    ) -> Result<(&'t mut Slot, Pass<'p>), Untraceable> {
        if self.pass.depth >= DEPTH_MAX - 1 {
            return Err(Untraceable);
        }
        if matches!(self.slot, Slot::Unknown) {
            *self.slot = new();
        }
        if same(self.slot) {
            Ok((self.slot, self.pass))
        } else {
            Err(Untraceable)
        }
    }
}
