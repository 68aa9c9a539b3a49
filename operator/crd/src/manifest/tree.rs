//! YAML as a tree with positions, read within limits.
//!
//! Aliases are expanded by sharing, so that the tree itself stays as small as the file; but since
//! whoever walks it visits what an alias stands for each time, the expanded size is counted and
//! bounded. Recursion over a tree is safe because its depth is bounded too.

mod builder;

use std::rc::Rc;

use granit_parser::{ErrorKind, Marker, Parser, ScanError};

use super::error::ManifestErrorKind as Kind;
use super::scalar::is_null;
use builder::Builder;

/// The longest manifest that is read. Kubernetes' own limit on objects is near 1.5 MiB.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;
/// How deep mappings and lists may be nested; a pod template needs about 12.
pub const DEPTH_MAX: usize = 64;
/// How many values a manifest may have once aliases are expanded.
pub const NODES_MAX: usize = 50_000;
/// How much text a manifest may have once aliases are expanded.
const TEXT_BYTES_MAX: usize = 2 * MANIFEST_BYTES_MAX;

/// A place in the text: line and column, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) line: u32,
    pub(super) column: u32,
}

impl Mark {
    pub(super) const START: Self = Self { line: 1, column: 1 };

    fn of(marker: &Marker) -> Self {
        let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            line: bounded(marker.line().max(1)),
            column: bounded(marker.col() + 1),
        }
    }
}

/// An error and its place.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) mark: Mark,
    pub(super) kind: Box<Kind>,
}

impl Located {
    pub(super) fn new(mark: Mark, kind: Kind) -> Self {
        Self {
            mark,
            kind: Box::new(kind),
        }
    }
}

/// A value and its place. A clone shares the value.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Rc<Value>,
    size: Size,
}

#[derive(Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) text: String,
    /// Written without quotes and without a tag that says "text": it may mean a number.
    pub(super) plain: bool,
}

#[derive(Debug)]
pub(super) struct Key {
    pub(super) mark: Mark,
    pub(super) text: String,
}

impl Node {
    pub(super) fn is_null(&self) -> bool {
        matches!(&*self.value, Value::Scalar(scalar) if scalar.plain && is_null(&scalar.text))
    }
}

/// The size of a value with its aliases expanded.
#[derive(Clone, Copy, Debug)]
struct Size {
    nodes: usize,
    text_bytes: usize,
    depth: usize,
}

/// The text of a file, if it is UTF-8 and not too long.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Located> {
    check_length(bytes.len())?;
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        // The bytes up to the first invalid one are valid by that definition.
        let before = std::str::from_utf8(&bytes[..offset]).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let bounded = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mark = Mark {
            line: bounded(before.matches('\n').count() + 1),
            column: bounded(before[line_start..].chars().count() + 1),
        };
        Located::new(mark, Kind::NotUtf8 { offset })
    })
}

fn check_length(bytes: usize) -> Result<(), Located> {
    if bytes > MANIFEST_BYTES_MAX {
        let kind = Kind::TooLong {
            bytes,
            max: MANIFEST_BYTES_MAX,
        };
        return Err(Located::new(Mark::START, kind));
    }
    Ok(())
}

/// The root of the only document in the text. Documents without content are passed over: tools
/// that render manifests leave some behind.
pub(super) fn parse(text: &str) -> Result<Node, Located> {
    check_length(text.len())?;
    let mut builder = Builder::default();
    // The builder bounds the depth of both kinds together; this bounds what the parser keeps.
    let options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| not_yaml(&error))?;
        builder.take(event, Mark::of(&span.start))?;
    }
    builder.finish()
}

fn not_yaml(error: &ScanError) -> Located {
    let kind = match error.kind() {
        ErrorKind::RecursionLimitExceeded => Kind::TooDeep { max: DEPTH_MAX },
        kind => Kind::NotYaml {
            reason: kind.to_string(),
        },
    };
    Located::new(Mark::of(error.marker()), kind)
}
