//! Reads CSV files: one split per file, one record per row.

use std::path::PathBuf;

use csv::StringRecord;
use memchr::memchr;
use weir_stream::source::SourceOutput;
use weir_stream::{CHUNK_BYTES, Data};

use super::FileSourceError;
use super::bad_record::BadRecordHandler;
use super::buffer::FileBuffer;
use super::csv_scan::{Field, Row, scan};
use super::format::{FileFormat, ReadOptions, SplitReader, Turn};
use super::split::FileSplit;
use crate::bad_records::BadRecordReason;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Comma-separated values.
pub(super) struct CsvFormat {
    /// Whether the first row holds the names of the fields.
    pub(super) header: bool,
}

impl<T: Data> FileFormat<T> for CsvFormat {
    fn splittable(&self) -> bool {
        false
    }

    fn open(
        &self,
        split: FileSplit,
        options: &ReadOptions,
    ) -> Result<Box<dyn SplitReader<T>>, FileSourceError> {
        Ok(Box::new(CsvSplitReader::open(
            split,
            self.header,
            options.max_line_bytes,
        )?))
    }
}

/// Reads one file row by row.
struct CsvSplitReader {
    split: FileSplit,
    rows: RowBuffer,
    /// The names of the fields, if the file has them.
    header: Option<StringRecord>,
    /// How many fields each row must have.
    width: Option<usize>,
    record: StringRecord,
}

impl CsvSplitReader {
    fn open(split: FileSplit, header: bool, max_row_bytes: usize) -> Result<Self, FileSourceError> {
        let mut rows = RowBuffer::open(split.path().to_owned(), max_row_bytes)?;
        let mut record = StringRecord::new();
        let (mut names, mut width) = (None, None);
        let mut begin = rows.buffer.offset().max(split.start);
        // The first row tells how wide all are, also to a reader that goes on in the middle.
        if (header || split.start > 0)
            && let Some(length) = rows.first_row(header, &mut record)?
        {
            width = Some(record.len());
            if header {
                names = Some(record.clone());
                begin = begin.max(rows.buffer.offset() + length as u64);
            }
        }
        if rows.buffer.offset() != begin {
            rows = RowBuffer::reopen(rows, begin)?;
        }
        Ok(Self {
            split,
            rows,
            header: names,
            width,
            record,
        })
    }

    /// Makes a record of the row just read; tells what is wrong with it, if anything is.
    fn decode_row<T: Data>(&mut self, out: &mut SourceOutput<'_, T>) -> Option<BadRecordReason> {
        let found = self.record.len();
        let width = *self.width.get_or_insert(found);
        if found != width {
            let reason = format!("malformed CSV: {found} fields, but the first row has {width}");
            return Some(BadRecordReason::Malformed(reason));
        }
        match self.record.deserialize(self.header.as_ref()) {
            Ok(record) => {
                out.collect(record);
                None
            }
            Err(error) => Some(BadRecordReason::Malformed(describe(&error))),
        }
    }
}

/// The error without the place that the `csv` crate gives: it has seen one row only.
fn describe(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Deserialize { err, .. } => match err.field() {
            Some(field) => format!("malformed CSV: field {}: {}", field + 1, err.kind()),
            None => format!("malformed CSV: {}", err.kind()),
        },
        _ => format!("malformed CSV: {error}"),
    }
}

impl<T: Data> SplitReader<T> for CsvSplitReader {
    fn turn(
        &mut self,
        limit: usize,
        bad: &mut BadRecordHandler,
        out: &mut SourceOutput<'_, T>,
    ) -> Result<Turn, FileSourceError> {
        let begin = self.rows.buffer.offset();
        let mut lines = 0;
        while lines < limit && self.rows.buffer.offset() - begin < CHUNK_BYTES as u64 {
            if self.rows.buffer.offset() >= self.split.end {
                return Ok(Turn { lines, done: true });
            }
            let offset = self.rows.buffer.offset();
            match self.rows.next_row(&mut self.record)? {
                None => {
                    return Err(FileSourceError::CutShort {
                        path: self.rows.path.clone(),
                        expected: self.split.end,
                        found: offset,
                    });
                }
                Some(Ok(length)) => {
                    if !self.rows.is_blank()
                        && let Some(reason) = self.decode_row(out)
                    {
                        bad.handle(&self.rows.path, offset, reason)?;
                    }
                    self.rows.buffer.consume(length);
                }
                Some(Err(BadRow {
                    within,
                    reason,
                    length,
                })) => {
                    bad.handle(&self.rows.path, offset + within, reason)?;
                    match length {
                        Some(length) => self.rows.buffer.consume(length),
                        None => self.rows.skip_line()?,
                    }
                }
            }
            lines += 1;
        }
        Ok(Turn { lines, done: false })
    }

