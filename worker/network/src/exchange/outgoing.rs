//! What a connection has to write, between the threads that have something to say and the one
//! writer.
//!
//! Frames are bounded by what they need: data by the credit of its channel, credit by the data
//! that came before, and watermarks by a count, at which their producers wait
//! ([`Outgoing::is_congested`]). Requests, credit and errors are urgent and overtake data.

use std::collections::VecDeque;
use std::sync::Mutex;

use tokio::sync::Notify;

use super::frame::BODY_MAX;
use crate::ChannelError;
use crate::signal::lock;

/// With so many frames waiting for the writer, watermarks wait as well.
const FRAMES_MAX: usize = 1 << 16;
/// What the writer takes at once. Frames that come while it writes, also urgent ones, wait so long.
const BATCH_FRAMES: usize = 64;
const BATCH_BYTES: usize = 256 << 10;
/// Used buffers that are kept, and how large they may be.
const BUFFERS_KEPT: usize = 32;
const BUFFER_BYTES_KEPT: usize = 256 << 10;

#[derive(Default)]
pub(crate) struct Outgoing {
    frames: Mutex<Frames>,
    /// Wakes the writer.
    writable: Notify,
    /// Buffers that were written and can be filled again.
    buffers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default)]
struct Frames {
    urgent: VecDeque<Vec<u8>>,
    /// Data and controls of all channels, in the order in which they were sent.
    stream: VecDeque<Vec<u8>>,
    /// Close the socket when all is written.
    finishing: bool,
    closed: Option<ChannelError>,
}

/// What the writer is to do.
pub(crate) enum Batch {
    /// Write the frames.
    Write,
    /// Wait for more.
    Wait,
    /// Everything is written: close the socket.
    Finish,
    /// The connection is broken.
    Stop,
}

impl Outgoing {
    /// Appends a frame to the stream of data and controls.
    pub(crate) fn send(&self, frame: Vec<u8>) -> Result<(), ChannelError> {
        self.put(|frames| frames.stream.push_back(frame))
    }

    /// Puts a frame before the stream. On a broken connection it goes nowhere, as everything that
    /// it could be about is broken too.
    pub(crate) fn send_urgent(&self, frame: Vec<u8>) {
        drop(self.put(|frames| frames.urgent.push_back(frame)));
    }

    fn put(&self, push: impl FnOnce(&mut Frames)) -> Result<(), ChannelError> {
        let mut frames = lock(&self.frames);
        if let Some(cause) = &frames.closed {
            return Err(cause.clone());
        }
        let idle = frames.urgent.is_empty() && frames.stream.is_empty();
        push(&mut frames);
        drop(frames);
        if idle {
            self.writable.notify_one();
        }
        Ok(())
    }

    /// Whether so many frames wait for the writer that even watermarks have to wait.
    pub(crate) fn is_congested(&self) -> bool {
        lock(&self.frames).stream.len() >= FRAMES_MAX
    }

    pub(crate) fn is_open(&self) -> bool {
        let frames = lock(&self.frames);
        frames.closed.is_none() && !frames.finishing
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.frames).closed.is_some()
    }

    /// Closes the socket once everything is written.
    pub(crate) fn finish(&self) {
        lock(&self.frames).finishing = true;
        self.writable.notify_one();
    }

    /// Closes the socket once what is urgent is written.
    pub(crate) fn finish_urgently(&self) {
        let stream = std::mem::take(&mut lock(&self.frames).stream);
        drop(stream);
        self.finish();
    }

    /// Nothing goes out any more. Returns false if that was so before.
    pub(crate) fn close(&self, cause: ChannelError) -> bool {
        let mut frames = lock(&self.frames);
        if frames.closed.is_some() {
            return false;
        }
        let before = std::mem::replace(
            &mut *frames,
            Frames {
                closed: Some(cause),
                ..Frames::default()
            },
        );
        drop(frames);
        drop(before);
        self.writable.notify_one();
        true
    }

    /// Moves what is to be written next to `batch`, which is empty.
    pub(crate) fn take(&self, batch: &mut Vec<Vec<u8>>) -> Batch {
        let mut frames = lock(&self.frames);
        if frames.closed.is_some() {
            return Batch::Stop;
        }
        let mut bytes = 0;
        while bytes < BATCH_BYTES && batch.len() < BATCH_FRAMES {
            let urgent = frames.urgent.pop_front();
            let Some(frame) = urgent.or_else(|| frames.stream.pop_front()) else {
                break;
            };
            bytes += frame.len();
            batch.push(frame);
        }
        match (batch.is_empty(), frames.finishing) {
            (false, _) => Batch::Write,
            (true, false) => Batch::Wait,
            (true, true) => Batch::Finish,
        }
    }

    /// Waits until there may be something to write.
    pub(crate) async fn wait(&self) {
        self.writable.notified().await;
    }

    /// A buffer for a frame, perhaps a used one.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        lock(&self.buffers).pop().unwrap_or_default()
    }

    /// Takes buffers back that were written.
    pub(crate) fn recycle(&self, batch: &mut Vec<Vec<u8>>) {
        let mut buffers = lock(&self.buffers);
        while buffers.len() < BUFFERS_KEPT
            && let Some(buffer) = batch.pop()
        {
            // Small ones are controls, which are not made from used buffers.
            if (BODY_MAX..=BUFFER_BYTES_KEPT).contains(&buffer.capacity()) {
                buffers.push(buffer);
            }
        }
        drop(buffers);
        batch.clear();
    }
}
