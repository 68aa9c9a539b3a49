//! Lines of text from a TCP server (Flink's `socketTextStream`).
//!
//! One connection, one reader. A socket cannot be read twice: after a restore the source connects
//! anew, and what was sent in between is lost. There is no reconnecting; the end of the connection
//! is the end of the input. Only connecting blocks, for ten seconds at most; reads never do, so that
//! the subtask stays answerable.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;
use weir_stream::factory::EnumeratorContext;
use weir_stream::metrics::OperatorMetrics;
use weir_stream::source::{Poll, Source, SourceOutput, SourceReader, SplitBytes, SplitEnumerator};
use weir_stream::{BoxError, CHUNK_BYTES, Data, OperatorContext};

use crate::bad_records::{BadRecordReason, BadRecords, chain};
use crate::encoding::encode;
use crate::line_decoder::{DecodeFn, LineDecoder, WholeLine};
use crate::split_queue::SplitQueue;

/// How long to wait for the server to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a turn that found nothing.
const PAUSE: Duration = Duration::from_millis(5);

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
        SocketReader {
            source: self.clone(),
            metrics: Arc::default(),
            connection: None,
            has_all_splits: false,
            block: Vec::new(),
            lines: Lines::default(),
        }
    }

    fn make_enumerator(
        &self,
        _context: &EnumeratorContext,
    ) -> Result<Box<dyn SplitEnumerator>, BoxError> {
        Ok(Box::new(SplitQueue::of(&[()])?))
    }
}

/// Reads one connection. Its split has no content: it is the right to connect.
pub struct SocketReader<T> {
    source: SocketSource<T>,
    metrics: Arc<OperatorMetrics>,
    connection: Option<TcpStream>,
    has_all_splits: bool,
    block: Vec<u8>,
    lines: Lines,
}

/// What has been received and is no whole line yet.
#[derive(Default)]
struct Lines {
    received: Vec<u8>,
    /// The current line, from 1, once the first byte is there.
    line: u64,
    /// Where the current line begins.
    offset: u64,
    /// Whether the current line is too long and its rest is dropped.
    is_dropping: bool,
}

impl<T: Data> SocketReader<T> {
    fn connect(&self) -> Result<TcpStream, SocketError> {
        let address = || self.source.address.clone();
        let resolved = self.source.address.to_socket_addrs();
        let candidates = resolved.map_err(|source| SocketError::Resolve {
            address: address(),
            source,
        })?;
        let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for candidate in candidates {
            match TcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT) {
                Ok(connection) => {
                    connection
                        .set_nonblocking(true)
                        .map_err(|source| SocketError::Connect {
                            address: address(),
                            source,
                        })?;
                    return Ok(connection);
                }
                Err(error) => failure = error,
            }
        }
        Err(SocketError::Connect {
            address: address(),
            source: failure,
        })
    }

    /// Takes a block of bytes apart into lines.
    fn take(&mut self, mut block: &[u8], out: &mut SourceOutput<'_, T>) -> Result<(), SocketError> {
        while let Some(end) = memchr(b'\n', block) {
            self.take_part(&block[..end])?;
            self.end_line(true, out)?;
            block = &block[end + 1..];
        }
        self.take_part(block)
    }

    /// Takes bytes of the current line.
    fn take_part(&mut self, part: &[u8]) -> Result<(), SocketError> {
        let max = self.source.max_line_bytes;
        if !self.lines.is_dropping && self.lines.received.len() + part.len() > max {
            self.lines.is_dropping = true;
            self.bad_record(BadRecordReason::TooLong { max })?;
        }
        if self.lines.is_dropping {
            // Keeps the count of bytes right without keeping the bytes.
            self.lines.offset += (self.lines.received.len() + part.len()) as u64;
            self.lines.received.clear();
        } else {
            self.lines.received.extend_from_slice(part);
        }
        Ok(())
    }

    fn end_line(
        &mut self,
        has_end: bool,
        out: &mut SourceOutput<'_, T>,
    ) -> Result<(), SocketError> {
        if !self.lines.is_dropping {
            let problem = match std::str::from_utf8(&self.lines.received) {
                Ok(line) => {
                    let line = if has_end {
                        line.strip_suffix('\r').unwrap_or(line)
                    } else {
                        line
                    };
                    let malformed = |error: BoxError| BadRecordReason::Malformed(chain(&*error));
                    self.source.decoder.decode(line, out).err().map(malformed)
                }
                Err(_) => Some(BadRecordReason::InvalidUtf8),
            };
            if let Some(reason) = problem {
                self.bad_record(reason)?;
            }
        }
        self.lines.offset += self.lines.received.len() as u64 + 1;
        self.lines.line += 1;
        self.lines.is_dropping = false;
        self.lines.received.clear();
        Ok(())
    }

    #[cold]
    fn bad_record(&self, reason: BadRecordReason) -> Result<(), SocketError> {
        let (line, offset) = (self.lines.line + 1, self.lines.offset);
        let address = self.source.address.clone();
        let error = SocketError::BadRecord {
            address,
            line,
            offset,
            reason,
        };
        match self.source.bad_records {
            BadRecords::Fail => Err(error),
            BadRecords::Skip => {
                if self.metrics.skipped_records() == 0 {
                    tracing::warn!(%error, "skipped a bad record; further ones are only counted");
                }
                self.metrics.add_skipped_records(1);
                Ok(())
            }
        }
    }
}

