//! One part file while it is written: records become bytes, bytes go where the part lies.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Format;
use super::error::FileSinkError;
use super::handle::Handle;
use super::target::Part;

/// How many bytes are gathered before they are written.
const BUFFER_BYTES: usize = 256 * 1024;

/// A part file that is being written.
pub(super) struct PartFile {
    /// For people.
    path: PathBuf,
    encoder: Encoder,
}

enum Encoder {
    Csv(Box<csv::Writer<Box<dyn Part>>>),
    JsonLines(BufWriter<Box<dyn Part>>),
}

impl PartFile {
    pub(super) fn new(part: Box<dyn Part>, format: Format) -> Self {
        let path = part.path();
        let encoder = match format {
            Format::Csv => {
                let mut builder = csv::WriterBuilder::new();
                builder.has_headers(false).buffer_capacity(BUFFER_BYTES);
                Encoder::Csv(Box::new(builder.from_writer(part)))
            }
            Format::JsonLines => Encoder::JsonLines(BufWriter::with_capacity(BUFFER_BYTES, part)),
        };
        Self { path, encoder }
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
            Encoder::Csv(writer) => writer.get_ref().bytes(),
            Encoder::JsonLines(writer) => writer.get_ref().bytes(),
        }
    }

    /// Brings all to where it lasts.
    pub(super) fn finish(self) -> Result<Handle, FileSinkError> {
        let Self { path, encoder } = self;
        let flushed = match encoder {
            Encoder::Csv(writer) => writer.into_inner().map_err(csv::IntoInnerError::into_error),
            Encoder::JsonLines(writer) => {
                writer.into_inner().map_err(io::IntoInnerError::into_error)
            }
        };
        flushed
            .and_then(|part| part.finish())
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
