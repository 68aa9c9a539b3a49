//! What is wrong with a manifest, where, and what to do about it.

use std::fmt;

use thiserror::Error;

use super::show::{After, DidYouMean, In, InOrTop, Subject, joined, listed, quoted};
use super::tree::Located;
use crate::validate::Violation;

/// A manifest that was refused: `job.yaml:7:5: unknown field …`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{source_name}:{line}:{column}: {kind}")]
pub struct ManifestError {
    source_name: String,
    line: u32,
    column: u32,
    kind: Box<ManifestErrorKind>,
}

impl ManifestError {
    pub(super) fn new(source_name: &str, error: Located) -> Self {
        let Located { mark, kind } = error;
        Self {
            source_name: source_name.to_owned(),
            line: mark.line,
            column: mark.column,
            kind,
        }
    }

    /// The line in the text, from 1.
    pub fn line(&self) -> u32 {
        self.line
    }

    /// The column in the line, in characters from 1.
    pub fn column(&self) -> u32 {
        self.column
    }

    /// What the text was called, usually the file's path.
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// What is wrong, without the place.
    pub fn kind(&self) -> &ManifestErrorKind {
        &self.kind
    }
}

/// What is wrong with a manifest. Paths are like `spec.job.env[2].name`; the path of the manifest
/// as a whole is empty.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ManifestErrorKind {
    /// The file is longer than a manifest may be.
    #[error("the manifest has {bytes} bytes; at most {max} are read")]
    TooLong {
        /// The text's length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The text is not UTF-8.
    #[error("invalid UTF-8 at byte {offset}; a manifest is UTF-8 text")]
    NotUtf8 {
        /// The offset of the first invalid byte.
        offset: usize,
    },
    /// The text is not YAML.
    #[error("not valid YAML: {reason}")]
    NotYaml {
        /// What the parser says.
        reason: String,
    },
    /// There is nothing but blanks and comments.
    #[error("the manifest is empty; a StreamJob begins with `apiVersion: weir.dev/v1alpha1`")]
    Empty,
    /// A second document begins.
    #[error("a second document begins here; a manifest file holds one StreamJob")]
    SecondDocument,
    /// Mappings and lists are nested too deeply.
    #[error("nested more than {max} levels deep")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// There are too many values once aliases are expanded.
    #[error("too many values once aliases are expanded (at most {max})")]
    TooManyNodes {
        /// The limit.
        max: usize,
    },
    /// There is too much text once aliases are expanded.
    #[error("too much text once aliases are expanded (at most {max} bytes)")]
    TooMuchText {
        /// The limit.
        max: usize,
    },
    /// An alias stands inside of what it stands for.
    #[error("an alias stands inside of its own anchor")]
    RecursiveAlias,
    /// A tag that a manifest has no use for.
    #[error("unsupported tag {}; remove it", quoted(.tag))]
    UnsupportedTag {
        /// The tag.
        tag: String,
    },
    /// A merge key.
    #[error("merge keys (`<<`) are not supported; repeat the fields")]
    MergeKey,
    /// The name of a field is a list or a mapping.
    #[error("a field's name must be text, not {found}")]
    KeyNotText {
        /// What it is.
        found: String,
    },
    /// A field is given twice.
    #[error("{} is given twice{}; first in line {first_line}", quoted(.field), In(.path))]
    DuplicateField {
        /// The field.
        field: String,
        /// Where it is.
        path: String,
        /// The line in which it is given first.
        first_line: u32,
    },
    /// A field that there is not.
    #[error("unknown field {}{}; {advice}", quoted(.field), InOrTop(.path))]
    UnknownField {
        /// The field.
        field: String,
        /// Where it is.
        path: String,
        /// What to write instead.
        advice: Advice,
    },
    /// A required field is not there.
    #[error("missing required field `{field}`{}", In(.path))]
    MissingField {
        /// The field.
        field: String,
        /// Where it should be.
        path: String,
    },
    /// A value of another type.
    #[error("{} must be {expected}, not {found}{}", Subject(.path), After(.hint))]
    WrongType {
        /// The value's path.
        path: String,
        /// The right type.
        expected: &'static str,
        /// What it is.
        found: String,
        /// What to change, if that is clear.
        hint: Option<String>,
    },
    /// A word that is none of the allowed ones.
    #[error("{} must be {}, not {}{}", Subject(.path), listed(.allowed, "or"), quoted(.value),
        DidYouMean(.nearest))]
    WrongWord {
        /// The value's path.
        path: String,
        /// The value.
        value: String,
        /// The allowed words.
        allowed: Vec<String>,
        /// The one that was probably meant.
        nearest: Option<String>,
    },
    /// A number out of range.
    #[error("{} must lie in {min} to {max}, not {value}", Subject(.path))]
    OutOfRange {
        /// The value's path.
        path: String,
        /// The value.
        value: String,
        /// The least value.
        min: String,
        /// The greatest value.
        max: String,
    },
    /// A text that must not be empty.
    #[error("{} must not be empty", Subject(.path))]
    EmptyText {
        /// The value's path.
        path: String,
    },
    /// A text that must follow a grammar, such as a duration's.
    #[error("{} must be {expected}, not {}: {reason}", Subject(.path), quoted(.value))]
    Malformed {
        /// The value's path.
        path: String,
        /// The value.
        value: String,
        /// What it should be.
        expected: &'static str,
        /// How to write it.
        reason: String,
    },
    /// A value that breaks a rule.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The types refuse what the checks let pass.
    #[error("convert the manifest: {reason}")]
    Convert {
        /// What serde says.
        reason: String,
    },
}

/// What to write instead of an unknown field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// A field with a similar name.
    DidYouMean(String),
    /// A field of this name exists, but in these places.
    BelongsIn(Vec<String>),
    /// The fields that there are, none of which is similar.
    FieldsAre(Vec<String>),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DidYouMean(field) => write!(f, "did you mean `{field}`?"),
            Self::BelongsIn(paths) => {
                let shown: Vec<_> = paths
                    .iter()
                    .map(|path| match path.as_str() {
                        "" => "the top level".to_owned(),
                        path => format!("`{path}`"),
                    })
                    .collect();
                write!(f, "it belongs in {}", joined(&shown, "or"))
            }
            Self::FieldsAre(fields) if fields.is_empty() => f.write_str("there are no fields here"),
            Self::FieldsAre(fields) => write!(f, "the fields here are {}", listed(fields, "and")),
        }
    }
}
