//! What can go wrong while files are listed and read.

use std::io;
use std::path::PathBuf;

use crate::bad_records::BadRecordReason;
use crate::encoding::EncodingError;

/// A file source could not go on.
#[derive(Debug, thiserror::Error)]
pub enum FileSourceError {
    /// Nothing has that name.
    #[error("no such file: {}", path.display())]
    NoSuchFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// The pattern is well-formed, but matches nothing.
    #[error("no file matches `{pattern}`")]
    NoMatch {
        /// What was asked for.
        pattern: String,
    },
    /// The pattern is not well-formed.
    #[error("read the file pattern `{pattern}`: {reason} (at character {position})")]
    Pattern {
        /// What was asked for.
        pattern: String,
        /// What is wrong with it.
        reason: &'static str,
        /// Where, counted in characters from 0.
        position: usize,
    },
    /// A socket, a device, a named pipe.
    #[error("{} is neither a file nor a folder", path.display())]
    NotAFile {
        /// What was asked for.
        path: PathBuf,
    },
    /// A URI of a scheme other than `file`.
    #[error("only local files can be read, not {}", path.display())]
    NotLocal {
        /// What was asked for.
        path: PathBuf,
    },
    /// The file system does not tell what the path is.
    #[error("look up {}", path.display())]
    LookUp {
        /// Which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder cannot be read.
    #[error("list the folder {}", path.display())]
    ListFolder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be opened.
    #[error("open {}", path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be read.
    #[error("read {} at byte offset {offset}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// A file ends before the place where it ended when it was listed.
    #[error(
        "{} was cut short while it was read: it had {expected} bytes or more, and now ends at {found}",
        path.display()
    )]
    CutShort {
        /// Which file.
        path: PathBuf,
        /// The end of the split.
        expected: u64,
        /// The end of the file.
        found: u64,
    },
    /// A record cannot be read.
    #[error("{}, line {line}, byte offset {offset}: {reason}", path.display())]
    BadRecord {
        /// Which file.
        path: PathBuf,
        /// The line in the file, from 1.
        line: u64,
        /// The first byte of the record, or of what is no UTF-8.
        offset: u64,
        /// What is wrong.
        reason: BadRecordReason,
    },
    /// The rate is zero, negative or no number.
    #[error("a file source cannot read {rate} lines per second: want a rate above 0")]
    Rate {
        /// The rate asked for.
        rate: f64,
    },
    /// A split cannot be read or written.
    #[error(transparent)]
    Encoding(#[from] EncodingError),
}