impl<T: Data> SourceReader<T> for SocketReader<T> {
    fn open(&mut self, context: &OperatorContext) -> Result<(), BoxError> {
        self.metrics = Arc::clone(&context.metrics);
        self.block = vec![0; CHUNK_BYTES];
        Ok(())
    }

    fn add_split(&mut self, _split: SplitBytes) -> Result<(), BoxError> {
        self.connection = Some(self.connect()?);
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.has_all_splits = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        let Some(connection) = &mut self.connection else {
            return Ok(if self.has_all_splits {
                Poll::End
            } else {
                Poll::NeedSplit
            });
        };
        match connection.read(&mut self.block) {
            Ok(0) => {
                self.connection = None;
                if !self.lines.received.is_empty() {
                    self.end_line(false, out)?;
                }
                Ok(Poll::More)
            }
            Ok(count) => {
                let block = std::mem::take(&mut self.block);
                self.take(&block[..count], out)?;
                self.block = block;
                Ok(Poll::More)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Poll::Wait(PAUSE)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(Poll::More),
            Err(source) => {
                let address = self.source.address.clone();
                Err(SocketError::Read { address, source }.into())
            }
        }
    }

    fn snapshot(&mut self) -> Result<Vec<SplitBytes>, BoxError> {
        Ok(self
            .connection
            .iter()
            .map(|_| encode(&()))
            .collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::testing::{TestReader, context, enumerator, root_cause};

    fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("has an address").to_string();
        (listener, address)
    }

    /// Serves these parts and closes; reads all of it.
    fn received(
        parts: Vec<Vec<u8>>,
        change: fn(SocketSource<String>) -> SocketSource<String>,
    ) -> Result<(Vec<String>, u64), weir_stream::OperatorError> {
        let (listener, address) = listen();
        let server = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("accepts");
            for part in parts {
                // The reader may be gone by then: it has failed.
                if connection.write_all(&part).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        let source = change(SocketSource::lines(address));
        let mut reader = TestReader::open(&source, context(0, 1));
        let result = reader.run(&mut *enumerator(&source, 1));
        let skipped = reader.context.metrics.skipped_records();
        server.join().expect("serves");
        result.map(|()| (reader.rows(), skipped))
    }

    #[test]
    fn lines_cut_anywhere_by_the_network_come_out_whole() {
        let parts = vec![
            b"on".to_vec(),
            b"e\r\ntwo\n\xc3".to_vec(),
            b"\xa9\n\nlast".to_vec(),
        ];
        let (rows, _) = received(parts, |source| source).expect("reads");
        assert_eq!(rows, ["one", "two", "é", "", "last"]);
    }

    #[test]
    fn a_bad_line_fails_with_its_place_or_is_counted() {
        let parts = || vec![b"ab\nx\xff\nlonger than ten\nok\n".to_vec()];
        let error = received(parts(), |source| source).expect_err("is no UTF-8");
        let cause = root_cause(&error);
        assert!(
            cause.ends_with(", line 2, byte offset 3: invalid UTF-8"),
            "{cause}"
        );
        let skip =
            |source: SocketSource<String>| source.bad_records(BadRecords::Skip).max_line_bytes(10);
        let (rows, skipped) = received(parts(), skip).expect("reads");
        assert_eq!((rows, skipped), (vec!["ab".to_owned(), "ok".to_owned()], 2));
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let (listener, address) = listen();
        drop(listener);
        let source = SocketSource::lines(address.clone());
        let mut reader = TestReader::open(&source, context(0, 1));
        let error = reader
            .run(&mut *enumerator(&source, 1))
            .expect_err("nobody listens");
        let error = std::error::Error::source(&error)
            .expect("has a cause")
            .to_string();
        assert_eq!(error, format!("connect to {address}"));
    }

    #[test]
    fn a_quiet_server_makes_the_reader_wait_and_not_block() {
        let (listener, address) = listen();
        let source = SocketSource::lines(address);
        let mut reader = TestReader::open(&source, context(0, 1));
        let mut splits = enumerator(&source, 1);
        assert_eq!(
            reader.turn(&mut *splits).expect("connects"),
            Poll::NeedSplit
        );
        let _connection = listener.accept().expect("accepts");
        assert_eq!(reader.turn(&mut *splits).expect("waits"), Poll::Wait(PAUSE));
    }
}
