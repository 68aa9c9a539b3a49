//! Names of objects: relative paths that mean the same in a folder and in a bucket.

use std::fmt;

/// A text that cannot name an object.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{path}` cannot name an object: {cause}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong with it.
    pub cause: &'static str,
}

/// The name of an object, or of a folder of them, relative to its store: parts of letters, digits,
/// `-`, `_`, `.` and `=`, with `/` between them. Never absolute, never upwards. The empty path is
/// the store itself.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ObjectPath(String);

impl ObjectPath {
    /// The longest name; S3 allows 1,024 bytes with the prefix.
    pub const BYTES_MAX: usize = 512;

    /// Checks a text.
    pub fn new(path: impl Into<String>) -> Result<Self, PathError> {
        let path = path.into();
        let refuse = |cause| PathError {
            path: path.clone(),
            cause,
        };
        if path.is_empty() {
            return Ok(Self(path));
        }
        if path.len() > Self::BYTES_MAX {
            return Err(refuse("it is longer than 512 bytes"));
        }
        for part in path.split('/') {
            if part.is_empty() {
                return Err(refuse("it has an empty part"));
            }
            if part == "." || part == ".." {
                return Err(refuse("it goes to another folder"));
            }
            let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
            if !part.bytes().all(good) {
                return Err(refuse(
                    "it has characters other than letters, digits, `-_.=/`",
                ));
            }
        }
        Ok(Self(path))
    }

    /// The path of something in this folder.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        if self.0.is_empty() {
            return Self::new(name);
        }
        Self::new(format!("{}/{name}", self.0))
    }

    /// Whether it ends in a dot and digits. A folder keeps the versions of a register under such
    /// names (`pointer.12`), so every store refuses to create objects and registers that have one:
    /// what works in a bucket must work in a folder.
    pub fn is_reserved(&self) -> bool {
        let digits = |rest: &str| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit());
        self.0
            .rsplit_once('.')
            .is_some_and(|(_, rest)| digits(rest))
    }

    /// Whether there is nothing in it: the store itself.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The path as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectPath({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leaves_the_store_is_no_path() {
        for bad in [
            "/a", "a//b", "..", "a/../b", "a/.", "a b", "a\\b", "a/", "ä",
        ] {
            assert!(ObjectPath::new(bad).is_err(), "{bad}");
        }
        for good in ["", "a", "chk-1-2/_metadata", "pointer.12", "shared/a=b"] {
            assert_eq!(ObjectPath::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn names_of_registers_versions_are_reserved() {
        for reserved in ["pointer.12", "a/b.0", "a.b.7", ".1"] {
            assert!(
                ObjectPath::new(reserved).unwrap().is_reserved(),
                "{reserved}"
            );
        }
        for free in ["", "pointer", "a.1/b", "a.1x", "a.", "000012.sst", "12"] {
            assert!(!ObjectPath::new(free).unwrap().is_reserved(), "{free}");
        }
    }
}
