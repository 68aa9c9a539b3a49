//! Reads frames from a data connection and hands them to the channels.
//!
//! The reader never waits for anything but the socket. It allocates for a frame's bytes only when
//! the frame belongs to a channel that has room for them. Consumers are notified when all that one
//! system call has brought is handed out, so that they find more than one frame when they wake.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::connection::Connection;
use super::frame::{HEADER, Header, Kind, parse_body, parse_header};
use crate::{ChannelError, Signal};

/// Large enough for several frames of usual size per system call.
const BUFFER_BYTES: usize = 128 << 10;

/// Reads until the connection is broken. Returns why.
pub(crate) async fn read_frames<R: AsyncRead + Unpin>(
    connection: &Arc<Connection>,
    socket: R,
) -> ChannelError {
    let mut input = FrameInput::new(socket);
    loop {
        if let Err(cause) = read_frame(connection, &mut input).await {
            input.notify_all();
            return cause;
        }
    }
}

async fn read_frame<R: AsyncRead + Unpin>(
    connection: &Arc<Connection>,
    input: &mut FrameInput<R>,
) -> Result<(), ChannelError> {
    let lost = |error: io::Error| connection.lost(error);
    let Some(header) = input.header().await.map_err(lost)? else {
        return Err(connection.lost("the peer closed it"));
    };
    let header = parse_header(header, connection.limits().frame_bytes_max)
        .map_err(|error| connection.protocol_error(error))?;
    if header.kind == Kind::Data {
        return read_data(connection, input, header).await.map_err(lost);
    }
    let body = input.bytes(header.body).await.map_err(lost)?;
    let frame = parse_body(header.kind, &body).map_err(|error| connection.protocol_error(error))?;
    if let Some(consumer) = connection.handle(header.channel, frame)? {
        input.notify_later(consumer);
    }
    Ok(())
}

async fn read_data<R: AsyncRead + Unpin>(
    connection: &Connection,
    input: &mut FrameInput<R>,
    header: Header,
) -> io::Result<()> {
    let payload = header.body - 1;
    let more = input.byte().await? != 0;
    let Some(queue) = connection.inlet(header.channel) else {
        return input.skip(payload).await;
    };
    if payload > queue.window() {
        let window = queue.window();
        let cause = format!("it sent a fragment of {payload} bytes, the window is {window}");
        connection.break_inlet(header.channel, connection.protocol_error(cause));
        return input.skip(payload).await;
    }
    let bytes = input.bytes(payload).await?;
    match queue.push_fragment(bytes, more) {
        Ok(true) => input.notify_later(Arc::clone(queue.signal())),
        Ok(false) => {}
        Err(broken) => connection.break_inlet(header.channel, connection.protocol_error(broken)),
    }
    Ok(())
}

/// A socket with a buffer: small frames share a system call, large ones go past the buffer.
struct FrameInput<R> {
    socket: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Consumers to be notified before the next system call.
    to_notify: Vec<Arc<Signal>>,
}

impl<R: AsyncRead + Unpin> FrameInput<R> {
    fn new(socket: R) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into();
        Self {
            socket,
            buffer,
            start: 0,
            end: 0,
            to_notify: Vec::new(),
        }
    }

    fn notify_later(&mut self, consumer: Arc<Signal>) {
        self.to_notify.push(consumer);
    }

    fn notify_all(&mut self) {
        for consumer in self.to_notify.drain(..) {
            consumer.notify();
        }
    }

    /// The next header; `None` if the peer closed the connection between two frames.
    async fn header(&mut self) -> io::Result<Option<[u8; HEADER]>> {
        while self.end - self.start < HEADER {
            if !self.fill().await? {
                return if self.start == self.end {
                    Ok(None)
                } else {
                    Err(cut_off())
                };
            }
        }
        let mut header = [0; HEADER];
        header.copy_from_slice(&self.buffer[self.start..self.start + HEADER]);
        self.start += HEADER;
        Ok(Some(header))
    }

    async fn byte(&mut self) -> io::Result<u8> {
        if self.start == self.end && !self.fill().await? {
            return Err(cut_off());
        }
        let byte = self.buffer[self.start];
        self.start += 1;
        Ok(byte)
    }

    async fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        // A peer that announces much and sends little gets no more than this.
        let mut bytes = Vec::with_capacity(length.min(BUFFER_BYTES));
        let buffered = length.min(self.end - self.start);
        bytes.extend_from_slice(&self.buffer[self.start..self.start + buffered]);
        self.start += buffered;
        while bytes.len() < length {
            self.notify_all();
            let rest = length - bytes.len();
            let mut limited = (&mut self.socket).take(rest as u64);
            if limited.read_buf(&mut bytes).await? == 0 {
                return Err(cut_off());
            }
        }
        Ok(bytes)
    }

    async fn skip(&mut self, mut length: usize) -> io::Result<()> {
        loop {
            let buffered = length.min(self.end - self.start);
            self.start += buffered;
            length -= buffered;
            if length == 0 {
                return Ok(());
            }
            if !self.fill().await? {
                return Err(cut_off());
            }
        }
    }

    /// Reads more into the buffer. Returns false at the end of the stream.
    async fn fill(&mut self) -> io::Result<bool> {
        self.notify_all();
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let read = self.socket.read(&mut self.buffer[self.end..]).await?;
        self.end += read;
        Ok(read > 0)
    }
}

fn cut_off() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the peer closed it in the middle of a frame",
    )
}