    fn rest(&self) -> FileSplit {
        self.split.rest(self.rows.buffer.offset())
    }
}

/// A row that cannot be read.
struct BadRow {
    /// Where in the row.
    within: u64,
    reason: BadRecordReason,
    /// How long the row is. Where the end cannot be told, the next line is where to go on.
    length: Option<usize>,
}

/// A CSV file as rows.
struct RowBuffer {
    path: PathBuf,
    buffer: FileBuffer,
    max_row_bytes: usize,
    fields: Vec<Field>,
}

impl RowBuffer {
    /// Opens a file at its first row.
    fn open(path: PathBuf, max_row_bytes: usize) -> Result<Self, FileSourceError> {
        let buffer =
            FileBuffer::open(&path, 0).map_err(|error| FileSourceError::from_open(&path, error))?;
        let mut rows = Self {
            path,
            buffer,
            max_row_bytes,
            fields: Vec::new(),
        };
        rows.fill_to(BYTE_ORDER_MARK.len())?;
        if rows.buffer.unread().starts_with(BYTE_ORDER_MARK) {
            rows.buffer.consume(BYTE_ORDER_MARK.len());
        }
        Ok(rows)
    }

    /// The same file from another row on.
    fn reopen(rows: Self, offset: u64) -> Result<Self, FileSourceError> {
        let buffer = FileBuffer::open(&rows.path, offset)
            .map_err(|error| FileSourceError::from_open(&rows.path, error))?;
        Ok(Self { buffer, ..rows })
    }

    /// Reads the next row into `record` without using it up, and tells its length in bytes.
    /// `None` is the end of the file.
    fn next_row(
        &mut self,
        record: &mut StringRecord,
    ) -> Result<Option<Result<usize, BadRow>>, FileSourceError> {
        let mut have = self.fill_to(1)?;
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
                    have = self.fill_to(want)?;
                }
            }
        }
    }

    /// Goes to the first row that can be read, and reads it without using it up. The names of the
    /// fields must be readable.
    fn first_row(
        &mut self,
        is_header: bool,
        record: &mut StringRecord,
    ) -> Result<Option<usize>, FileSourceError> {
        loop {
            match self.next_row(record)? {
                None => return Ok(None),
                Some(Ok(length)) if !self.is_blank() => return Ok(Some(length)),
                Some(Err(BadRow { within, reason, .. })) if is_header => {
                    let (path, offset) = (self.path.clone(), self.buffer.offset() + within);
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
                Some(Err(BadRow { length: None, .. })) => self.skip_line()?,
            }
        }
    }

    /// A line without anything on it is no row.
    fn is_blank(&self) -> bool {
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

    /// Passes over the rest of a line without keeping it.
    fn skip_line(&mut self) -> Result<(), FileSourceError> {
        loop {
            let have = self.fill_to(1)?;
            match memchr(b'\n', self.buffer.unread()) {
                Some(end) => {
                    self.buffer.consume(end + 1);
                    return Ok(());
                }
                None if have == 0 => return Ok(()),
                None => self.buffer.consume(have),
            }
        }
    }

    fn fill_to(&mut self, want: usize) -> Result<usize, FileSourceError> {
        self.buffer
            .fill_to(want)
            .map_err(|source| FileSourceError::Read {
                path: self.path.clone(),
                offset: self.buffer.offset(),
                source,
            })
    }
}
