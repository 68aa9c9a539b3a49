//! A finished part on its way into a checkpoint, and the publication of a file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_storage::CommitRecoverable;
use weir_stream::sink::CommitHandle;

use super::checksum::Checksum;
use super::error::FileSinkError;
use super::{folder, part_name};
use crate::encoding::{EncodingError, decode, decode_as, encode, encode_as};

/// The version of the handles of uploads; those of files have the one of [`encode`].
const UPLOAD: u8 = 2;

/// A part that is complete and lasts, where nobody takes it for a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handle {
    /// In a folder.
    File(PartHandle),
    /// In a bucket.
    Upload(CommitRecoverable),
}

impl Handle {
    pub(super) fn encode(&self) -> Result<CommitHandle, EncodingError> {
        match self {
            Self::File(file) => encode(file),
            Self::Upload(upload) => encode_as(UPLOAD, upload),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, EncodingError> {
        match bytes.first() {
            Some(&UPLOAD) => decode_as(UPLOAD, bytes).map(Self::Upload),
            _ => decode(bytes).map(Self::File),
        }
    }
}

/// A file under a name that nobody takes for a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartHandle {
    /// Its name until it is published.
    pub(super) in_progress: String,
    /// Its final name.
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) checksum: u64,
}

impl PartHandle {
    /// Gives the file its final name. Doing it again is harmless.
    pub(super) fn publish(&self, folder: &Path) -> Result<(), FileSinkError> {
        for (name, is_one) in [
            (
                &self.in_progress,
                part_name::is_in_progress(&self.in_progress),
            ),
            (&self.name, part_name::is_finished(&self.name)),
        ] {
            // So no name leads to another folder.
            if !is_one || name.contains('/') {
                let (folder, name) = (folder.to_owned(), name.clone());
                return Err(FileSinkError::ForeignName { folder, name });
            }
        }
        let (in_progress, path) = (folder.join(&self.in_progress), folder.join(&self.name));
        match (size(&in_progress)?, size(&path)?) {
            (Some(size), None) if size == self.size => fs::rename(&in_progress, &path)
                .map_err(|source| FileSinkError::Publish { path, source }),
            (Some(_), None) => self.check_content(&in_progress),
            (None, Some(_)) => self.check_content(&path),
            (Some(_), Some(_)) => match self.check_content(&path) {
                // It is this very file: somebody has copied it, or put it back.
                Ok(()) => folder::remove(&in_progress),
                // Renaming would replace a file that this job has not written.
                Err(FileSinkError::Changed { .. }) => Err(FileSinkError::Exists { path }),
                Err(error) => Err(error),
            },
            (None, None) => Err(FileSinkError::Vanished { path, in_progress }),
        }
    }

    /// Removes the file, under whichever of its names it lies. Another file that has its final
    /// name stays.
    pub(super) fn unpublish(&self, folder: &Path) -> Result<(), FileSinkError> {
        folder::remove(&folder.join(&self.in_progress))?;
        let path = folder.join(&self.name);
        if size(&path)?.is_some() && self.check_content(&path).is_ok() {
            folder::remove(&path)?;
        }
        Ok(())
    }

    fn check_content(&self, path: &Path) -> Result<(), FileSinkError> {
        let read = || -> io::Result<(u64, u64)> {
            let (mut file, mut buffer) = (File::open(path)?, vec![0; 64 << 10]);
            let (mut size, mut checksum) = (0, Checksum::default());
            loop {
                match file.read(&mut buffer)? {
                    0 => return Ok((size, checksum.value())),
                    count => {
                        size += count as u64;
                        checksum.update(&buffer[..count]);
                    }
                }
            }
        };
        let (size, checksum) = read().map_err(|source| FileSinkError::Publish {
            path: path.to_owned(),
            source,
        })?;
        if (size, checksum) == (self.size, self.checksum) {
            return Ok(());
        }
        Err(FileSinkError::Changed {
            path: path.to_owned(),
            size,
            checksum,
            want_size: self.size,
            want_checksum: self.checksum,
        })
    }
}

/// A file's size; none if there is no such file.
fn size(path: &Path) -> Result<Option<u64>, FileSinkError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(FileSinkError::Publish {
            path: path.to_owned(),
            source,
        }),
    }
}
