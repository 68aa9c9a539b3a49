//! Reads one connection: blocks of bytes become lines, lines become records.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use memchr::memchr;
use weir_stream::metrics::OperatorMetrics;
use weir_stream::source::{Poll, SourceOutput, SourceReader, SplitBytes};
use weir_stream::{BoxError, CHUNK_BYTES, Data, OperatorContext};

use super::{SocketError, SocketSource};
use crate::bad_records::{BadRecordReason, BadRecords, chain};
use crate::encoding::encode;

/// How long to wait for the server to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The pause after a turn that found nothing.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

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

impl<T> SocketReader<T> {
    pub(super) fn new(source: SocketSource<T>) -> Self {
        Self {
            source,
            metrics: Arc::default(),
            connection: None,
            has_all_splits: false,
            block: Vec::new(),
            lines: Lines::default(),
        }
    }
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
