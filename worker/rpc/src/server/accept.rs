//! Lets connections in: only those that begin as HTTP/2 does, and soon, and not too many. Whoever
//! says nothing, or something else, costs a file descriptor for a short time and nothing more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// What every HTTP/2 client sends first.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long to wait for the rest of it, and after a failed accept.
const PREFACE_PAUSE: Duration = Duration::from_millis(10);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connection that counts as long as it is there.
pub(super) struct Admitted {
    stream: TcpStream,
    _permit: OwnedSemaphorePermit,
}

/// Accepts until nobody takes the connections any more. Beyond `connections_max`, callers wait in
/// the kernel's queue.
pub(super) async fn accept(
    listener: TcpListener,
    admitted: mpsc::Sender<io::Result<Admitted>>,
    preface_timeout: Duration,
    connections_max: usize,
) {
    let places = Arc::new(Semaphore::new(connections_max));
    loop {
        let Ok(permit) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = admitted.closed() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, for one: others may free some.
                tracing::warn!(%error, "accept a connection of a TaskManager");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let admitted = admitted.clone();
        tokio::spawn(async move {
            if timeout(preface_timeout, is_http2(&stream)).await != Ok(true) {
                return;
            }
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection was lost at once");
                return;
            }
            let connection = Admitted {
                stream,
                _permit: permit,
            };
            // The server may have stopped meanwhile.
            drop(admitted.send(Ok(connection)).await);
        });
    }
}

/// Looks at the first bytes without taking them.
async fn is_http2(stream: &TcpStream) -> bool {
    let mut first = [0; PREFACE.len()];
    loop {
        match stream.peek(&mut first).await {
            Ok(len) if len > 0 && first[..len] == PREFACE[..len] => {
                if len == PREFACE.len() {
                    return true;
                }
                sleep(PREFACE_PAUSE).await;
            }
            _ => return false,
        }
    }
}

impl Connected for Admitted {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Admitted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Admitted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
