//! Builds a tree from the parser's events, counting what it will be when aliases are expanded.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, ScalarStyle, Tag};

use super::super::error::ManifestErrorKind as Kind;
use super::{DEPTH_MAX, Key, Located, Mark, NODES_MAX, Node, Scalar, Size, TEXT_BYTES_MAX, Value};

/// A collection that has begun and not ended.
struct Open {
    mark: Mark,
    anchor: usize,
    size: Size,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Mapping {
        entries: Vec<(Key, Node)>,
        key: Option<Key>,
    },
}

/// Builds the tree of the only document that has content.
#[derive(Default)]
pub(super) struct Builder {
    root: Option<Node>,
    document_mark: Option<Mark>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    text_bytes: usize,
}

impl Builder {
    pub(super) fn take(&mut self, event: Event<'_>, mark: Mark) -> Result<(), Located> {
        match event {
            Event::DocumentStart(..) => {
                self.document_mark = Some(mark);
                self.anchors.clear();
                Ok(())
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = scalar_is_plain(style, tag.as_deref(), mark)?;
                let size = Size {
                    nodes: 1,
                    text_bytes: text.len(),
                    depth: 0,
                };
                let scalar = Scalar {
                    text: text.into_owned(),
                    plain,
                };
                let node = Node {
                    mark,
                    value: Rc::new(Value::Scalar(scalar)),
                    size,
                };
                self.count(size, mark)?;
                self.attach(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), "seq", mark)?;
                self.begin(mark, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                refuse_tag(tag.as_deref(), "map", mark)?;
                self.begin(
                    mark,
                    anchor,
                    Content::Mapping {
                        entries: Vec::new(),
                        key: None,
                    },
                )
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => {
                let Some(target) = self.anchors.get(&id) else {
                    return Err(Located::new(mark, Kind::RecursiveAlias));
                };
                let node = Node {
                    mark,
                    ..target.clone()
                };
                self.count(node.size, mark)?;
                self.attach(node, 0)
            }
            _ => Ok(()),
        }
    }

    /// The root, once there are no more events.
    pub(super) fn finish(self) -> Result<Node, Located> {
        self.root
            .ok_or_else(|| Located::new(Mark::START, Kind::Empty))
    }

    /// Adds to the expanded size, and refuses what exceeds a limit.
    fn count(&mut self, size: Size, mark: Mark) -> Result<(), Located> {
        self.nodes = self.nodes.saturating_add(size.nodes);
        self.text_bytes = self.text_bytes.saturating_add(size.text_bytes);
        let kind = if self.nodes > NODES_MAX {
            Kind::TooManyNodes { max: NODES_MAX }
        } else if self.text_bytes > TEXT_BYTES_MAX {
            Kind::TooMuchText {
                max: TEXT_BYTES_MAX,
            }
        } else if self.open.len() + size.depth > DEPTH_MAX {
            Kind::TooDeep { max: DEPTH_MAX }
        } else {
            return Ok(());
        };
        Err(Located::new(mark, kind))
    }

    fn begin(&mut self, mark: Mark, anchor: usize, content: Content) -> Result<(), Located> {
        let size = Size {
            nodes: 1,
            text_bytes: 0,
            depth: 1,
        };
        self.count(size, mark)?;
        if self.open.is_empty() {
            self.refuse_second_document(mark)?;
        }
        self.open.push(Open {
            mark,
            anchor,
            size,
            content,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Located> {
        let Some(Open {
            mark,
            anchor,
            size,
            content,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Mapping { entries, .. } => Value::Mapping(entries),
        };
        self.attach(
            Node {
                mark,
                value: Rc::new(value),
                size,
            },
            anchor,
        )
    }

    /// Puts a finished value where it belongs.
    fn attach(&mut self, node: Node, anchor: usize) -> Result<(), Located> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            if !node.is_null() {
                self.refuse_second_document(node.mark)?;
                self.root = Some(node);
            }
            return Ok(());
        };
        parent.size.nodes = parent.size.nodes.saturating_add(node.size.nodes);
        parent.size.text_bytes = parent.size.text_bytes.saturating_add(node.size.text_bytes);
        parent.size.depth = parent.size.depth.max(node.size.depth + 1);
        match &mut parent.content {
            Content::List(items) => items.push(node),
            Content::Mapping { entries, key } => match key.take() {
                Some(key) => entries.push((key, node)),
                None => *key = Some(key_of(&node)?),
            },
        }
        Ok(())
    }

    fn refuse_second_document(&self, mark: Mark) -> Result<(), Located> {
        if self.root.is_none() {
            return Ok(());
        }
        Err(Located::new(
            self.document_mark.unwrap_or(mark),
            Kind::SecondDocument,
        ))
    }
}

fn key_of(node: &Node) -> Result<Key, Located> {
    let found = match &*node.value {
        Value::Scalar(scalar) if scalar.plain && scalar.text == "<<" => {
            return Err(Located::new(node.mark, Kind::MergeKey));
        }
        Value::Scalar(scalar) => {
            return Ok(Key {
                mark: node.mark,
                text: scalar.text.clone(),
            });
        }
        Value::List(_) => "a list",
        Value::Mapping(_) => "a mapping",
    };
    Err(Located::new(
        node.mark,
        Kind::KeyNotText {
            found: found.to_owned(),
        },
    ))
}

/// Whether a scalar may mean something else than text.
fn scalar_is_plain(style: ScalarStyle, tag: Option<&Tag>, mark: Mark) -> Result<bool, Located> {
    match tag.map(|tag| (tag, tag.core_suffix())) {
        None => Ok(style == ScalarStyle::Plain),
        Some((_, Some("str"))) => Ok(false),
        Some((_, Some("int" | "float" | "bool" | "null"))) => Ok(true),
        Some((tag, _)) => Err(unsupported_tag(tag, mark)),
    }
}

fn refuse_tag(tag: Option<&Tag>, expected: &str, mark: Mark) -> Result<(), Located> {
    match tag {
        Some(tag) if tag.core_suffix() != Some(expected) => Err(unsupported_tag(tag, mark)),
        _ => Ok(()),
    }
}

fn unsupported_tag(tag: &Tag, mark: Mark) -> Located {
    let tag = format!("{}{}", tag.original_handle(), tag.suffix());
    Located::new(mark, Kind::UnsupportedTag { tag })
}
