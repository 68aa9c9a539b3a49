//! Strict parsing of manifest files.
//!
//! A text goes through four steps, each of which refuses what it does not like with line and
//! column: [`tree`] turns YAML (JSON is YAML) into a tree with positions, within limits; [`check`]
//! compares the tree with the [`shape`] that the types' own schema describes, where a field that
//! nobody knows, a wrong type, a wrong word, a number out of range or a missing field ends it;
//! serde builds the typed manifest from what is left; and the rules between values (`validate`) are
//! checked last, with their positions looked up in the tree.
//!
//! One error is reported at a time, the first in the file. A parser of this kind is needed because
//! serde's own errors lose the position as soon as a type is buffered, and know no neighbours.

mod check;
mod describe;
mod error;
mod path;
mod scalar;
mod shape;
mod show;
mod suggest;
mod tree;

pub use error::{Advice, ManifestError, ManifestErrorKind};
pub(crate) use show::quoted;
pub use tree::{
    DEPTH_MAX as MANIFEST_DEPTH_MAX, MANIFEST_BYTES_MAX, NODES_MAX as MANIFEST_NODES_MAX,
};

use crate::StreamJob;
use crate::manifest::check::check_manifest;
use crate::manifest::path::locate;
use crate::manifest::tree::{Located, Mark};

impl StreamJob {
    /// Reads a manifest. `source_name` is what errors call the text, usually the file's path.
    pub fn from_yaml(source_name: &str, text: &str) -> Result<Self, ManifestError> {
        read(text).map_err(|error| ManifestError::new(source_name, error))
    }

    /// Reads a manifest from bytes, which need not be UTF-8.
    pub fn from_yaml_bytes(source_name: &str, bytes: &[u8]) -> Result<Self, ManifestError> {
        let text = tree::utf8(bytes).map_err(|error| ManifestError::new(source_name, error))?;
        Self::from_yaml(source_name, text)
    }
}

fn read(text: &str) -> Result<StreamJob, Located> {
    let root = tree::parse(text)?;
    let value = check_manifest(&root)?;
    // The checks above leave nothing that serde could refuse; if they and the types ever differ,
    // the user still gets an error.
    let job: StreamJob = serde_json::from_value(value).map_err(|error| {
        Located::new(
            Mark::START,
            ManifestErrorKind::Convert {
                reason: error.to_string(),
            },
        )
    })?;
    let first = job
        .validate()
        .into_iter()
        .map(|violation| (locate(&root, &violation.path), violation))
        .min_by_key(|(mark, _)| *mark);
    match first {
        Some((mark, violation)) => Err(Located::new(mark, ManifestErrorKind::Invalid(violation))),
        None => Ok(job),
    }
}
