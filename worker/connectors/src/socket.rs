//! Lines of text from a TCP server (Flink's `socketTextStream`).
//!
//! One connection, one reader. A socket cannot be read twice: after a restore the source connects
//! anew, and what was sent in between is lost. There is no reconnecting; the end of the connection
//! is the end of the input. Only connecting blocks, for ten seconds at most; reads never do, so
//! that the subtask stays answerable.

use std::io;
use std::sync::Arc;

use weir_stream::factory::EnumeratorContext;
use weir_stream::source::{Source, SourceOutput, SplitEnumerator};
use weir_stream::{BoxError, Data};

use crate::bad_records::{BadRecordReason, BadRecords};
use crate::line_decoder::{DecodeFn, LineDecoder, WholeLine};
use crate::split_queue::SplitQueue;

mod reader;

pub use reader::SocketReader;

/// The longest line allowed unless the user says otherwise.
const MAX_LINE_BYTES: usize = 16 * 1024 * 1024;

/// A socket source could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no port, or the name is unknown.
    #[error("resolve the address `{address}` (want HOST:PORT)")]
    Resolve {
        /// What was asked for.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody accepts.
    #[error("connect to {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("read from {address}")]
    Read {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A line cannot be read.
    #[error("{address}, line {line}, byte offset {offset}: {reason}")]
    BadRecord {
        /// Where.
        address: String,
        /// The line since the connection was made, from 1.
        line: u64,
        /// Where the line begins, since the connection was made.
        offset: u64,
        /// What is wrong.
        reason: BadRecordReason,
    },
}

/// Reads lines of text from a TCP server.
pub struct SocketSource<T> {
    address: String,
    decoder: Arc<dyn LineDecoder<T>>,
    bad_records: BadRecords,
    max_line_bytes: usize,
}

impl<T> Clone for SocketSource<T> {
    fn clone(&self) -> Self {
        Self {
            address: self.address.clone(),
            decoder: Arc::clone(&self.decoder),
            bad_records: self.bad_records,
            max_line_bytes: self.max_line_bytes,
        }
    }
}

impl SocketSource<String> {
    /// Each line from `HOST:PORT` is a record, without its end (`\n` or `\r\n`).
    pub fn lines(address: impl Into<String>) -> Self {
        Self::new(address, WholeLine)
    }
}

impl<T: Data> SocketSource<T> {
    /// Makes records directly from each line. A line for which the function fails is a bad record.
    pub fn decode<F>(address: impl Into<String>, decode: F) -> Self
    where
        F: Fn(&str, &mut SourceOutput<'_, T>) -> Result<(), BoxError> + Send + Sync + 'static,
    {
        Self::new(address, DecodeFn(decode))
    }

    fn new(address: impl Into<String>, decoder: impl LineDecoder<T>) -> Self {
        Self {
            address: address.into(),
            decoder: Arc::new(decoder),
            bad_records: BadRecords::Fail,
            max_line_bytes: MAX_LINE_BYTES,
        }
    }

    /// What to do with lines that cannot be read. By default they fail the job.
    pub fn bad_records(mut self, bad_records: BadRecords) -> Self {
        self.bad_records = bad_records;
        self
    }

    /// The longest line allowed, in bytes; 16 MiB by default. A longer one is a bad record.
    pub fn max_line_bytes(mut self, max: usize) -> Self {
        self.max_line_bytes = max;
        self
    }
}

impl<T: Data> Source for SocketSource<T> {
    type Out = T;
    type Reader = SocketReader<T>;

    fn kind(&self) -> &'static str {
        "socket"
    }

    fn bounded(&self) -> bool {
        false
    }

    fn non_parallel(&self) -> bool {
        true
    }

    fn make_reader(&self) -> SocketReader<T> {
        SocketReader::new(self.clone())
    }

    fn make_enumerator(
        &self,
        _context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        Ok(Box::new(SplitQueue::of(&[()])?))
    }
}

#[cfg(test)]
mod tests;
