//! A CSV file as rows: bounded, and with the place of what cannot be read.

use std::path::Path;

use csv::StringRecord;

use super::FileSourceError;
use super::buffer::FileBuffer;
use super::csv_scan::{Field, Row, scan};
use crate::bad_records::BadRecordReason;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A row that cannot be read.
pub(super) struct BadRow {
    /// Where in the row.
    pub(super) within: u64,
    pub(super) reason: BadRecordReason,
    /// How long the row is. Where the end cannot be told, the next line is where to go on.
    pub(super) length: Option<usize>,
}

/// A CSV file as rows.
pub(super) struct RowBuffer {
    pub(super) buffer: FileBuffer,
    max_row_bytes: usize,
    fields: Vec<Field>,
}

impl RowBuffer {
    /// Opens a file at its first row.
    pub(super) fn open(path: &Path, max_row_bytes: usize) -> Result<Self, FileSourceError> {
        let mut buffer = FileBuffer::open(path, 0)?;
        buffer.fill_to(BYTE_ORDER_MARK.len())?;
        if buffer.unread().starts_with(BYTE_ORDER_MARK) {
            buffer.consume(BYTE_ORDER_MARK.len());
        }
        Ok(Self {
            buffer,
            max_row_bytes,
            fields: Vec::new(),
        })
    }

    /// Goes to another row.
    pub(super) fn seek(&mut self, offset: u64) -> Result<(), FileSourceError> {
        if self.buffer.offset() != offset {
            self.buffer = FileBuffer::open(self.buffer.path(), offset)?;
        }
        Ok(())
    }

    /// Reads the next row into `record` without using it up, and tells its length in bytes.
    /// `None` is the end of the file.
    pub(super) fn next_row(
        &mut self,
        record: &mut StringRecord,
    ) -> Result<Option<Result<usize, BadRow>>, FileSourceError> {
        let mut have = self.buffer.fill_to(1)?;
        if have == 0 {
            return Ok(None);
        }
        let too_long = BadRecordReason::TooLong {
            max: self.max_row_bytes,
        };
        let bad = |reason, length| {
            Ok(Some(Err(BadRow {
                within: 0,
                reason,
                length,
            })))
        };
        loop {
            match scan(self.buffer.unread(), self.buffer.at_end(), &mut self.fields) {
                Row::Whole(length) if length > self.max_row_bytes.saturating_add(2) => {
                    return bad(too_long, Some(length));
                }
                Row::Whole(length) => return Ok(Some(self.to_record(length, record))),
                Row::Malformed(malformed) => {
                    return bad(BadRecordReason::Malformed(malformed.to_string()), None);
                }
                Row::Open if have > self.max_row_bytes => return bad(too_long, None),
                Row::Open => {
                    let want = have
                        .saturating_mul(2)
                        .min(self.max_row_bytes.saturating_add(1));
                    have = self.buffer.fill_to(want)?;
                }
            }
        }
    }

    /// Goes to the first row that can be read, and reads it without using it up. The names of the
    /// fields must be readable.
    pub(super) fn first_row(
        &mut self,
        is_header: bool,
        record: &mut StringRecord,
    ) -> Result<Option<usize>, FileSourceError> {
        loop {
            match self.next_row(record)? {
                None => return Ok(None),
                Some(Ok(length)) if !self.is_blank() => return Ok(Some(length)),
                Some(Err(BadRow { within, reason, .. })) if is_header => {
                    let (path, offset) =
                        (self.buffer.path().to_owned(), self.buffer.offset() + within);
                    return Err(FileSourceError::BadRecord {
                        path,
                        line: 1,
                        offset,
                        reason,
                    });
                }
                Some(
                    Ok(length)
                    | Err(BadRow {
                        length: Some(length),
                        ..
                    }),
                ) => {
                    self.buffer.consume(length);
                }
                Some(Err(BadRow { length: None, .. })) => self.buffer.skip_line(u64::MAX)?,
            }
        }
    }

    /// A line without anything on it is no row.
    pub(super) fn is_blank(&self) -> bool {
        let unread = self.buffer.unread();
        unread.starts_with(b"\n") || unread.starts_with(b"\r\n")
    }

    fn to_record(&self, length: usize, record: &mut StringRecord) -> Result<usize, BadRow> {
        let row = std::str::from_utf8(&self.buffer.unread()[..length]).map_err(|error| BadRow {
            within: error.valid_up_to() as u64,
            reason: BadRecordReason::InvalidUtf8,
            length: Some(length),
        })?;
        record.clear();
        for field in &self.fields {
            record.push_field(&field.text(row));
        }
        Ok(length)
    }
}
