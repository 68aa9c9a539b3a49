//! Reads one connection: blocks of bytes become lines, lines become records.

use std::io::{self, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
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
    /// On its way: the server may take its time, and the subtask has other things to hear.
    connecting: Option<Receiver<Result<TcpStream, SocketError>>>,
    connection: Option<TcpStream>,
    has_all_splits: bool,
    block: Vec<u8>,
    /// What of the block is not taken apart yet.
    unread: Range<usize>,
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
            connecting: None,
            connection: None,
            has_all_splits: false,
            block: Vec::new(),
            unread: 0..0,
            lines: Lines::default(),
        }
    }
}

fn connect(address: String) -> Result<TcpStream, SocketError> {
    let candidates = match address.to_socket_addrs() {
        Ok(candidates) => candidates,
        Err(source) => return Err(SocketError::Resolve { address, source }),
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for candidate in candidates {
        let connected = TcpStream::connect_timeout(&candidate, CONNECT_TIMEOUT);
        match connected.and_then(|connection| {
            connection.set_nonblocking(true)?;
            Ok(connection)
        }) {
            Ok(connection) => return Ok(connection),
            Err(error) => failure = error,
        }
    }
    Err(SocketError::Connect {
        address,
        source: failure,
    })
}

impl<T: Data> SocketReader<T> {
    /// Connects on a thread of its own, which is left to itself if the subtask ends before.
    fn begin_to_connect(&mut self) -> Result<(), SocketError> {
        let address = self.source.address.clone();
        let (sender, receiver) = sync_channel(1);
        thread::Builder::new()
            .name("socket-connect".to_owned())
            .spawn(move || drop(sender.send(connect(address))))
            .map_err(|source| SocketError::Connect {
                address: self.source.address.clone(),
                source,
            })?;
        self.connecting = Some(receiver);
        Ok(())
    }

    /// Looks whether there is a connection by now. False if it takes longer.
    fn look_for_connection(&mut self) -> Result<bool, SocketError> {
        let Some(receiver) = &self.connecting else {
            return Ok(true);
        };
        let connected = match receiver.try_recv() {
            Ok(connected) => connected,
            Err(TryRecvError::Empty) => return Ok(false),
            Err(TryRecvError::Disconnected) => Err(SocketError::Connect {
                address: self.source.address.clone(),
                source: io::Error::other("the thread that connects has died"),
            }),
        };
        self.connecting = None;
        self.connection = Some(connected?);
        Ok(true)
    }

    /// Takes a block of bytes apart into lines, until the turn is over. Tells how many bytes it has
    /// taken.
    fn take(&mut self, block: &[u8], out: &mut SourceOutput<'_, T>) -> Result<usize, SocketError> {
        let mut taken = 0;
        while let Some(length) = memchr(b'\n', &block[taken..]) {
            self.take_part(&block[taken..taken + length])?;
            self.end_line(true, out)?;
            taken += length + 1;
            if out.turn_is_over() {
                return Ok(taken);
            }
        }
        self.take_part(&block[taken..])?;
        Ok(block.len())
    }

    fn take_unread(&mut self, out: &mut SourceOutput<'_, T>) -> Result<(), SocketError> {
        let block = std::mem::take(&mut self.block);
        self.unread.start += self.take(&block[self.unread.clone()], out)?;
        self.block = block;
        Ok(())
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
        Ok(self.begin_to_connect()?)
    }

    fn no_more_splits(&mut self) {
        self.has_all_splits = true;
    }

    fn poll(&mut self, out: &mut SourceOutput<'_, T>) -> Result<Poll, BoxError> {
        if !self.look_for_connection()? {
            return Ok(Poll::Wait(PAUSE));
        }
        let Some(connection) = &mut self.connection else {
            return Ok(if self.has_all_splits {
                Poll::End
            } else {
                Poll::NeedSplit
            });
        };
        if !self.unread.is_empty() {
            self.take_unread(out)?;
            return Ok(Poll::More);
        }
        match connection.read(&mut self.block) {
            Ok(0) => {
                self.connection = None;
                if !self.lines.received.is_empty() {
                    self.end_line(false, out)?;
                }
                Ok(Poll::More)
            }
            Ok(count) => {
                self.unread = 0..count;
                self.take_unread(out)?;
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
        let has_split = self.connecting.is_some() || self.connection.is_some();
        let split = has_split.then(|| encode(&()));
        Ok(split.into_iter().collect::<Result<_, _>>()?)
    }
}
