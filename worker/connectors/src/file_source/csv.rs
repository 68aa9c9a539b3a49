//! Reads CSV files: one split per file, one record per row.

use csv::StringRecord;
use weir_stream::source::SourceOutput;
use weir_stream::{CHUNK_BYTES, Data};

use super::FileSourceError;
use super::bad_record::BadRecordHandler;
use super::csv_rows::{BadRow, RowBuffer};
use super::format::{FileFormat, ReadOptions, SplitReader, Turn};
use super::split::FileSplit;
use crate::bad_records::BadRecordReason;

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
        let mut rows = RowBuffer::open(split.path(), max_row_bytes)?;
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
        rows.seek(begin)?;
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
        while lines < limit
            && self.rows.buffer.offset() - begin < CHUNK_BYTES as u64
            && (lines == 0 || !out.turn_is_over())
        {
            if self.rows.buffer.offset() >= self.split.end {
                return Ok(Turn { lines, done: true });
            }
            let offset = self.rows.buffer.offset();
            match self.rows.next_row(&mut self.record)? {
                None => return Err(self.rows.buffer.cut_short(self.split.end)),
                Some(Ok(length)) => {
                    if !self.rows.is_blank()
                        && let Some(reason) = self.decode_row(out)
                    {
                        bad.handle(self.rows.buffer.path(), offset, reason)?;
                    }
                    self.rows.buffer.consume(length);
                }
                Some(Err(BadRow {
                    within,
                    reason,
                    length,
                })) => {
                    bad.handle(self.rows.buffer.path(), offset + within, reason)?;
                    match length {
                        Some(length) => self.rows.buffer.consume(length),
                        None => self.rows.buffer.skip_line(u64::MAX)?,
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
