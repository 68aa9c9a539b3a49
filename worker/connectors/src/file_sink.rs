//! Files as a sink: CSV and JSON lines (Flink's `FileSink`), in a folder or in a bucket.
//!
//! ```text
//!             in a folder                              in a bucket
//!   write ──▶ .part-1-0-0-000000.csv.inprogress        parts of a multipart upload
//!   prepare:  flushed, on the disk                     all parts are stored
//!   commit ─▶ part-1-0-0-000000.csv, by a rename       part-1-0-0-000000.csv, by completing it
//! ```
//!
//! Prepared is at a checkpoint's barrier and at the end of input. A name holds epoch, subtask,
//! attempt and a counter, so that no two attempts ever write the same file. Nothing here knows when
//! a checkpoint or a job is complete: the runtime calls `commit` then, with the handles that
//! `prepare` gave: the names of a file, its size and its checksum; the upload and its parts. To
//! commit again does no harm: what has its final name and the right content is done.
//!
//! A subtask that fails or is cancelled removes what it has not prepared; what it has prepared
//! belongs to a checkpoint. Whoever goes on for it commits what the checkpoint holds and removes
//! what is left of older attempts. Without checkpoints a process that was killed leaves its files
//! behind, and the next run that starts removes them; its uploads, which nobody sees, remain until
//! a run that may overwrite starts there, or a lifecycle rule of the bucket aborts them.
//!
//! Without checkpoints, results are there as a whole or not at all: when one subtask cannot publish
//! its parts, it removes those that it has published, and the JobManager those of the others. Only
//! a process that is killed between two renames leaves some.
//!
//! A folder holds the results of one run: a fresh run that finds finished part files is refused
//! unless it was told to overwrite. While a run writes, it holds a lock on the folder, so that
//! another run cannot take its unfinished files for leftovers; nothing locks a bucket.
//!
//! Failure story: where only a person can help, for example where another file has the name of a
//! part, the error says what to do and suppresses restarts; everything else is worth trying again.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use weir_stream::sink::Sink;
use weir_stream::{BoxError, Data};
use weir_types::ExecutionAttemptId;

mod bucket;
mod checksum;
mod error;
mod file_part;
mod folder;
mod handle;
mod part_file;
mod part_name;
mod target;
#[cfg(test)]
mod tests;
mod writer;

pub use error::FileSinkError;
pub use writer::FileWriter;

/// When a part file is large enough that the next one is begun.
const ROLL_BYTES: u64 = 128 * 1024 * 1024;

/// How records become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

impl Format {
    fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

/// Writes records to part files in a folder or in a bucket (`s3://bucket/prefix`, reached as the
/// job's configuration says, like its checkpoints). See the module's text for their names and for
/// when they become visible.
pub struct FileSink<T> {
    options: Options,
    record: PhantomData<fn(T)>,
}

/// What the user chose.
#[derive(Clone)]
struct Options {
    /// A folder, or the address of a place in a bucket.
    place: PathBuf,
    format: Format,
    roll_bytes: u64,
    overwrite: bool,
    /// The job's, which says how a bucket is reached.
    configuration: BTreeMap<String, String>,
    /// Instead of the place.
    #[cfg(test)]
    store: Option<std::sync::Arc<dyn weir_storage::RecoverableWriter>>,
}

impl<T> Clone for FileSink<T> {
    fn clone(&self) -> Self {
        Self {
            options: self.options.clone(),
            record: PhantomData,
        }
    }
}

impl<T: Data> FileSink<T> {
    /// One row per record, its fields in order, without a row of names. Quoted where RFC 4180
    /// says so; a row ends with `\n`. A map or an enum with data is no row.
    pub fn csv(place: impl Into<PathBuf>) -> Self {
        Self::new(place.into(), Format::Csv)
    }

    /// One JSON value per line.
    pub fn json_lines(place: impl Into<PathBuf>) -> Self {
        Self::new(place.into(), Format::JsonLines)
    }

    fn new(place: PathBuf, format: Format) -> Self {
        let options = Options {
            place,
            format,
            roll_bytes: ROLL_BYTES,
            overwrite: false,
            configuration: BTreeMap::new(),
            #[cfg(test)]
            store: None,
        };
        Self {
            options,
            record: PhantomData,
        }
    }

    /// Whether a run may start in a folder that holds the results of another. It removes them
    /// when it starts: part files only, nothing that has another name.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        self.options.overwrite = overwrite;
        self
    }

    /// From which size on a part file is full and the next one is begun; 128 MiB by default.
    pub fn roll_bytes(mut self, bytes: u64) -> Self {
        self.options.roll_bytes = bytes;
        self
    }
}

impl<T: Data> Sink for FileSink<T> {
    type In = T;
    type Writer = FileWriter<T>;

    fn kind(&self) -> &'static str {
        "file"
    }

    fn commits(&self) -> bool {
        true
    }

    fn configure(&mut self, configuration: &BTreeMap<String, String>) {
        self.options.configuration = configuration.clone();
    }

    /// Makes the place ready for a fresh run: creates a folder, refuses it or empties it of old
    /// part files, and removes what killed runs left. Call it when everything else that may refuse
    /// the job has been asked. A restored job finds its own files, finished and prepared: they
    /// stay.
    fn check(&self, restored: bool) -> Result<(), BoxError> {
        let target = target::of(&self.options)?;
        Ok(target.check(restored, self.options.overwrite)?)
    }

    fn withdraw(&self, attempts: &[ExecutionAttemptId]) -> Result<(), BoxError> {
        let target = target::of(&self.options)?;
        Ok(target.withdraw(attempts)?)
    }

    fn make_writer(&self) -> FileWriter<T> {
        FileWriter::new(self.options.clone())
    }
}
