//! A part that is written into a file of a folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::checksum::Checksum;
use super::error::FileSinkError;
use super::handle::{Handle, PartHandle};
use super::target::Part;
use super::{folder, part_name};

/// Counts what is written to a file, and remembers its checksum.
pub(super) struct FilePart {
    file: File,
    /// Where it lies until it is published.
    path: PathBuf,
    name: String,
    bytes: u64,
    checksum: Checksum,
    finished: bool,
}

impl FilePart {
    /// Creates the file; it must not exist.
    pub(super) fn create(folder: &Path, name: &str) -> Result<Self, FileSinkError> {
        let path = folder.join(part_name::in_progress(name));
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FileSinkError::Taken { path });
            }
            Err(source) => return Err(FileSinkError::Create { path, source }),
        };
        Ok(Self {
            file,
            path,
            name: name.to_owned(),
            bytes: 0,
            checksum: Checksum::default(),
            finished: false,
        })
    }

    /// Writes to another file, for tests of what a failing disk does.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        self.file = file;
    }
}

impl Write for FilePart {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.bytes += count as u64;
        self.checksum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Part for FilePart {
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn finish(mut self: Box<Self>) -> io::Result<Handle> {
        self.file.sync_all()?;
        self.finished = true;
        Ok(Handle::File(PartHandle {
            in_progress: part_name::in_progress(&self.name),
            name: std::mem::take(&mut self.name),
            size: self.bytes,
            checksum: self.checksum.value(),
        }))
    }
}

impl Drop for FilePart {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Err(error) = folder::remove(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "a file that nobody needs stays");
        }
    }
}
