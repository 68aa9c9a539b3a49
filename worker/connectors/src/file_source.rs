//! Files as a source: text lines, JSON lines and CSV (Flink's `FileSource`).
//!
//! The enumerator, on the JobManager, lists the files once and cuts them into byte ranges, so that
//! one large file is read by several readers. A line belongs to the range in which it begins: a
//! reader whose range begins inside a line leaves that line to the reader before it, and reads its
//! own last line to the end, beyond its range. CSV fields may hold line breaks, so that no place
//! inside a CSV file is known to begin a record: a CSV file is one split.
//!
//! ```text
//!   path ──listing──▶ files ──split──▶ FileSplit … ──enumerator──▶ FileReader
//!                                                               │ LineSplitReader / CsvSplitReader
//!                                                               ▼ FileBuffer (bounded)
//! ```
//!
//! A bad record fails the job with file, line, byte offset and reason, or is counted and left out
//! (see [`BadRecords`]). Lines are counted only then, by reading the file from its start: knowing
//! the number at every moment would make every split wait for the one before it.

use std::path::PathBuf;
use std::sync::Arc;

use weir_stream::factory::EnumeratorContext;
use weir_stream::source::{Source, SourceOutput, SplitEnumerator};
use weir_stream::{BoxError, Data};

use crate::BadRecords;
use crate::line_decoder::{DecodeFn, JsonLine, LineDecoder, WholeLine};
use crate::schedule::is_rate;
use crate::split_queue::SplitQueue;

mod bad_record;
mod buffer;
mod csv;
mod csv_rows;
mod csv_scan;
mod error;
mod format;
mod lines;
mod listing;
mod reader;
mod split;
#[cfg(test)]
mod tests;

pub use error::FileSourceError;
pub use reader::FileReader;

use csv::CsvFormat;
use format::{FileFormat, LineFormat, ReadOptions};
use split::CutRule;

/// Reads files: one file, every file under a folder, or what a pattern matches (`*`, `?`, `[ab]`,
/// `**`). Names that begin with `.` or `_` are left out, as unfinished files have such names.
pub struct FileSource<T> {
    path: PathBuf,
    format: Arc<dyn FileFormat<T>>,
    options: ReadOptions,
    split_bytes: Option<u64>,
}

impl<T> Clone for FileSource<T> {
    fn clone(&self) -> Self {
        Self {
            path: self.path.clone(),
            format: Arc::clone(&self.format),
            options: self.options,
            split_bytes: self.split_bytes,
        }
    }
}

impl FileSource<String> {
    /// Each line is a record, without its end (`\n` or `\r\n`). A last line without an end counts.
    pub fn lines(path: impl Into<PathBuf>) -> Self {
        Self::of_lines(path, WholeLine)
    }
}

impl<T: Data> FileSource<T> {
    /// Makes records directly from each line, which is cheaper than to allocate every line first.
    ///
    /// ```
    /// # use weir_connectors::FileSource;
    /// let words = FileSource::decode("book.txt", |line: &str, out| {
    ///     for word in line.split_whitespace() {
    ///         out.collect((word.to_owned(), 1u64));
    ///     }
    ///     Ok(())
    /// });
    /// ```
    ///
    /// A line for which the function fails is a bad record. It must not have collected anything
    /// by then, as that is not taken back.
    pub fn decode<F>(path: impl Into<PathBuf>, decode: F) -> Self
    where
        F: Fn(&str, &mut SourceOutput<'_, T>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        Self::of_lines(path, DecodeFn(decode))
    }

    /// Each line is a JSON value. Blank lines are left out.
    pub fn json_lines(path: impl Into<PathBuf>) -> Self {
        Self::of_lines(path, JsonLine::default())
    }

    /// Each row is a record, its fields taken in order (RFC 4180; a line end may be `\n` alone).
    /// All rows of a file must have as many fields as its first.
    pub fn csv(path: impl Into<PathBuf>) -> Self {
        Self::new(path, CsvFormat { header: false })
    }

    /// As [`FileSource::csv`], but the first row of each file holds the names of the fields, and
    /// a record takes them by name.
    pub fn csv_with_header(path: impl Into<PathBuf>) -> Self {
        Self::new(path, CsvFormat { header: true })
    }

    fn of_lines(path: impl Into<PathBuf>, decoder: impl LineDecoder<T>) -> Self {
        Self::new(path, LineFormat::new(decoder))
    }

    fn new(path: impl Into<PathBuf>, format: impl FileFormat<T> + 'static) -> Self {
        Self {
            path: path.into(),
            format: Arc::new(format),
            options: ReadOptions::default(),
            split_bytes: None,
        }
    }

    /// What to do with records that cannot be read. By default they fail the job.
    pub fn bad_records(mut self, bad_records: BadRecords) -> Self {
        self.options.bad_records = bad_records;
        self
    }

    /// The longest line or CSV row allowed, in bytes; 16 MiB by default. A longer one is a bad
    /// record. It bounds what a reader keeps in memory.
    pub fn max_line_bytes(mut self, max: usize) -> Self {
        self.options.max_line_bytes = max;
        self
    }

    /// How many bytes a split has at most. By default that follows from the size of the input and
    /// the parallelism.
    pub fn split_bytes(mut self, bytes: u64) -> Self {
        self.split_bytes = Some(bytes.max(1));
        self
    }

    /// How many lines or rows per second all readers together read at most. Each reader keeps an
    /// equal share, and the input is cut so that each has about equally much to read.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.options.rate = Some(per_second);
        self
    }
}

impl<T: Data> Source for FileSource<T> {
    type Out = T;
    type Reader = FileReader<T>;

    fn kind(&self) -> &'static str {
        "file"
    }

    fn bounded(&self) -> bool {
        true
    }

    fn make_reader(&self) -> FileReader<T> {
        FileReader::new(Arc::clone(&self.format), self.options)
    }

    fn make_enumerator(
        &self,
        context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        if let Some(rate) = self.options.rate.filter(|rate| !is_rate(*rate)) {
            return Err(FileSourceError::Rate { rate }.into());
        }
        if context.restored {
            // Files that were read may be gone by now.
            return Ok(Box::new(SplitQueue::default()));
        }
        let files = listing::list_files(&self.path)?;
        if files.is_empty() {
            tracing::warn!(path = %self.path.display(), "no file to read: the input is empty");
        }
        let rule = match (
            self.format.splittable(),
            self.split_bytes,
            self.options.rate,
        ) {
            (false, ..) => CutRule::WholeFiles,
            (true, Some(bytes), _) => CutRule::AtMost(bytes),
            (true, None, Some(_)) => CutRule::EqualShares,
            (true, None, None) => CutRule::BySize,
        };
        let splits = split::cut(&files, rule, context.parallelism);
        tracing::info!(
            path = %self.path.display(),
            files = files.len(),
            splits = splits.len(),
            "listed the files to read"
        );
        Ok(Box::new(SplitQueue::of(&splits)?))
    }
}
