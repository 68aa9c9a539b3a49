//! A window onto a file: reads ahead in large steps and keeps what is not used up yet.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use memchr::memchr;

use super::FileSourceError;

/// How much is read at once: enough to make system calls cheap, little enough for the cache.
const CAPACITY: usize = 256 * 1024;

/// The bytes of a file from some offset on.
pub(super) struct FileBuffer {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
    /// The unread bytes are `bytes[begin..filled]`.
    begin: usize,
    filled: usize,
    /// Where in the file the first unread byte is.
    offset: u64,
    /// Whether the file has nothing after the unread bytes.
    at_end: bool,
}

impl FileBuffer {
    /// Opens a file; reading begins at `offset`.
    pub(super) fn open(path: &Path, offset: u64) -> Result<Self, FileSourceError> {
        let path = path.to_owned();
        match File::open(&path) {
            Ok(file) => {
                let bytes = Vec::new();
                Ok(Self {
                    path,
                    file,
                    bytes,
                    begin: 0,
                    filled: 0,
                    offset,
                    at_end: false,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(FileSourceError::NoSuchFile { path })
            }
            Err(source) => Err(FileSourceError::Open { path, source }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where in the file the first unread byte is.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// What has been read ahead.
    pub(super) fn unread(&self) -> &[u8] {
        &self.bytes[self.begin..self.filled]
    }

    /// Whether the file has nothing after [`FileBuffer::unread`].
    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// How much memory the buffer takes.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Uses up the first bytes.
    pub(super) fn consume(&mut self, count: usize) {
        assert!(count <= self.filled - self.begin);
        self.begin += count;
        self.offset += count as u64;
    }

    /// Reads until there are at least `want` unread bytes or the file ends. Tells how many there
    /// are.
    pub(super) fn fill_to(&mut self, want: usize) -> Result<usize, FileSourceError> {
        while self.filled - self.begin < want && !self.at_end {
            if self.begin + want > self.bytes.len() || self.filled == self.bytes.len() {
                self.make_room(want);
            }
            let at = self.offset + (self.filled - self.begin) as u64;
            match self.file.read_at(&mut self.bytes[self.filled..], at) {
                Ok(0) => self.at_end = true,
                Ok(count) => self.filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let path = self.path.clone();
                    return Err(FileSourceError::Read {
                        path,
                        offset: at,
                        source,
                    });
                }
            }
        }
        Ok(self.filled - self.begin)
    }

    /// Passes over the rest of a line without keeping it. Stops early once `stop` is reached.
    pub(super) fn skip_line(&mut self, stop: u64) -> Result<(), FileSourceError> {
        while self.offset < stop {
            let have = self.fill_to(1)?;
            if have == 0 {
                break;
            }
            match memchr(b'\n', self.unread()) {
                Some(end) => {
                    self.consume(end + 1);
                    break;
                }
                None => self.consume(have),
            }
        }
        Ok(())
    }

    /// The error for a file that ends before `expected`.
    pub(super) fn cut_short(&self, expected: u64) -> FileSourceError {
        FileSourceError::CutShort {
            path: self.path.clone(),
            expected,
            found: self.offset,
        }
    }

    /// Moves the unread bytes to the front, and makes the buffer as large as it must be: a very
    /// long line makes it grow, and after it, it shrinks again.
    fn make_room(&mut self, want: usize) {
        self.bytes.copy_within(self.begin..self.filled, 0);
        self.filled -= self.begin;
        self.begin = 0;
        let wanted = want.max(self.filled + 1).max(CAPACITY);
        if wanted > self.bytes.len() || self.bytes.len() > wanted.saturating_mul(4) {
            self.bytes.resize(wanted, 0);
            self.bytes.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_shrinks_after_a_long_line() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("file");
        let text: Vec<u8> = (0..8 * CAPACITY).map(|i| (i % 251) as u8).collect();
        std::fs::write(&path, &text).expect("writes");
        let mut buffer = FileBuffer::open(&path, 0).expect("opens");
        let long = 7 * CAPACITY;
        assert!(buffer.fill_to(long).expect("reads") >= long);
        assert!(buffer.unread() == &text[..buffer.unread().len()]);
        buffer.consume(long - 5);
        buffer.fill_to(CAPACITY).expect("reads");
        assert_eq!(buffer.capacity(), CAPACITY);
        assert!(buffer.unread() == &text[long - 5..][..CAPACITY]);
        assert_eq!(buffer.offset(), long as u64 - 5);
    }

    #[test]
    fn the_end_of_the_file_is_known_only_after_it_was_met() {
        let folder = tempfile::tempdir().expect("makes a folder");
        let path = folder.path().join("file");
        std::fs::write(&path, b"abc").expect("writes");
        let mut buffer = FileBuffer::open(&path, 1).expect("opens");
        assert_eq!(buffer.fill_to(2).expect("reads"), 2);
        assert!(!buffer.at_end());
        assert_eq!(buffer.fill_to(3).expect("reads"), 2);
        assert!(buffer.at_end());
        assert_eq!(buffer.unread(), b"bc");
    }
}
