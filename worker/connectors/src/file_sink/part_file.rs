//! One part file while it is written: records become bytes, bytes go to the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Format;
use super::checksum::Checksum;
use super::error::FileSinkError;

/// How many bytes are gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A part file that is being written.
pub(super) struct PartFile {
    path: PathBuf,
    encoder: Encoder,
}

enum Encoder {
    Csv(Box<csv::Writer<Counted>>),
    JsonLines(BufWriter<Counted>),
}

impl PartFile {
    /// Creates the file; it must not exist.
    pub(super) fn create(path: PathBuf, format: Format) -> Result<Self, FileSinkError> {
        let file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => Counted::new(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FileSinkError::Exists { path });
            }
            Err(source) => return Err(FileSinkError::Create { path, source }),
        };
        let encoder = match format {
            Format::Csv => {
                let mut builder = csv::WriterBuilder::new();
                builder.has_headers(false).buffer_capacity(BUFFER_BYTES);
                Encoder::Csv(Box::new(builder.from_writer(file)))
            }
            Format::JsonLines => Encoder::JsonLines(BufWriter::with_capacity(BUFFER_BYTES, file)),
        };
        Ok(Self { path, encoder })
    }

    /// Puts another file under the encoder, for tests of what a failing disk does.
    #[cfg(test)]
    pub(super) fn replace_file(&mut self, file: File) {
        let counted = Counted::new(file);
        self.encoder = Encoder::JsonLines(BufWriter::with_capacity(BUFFER_BYTES, counted));
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends records.
    pub(super) fn write<T: Serialize>(&mut self, rows: &[T]) -> Result<(), FileSinkError> {
        match &mut self.encoder {
            Encoder::Csv(writer) => {
                for row in rows {
                    writer
                        .serialize(row)
                        .map_err(|error| csv_error(&self.path, error))?;
                }
            }
            Encoder::JsonLines(writer) => {
                for row in rows {
                    serde_json::to_writer(&mut *writer, row)
                        .map_err(|error| json_error(&self.path, error))?;
                    writer
                        .write_all(b"\n")
                        .map_err(|error| write_error(&self.path, error))?;
                }
            }
        }
        Ok(())
    }

    /// How many bytes have left the buffer.
    pub(super) fn bytes(&self) -> u64 {
        match &self.encoder {
            Encoder::Csv(writer) => writer.get_ref().bytes,
            Encoder::JsonLines(writer) => writer.get_ref().bytes,
        }
    }

    /// Brings all to the disk and closes the file. Gives its size and checksum.
    pub(super) fn finish(self) -> Result<(u64, u64), FileSinkError> {
        let Self { path, encoder } = self;
        let flushed = match encoder {
            Encoder::Csv(writer) => writer.into_inner().map_err(csv::IntoInnerError::into_error),
            Encoder::JsonLines(writer) => {
                writer.into_inner().map_err(io::IntoInnerError::into_error)
            }
        };
        flushed
            .and_then(|counted| {
                counted.file.sync_all()?;
                Ok((counted.bytes, counted.checksum.value()))
            })
            .map_err(|source| FileSinkError::Write { path, source })
    }
}

fn csv_error(path: &Path, error: csv::Error) -> FileSinkError {
    let reason = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => write_error(path, error),
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => FileSinkError::Encode {
            format: "CSV",
            path: path.to_owned(),
            reason: format!("it has {len} fields, but the rows before it have {expected_len}"),
        },
        csv::ErrorKind::Serialize(reason) => FileSinkError::Encode {
            format: "CSV",
            path: path.to_owned(),
            reason,
        },
        _ => FileSinkError::Encode {
            format: "CSV",
            path: path.to_owned(),
            reason,
        },
    }
}

fn json_error(path: &Path, error: serde_json::Error) -> FileSinkError {
    if error.is_io() {
        return write_error(path, error.into());
    }
    FileSinkError::Encode {
        format: "JSON",
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

fn write_error(path: &Path, source: io::Error) -> FileSinkError {
    FileSinkError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Counts what is written to a file, and remembers its checksum.
struct Counted {
    file: File,
    bytes: u64,
    checksum: Checksum,
}

impl Counted {
    fn new(file: File) -> Self {
        Self {
            file,
            bytes: 0,
            checksum: Checksum::default(),
        }
    }
}

impl Write for Counted {
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
