//! RocksDB's errors, and those of the files around it, as errors of a tier.

use std::io;
use std::path::{Path, PathBuf};

use weir_state::ColdError;

/// Where something was tried.
#[derive(Clone, Debug)]
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    fn error(&self, action: &'static str, full: bool, cause: String) -> ColdError {
        let folder = self.0.clone();
        if full {
            ColdError::DiskFull {
                action,
                folder,
                cause,
            }
        } else {
            ColdError::Failed {
                action,
                folder,
                cause,
            }
        }
    }

    /// RocksDB says by its text alone that the disk is full.
    pub(crate) fn rocksdb(&self, action: &'static str) -> impl Fn(rocksdb::Error) -> ColdError {
        move |error| {
            let cause = error.into_string();
            let full = ["No space left on device", "Disk quota exceeded", "NoSpace"];
            let full = full.iter().any(|text| cause.contains(text));
            self.error(action, full, cause)
        }
    }

    pub(crate) fn io(&self, action: &'static str) -> impl Fn(io::Error) -> ColdError {
        move |error| {
            let kind = error.kind();
            let full = matches!(
                kind,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            );
            self.error(action, full, error.to_string())
        }
    }

    pub(crate) fn failed(&self, action: &'static str, cause: impl Into<String>) -> ColdError {
        self.error(action, false, cause.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let place = Place::new(Path::new("/scratch"));
        let full = place.io("write")(io::ErrorKind::StorageFull.into());
        assert!(matches!(full, ColdError::DiskFull { .. }), "{full}");
        let text = full.to_string();
        assert!(
            text.contains("/scratch") && text.contains("free space"),
            "{text}"
        );
        let other = place.io("write")(io::ErrorKind::PermissionDenied.into());
        assert!(matches!(other, ColdError::Failed { .. }), "{other}");
    }
}
