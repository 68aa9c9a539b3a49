//! Whether values of one schema can be read by a type with another.

use super::{Leaf, Named, Node, NodeId, Probe, Schema};

/// What has to be done with values that were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing: their bytes mean the same.
    None,
    /// They are rewritten.
    Rewrite,
}

/// Compares what was written with what is to be read. `probe` answers for the type that reads.
/// The error says where and in what they differ.
pub(crate) fn compare(
    written: &Schema,
    read: &Schema,
    probe: &dyn Fn(&[usize], Probe) -> bool,
) -> Result<Change, String> {
    if written == read {
        return Ok(Change::None);
    }
    let mut walk = Walk {
        written,
        read,
        probe,
        way: Vec::new(),
        place: String::new(),
        change: Change::None,
    };
    walk.part(0, 0)?;
    Ok(walk.change)
}

struct Walk<'a> {
    written: &'a Schema,
    read: &'a Schema,
    probe: &'a dyn Fn(&[usize], Probe) -> bool,
    /// To the part of the type that reads.
    way: Vec<usize>,
    /// The same for people.
    place: String,
    change: Change,
}

impl Walk<'_> {
    fn part(&mut self, written: NodeId, read: NodeId) -> Result<(), String> {
        let (old, new) = (self.written.node(written), self.read.node(read));
        match (old, new) {
            (Node::Opaque(a), Node::Opaque(b)) if a == b => Ok(()),
            (Node::Leaf(a), Node::Leaf(b)) => self.leaf(*a, *b),
            (Node::Option(a), Node::Option(b)) => self.inner(0, "?", *a, *b),
            (Node::Seq(a), Node::Seq(b)) => self.inner(0, "[]", *a, *b),
            (Node::Map(key, value), Node::Map(new_key, new_value)) => {
                let before = self.change;
                self.change = Change::None;
                self.inner(0, "{key}", *key, *new_key)?;
                if self.change == Change::Rewrite {
                    return Err(self.differ("the keys of a map have changed, which they must not"));
                }
                self.change = before;
                self.inner(1, "{value}", *value, *new_value)
            }
            (Node::Tuple(a), Node::Tuple(b)) if a.len() == b.len() => {
                for (nth, (a, b)) in a.iter().zip(b).enumerate() {
                    self.inner(nth, &format!(".{nth}"), *a, *b)?;
                }
                Ok(())
            }
            (Node::Struct(name, a), Node::Struct(new_name, b)) if name == new_name => {
                self.fields(a, b)
            }
            (Node::Enum(name, a), Node::Enum(new_name, b)) if name == new_name => {
                self.variants(a, b)
            }
            _ => Err(self.differ(&format!(
                "it was {} and is {}",
                old.describe(),
                new.describe()
            ))),
        }
    }

    fn leaf(&mut self, old: Leaf, new: Leaf) -> Result<(), String> {
        if old.widens_to(new) {
            self.change = Change::Rewrite;
            return Ok(());
        }
        if old == new {
            return Ok(());
        }
        Err(self.differ(&format!("it was {} and is {}", old.name(), new.name())))
    }

    fn inner(&mut self, part: usize, name: &str, old: NodeId, new: NodeId) -> Result<(), String> {
        let len = self.place.len();
        self.place.push_str(name);
        self.way.push(part);
        self.part(old, new)?;
        self.way.pop();
        self.place.truncate(len);
        Ok(())
    }

    fn fields(&mut self, old: &[Named], new: &[Named]) -> Result<(), String> {
        let names = |fields: &[Named]| fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        let changed = names(old) != names(new);
        if changed {
            self.change = Change::Rewrite;
        }
        for (nth, field) in new.iter().enumerate() {
            match old.iter().find(|known| known.name == field.name) {
                Some(known) => {
                    self.inner(nth, &format!(".{}", field.name), known.node, field.node)?;
                }
                None if (self.probe)(&self.way, Probe::Without(nth)) => {}
                None => {
                    return Err(self.differ(&format!(
                        "field `{}` was added without a default (`#[serde(default)]`)",
                        field.name
                    )));
                }
            }
        }
        let removed = old
            .iter()
            .find(|field| new.iter().all(|known| known.name != field.name));
        match removed {
            Some(field) if !(self.probe)(&self.way, Probe::WithUnknown) => {
                let what = format!(
                    "field `{}` was removed and the type refuses unknown fields",
                    field.name
                );
                Err(self.differ(&what))
            }
            None if changed && !(self.probe)(&self.way, Probe::AsIs) => {
                Err(self.differ("its fields cannot be read by their names"))
            }
            _ => Ok(()),
        }
    }

    fn variants(&mut self, old: &[Named], new: &[Named]) -> Result<(), String> {
        for (nth, variant) in old.iter().enumerate() {
            let name = &variant.name;
            let Some(known) = new.iter().position(|known| known.name == *name) else {
                return Err(self.differ(&format!("variant `{name}` was removed")));
            };
            if known != nth {
                self.change = Change::Rewrite;
            }
            let node = new[known].node;
            self.inner(known, &format!("::{name}"), variant.node, node)?;
        }
        Ok(())
    }

    fn differ(&self, what: &str) -> String {
        if self.place.is_empty() {
            what.to_owned()
        } else {
            let place = self.place.trim_start_matches('.');
            format!("at `{place}`: {what}")
        }
    }
}
