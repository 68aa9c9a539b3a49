//! Paths of values in a manifest, such as `spec.job.env[2].name`.

use super::show::quoted;
use super::tree::{Mark, Node, Value};

/// A path under construction: each step knows the one before, so that walking a tree allocates
/// nothing until there is an error to report.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    pub(super) fn render(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Field(Path::Root, field) => shown(field),
            Self::Field(parent, field) => format!("{}.{}", parent.render(), shown(field)),
            Self::Item(parent, index) => format!("{}[{index}]", parent.render()),
        }
    }
}

/// A field's name in a path: short names as they are, others as in any message.
fn shown(field: &str) -> String {
    quoted(field).trim_matches('`').to_owned()
}

/// The place of the value that a path names, or of the nearest value around it that the file has:
/// a rule may be broken by a default.
pub(super) fn locate(root: &Node, path: &str) -> Mark {
    let mut node = root;
    let mut mark = match &*root.value {
        Value::Mapping(entries) => entries.first().map_or(root.mark, |(key, _)| key.mark),
        _ => root.mark,
    };
    let mut rest = path;
    loop {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        let step = match &*node.value {
            Value::Scalar(_) => None,
            Value::List(items) => step_into_item(items, rest),
            Value::Mapping(entries) => step_into_field(entries, rest),
        };
        let Some((child, child_mark, after)) = step else {
            return mark;
        };
        (node, mark, rest) = (child, child_mark, after);
        if rest.is_empty() {
            return mark;
        }
    }
}

fn step_into_item<'a, 'p>(items: &'a [Node], rest: &'p str) -> Option<(&'a Node, Mark, &'p str)> {
    let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
    let item = items.get(index.parse::<usize>().ok()?)?;
    Some((item, item.mark, after))
}

/// The field whose name the rest of the path begins with. Names may hold dots, so the longest one
/// wins. A value that spans lines is placed by its key.
fn step_into_field<'a, 'p>(
    entries: &'a [(super::tree::Key, Node)],
    rest: &'p str,
) -> Option<(&'a Node, Mark, &'p str)> {
    entries
        .iter()
        .filter_map(|(key, node)| {
            let after = rest.strip_prefix(key.text.as_str())?;
            let ends = after.is_empty() || after.starts_with(['.', '[']);
            let mark = match &*node.value {
                Value::Scalar(_) if !node.is_null() => node.mark,
                _ => key.mark,
            };
            (ends && !key.text.is_empty()).then_some((node, mark, after))
        })
        .min_by_key(|(_, _, after)| after.len())
}
