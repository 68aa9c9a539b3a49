//! Writes a data connection's outgoing frames, as many per system call as there are.

use std::io::{self, IoSlice};

use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::outgoing::{Batch, Outgoing};

/// Writes until the connection is broken, or finished and everything is written.
pub(crate) async fn write_frames<W: AsyncWrite + Unpin>(
    outgoing: &Outgoing,
    mut socket: W,
) -> io::Result<()> {
    let mut batch = Vec::new();
    loop {
        match outgoing.take(&mut batch) {
            Batch::Write => {
                write_all(&mut socket, &batch).await?;
                outgoing.recycle(&mut batch);
            }
            Batch::Wait => outgoing.wait().await,
            Batch::Finish => return socket.shutdown().await,
            Batch::Stop => return Ok(()),
        }
    }
}

async fn write_all<W: AsyncWrite + Unpin>(socket: &mut W, batch: &[Vec<u8>]) -> io::Result<()> {
    let mut slices: Vec<_> = batch.iter().map(|frame| IoSlice::new(frame)).collect();
    let mut rest = &mut slices[..];
    while !rest.is_empty() {
        let written = socket.write_vectored(rest).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    Ok(())
}
