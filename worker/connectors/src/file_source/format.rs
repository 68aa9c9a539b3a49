//! The seam between the reader of a source and the formats: types are erased per split and turn,
//! the loops over lines inside a turn are monomorphic.

use std::sync::Arc;

use weir_stream::Data;
use weir_stream::source::SourceOutput;

use super::FileSourceError;
use super::bad_record::BadRecordHandler;
use super::lines::LineSplitReader;
use super::split::FileSplit;
use crate::BadRecords;
use crate::line_decoder::LineDecoder;

/// The longest line allowed unless the user says otherwise.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// What the user chose.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadOptions {
    pub(super) bad_records: BadRecords,
    pub(super) max_line_bytes: usize,
    pub(super) rate: Option<f64>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self {
            bad_records: BadRecords::Fail,
            max_line_bytes: MAX_LINE_BYTES,
            rate: None,
        }
    }
}

/// How the bytes of a file become records.
pub(super) trait FileFormat<T>: Send + Sync {
    /// Whether a reader that begins somewhere inside a file finds the next record.
    fn splittable(&self) -> bool;

    /// Begins to read a split.
    fn open(
        &self,
        split: FileSplit,
        options: &ReadOptions,
    ) -> Result<Box<dyn SplitReader<T>>, FileSourceError>;
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    /// How many lines or rows it used up, bad ones included.
    pub(super) lines: usize,
    /// Whether the split has been read to its end.
    pub(super) done: bool,
}

/// Reads one split.
pub(super) trait SplitReader<T>: Send {
    /// Reads at most `limit` lines or rows, and about one chunk's bytes.
    fn turn(
        &mut self,
        limit: usize,
        bad: &mut BadRecordHandler,
        out: &mut SourceOutput<'_, T>,
    ) -> Result<Turn, FileSourceError>;

    /// What is left to read.
    fn rest(&self) -> FileSplit;
}

/// Text whose records are lines.
pub(super) struct LineFormat<D> {
    decoder: Arc<D>,
}

impl<D> LineFormat<D> {
    pub(super) fn new(decoder: D) -> Self {
        Self {
            decoder: Arc::new(decoder),
        }
    }
}

impl<T: Data, D: LineDecoder<T>> FileFormat<T> for LineFormat<D> {
    fn splittable(&self) -> bool {
        true
    }

    fn open(
        &self,
        split: FileSplit,
        options: &ReadOptions,
    ) -> Result<Box<dyn SplitReader<T>>, FileSourceError> {
        let decoder = Arc::clone(&self.decoder);
        Ok(Box::new(LineSplitReader::open(
            split,
            decoder,
            options.max_line_bytes,
        )?))
    }
}
