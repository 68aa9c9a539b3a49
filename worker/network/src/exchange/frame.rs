//! The frames of a data connection, as pure functions over bytes.
//!
//! ```text
//! 0       4      5         9
//! ┌───────┬──────┬─────────┬──────────────┐
//! │ length│ kind │ channel │ body …       │   integers in little-endian order;
//! └───────┴──────┴─────────┴──────────────┘   length counts what follows it
//!
//! from the consumer's side               from the producer's side
//!   1 open    attempt, partition, window   2 data      more?, part of a chunk
//!   8 credit  bytes                        3 watermark time
//!  10 close   cause                        4 barrier   epoch, number, time, kind
//!                                          5 idle  6 active
//!                                          7 end of input  11 end of data
//!                                          9 error     what, numbers, cause
//! ```
//!
//! The consumer numbers its channels, so the kind of a frame says whose number it carries. A
//! number is never used twice on a connection: a frame that comes late for an earlier attempt
//! finds no channel. The attempts themselves are only sent once, in `open`.
//!
//! Nothing here trusts a length: the header is checked against the cap before anything is read,
//! and a body is read into a buffer that has room for what came, not for what was announced.

use std::time::Duration;

use weir_types::{
    AttemptNumber, BarrierKind, CheckpointBarrier, CheckpointId, Epoch, EventTime,
    ExecutionAttemptId, SubtaskIndex, VertexId, Watermark,
};

use crate::{ChannelError, Control, EdgeId, PartitionId};

/// Length, kind and channel.
pub(crate) const HEADER: usize = 9;
/// What stands before a chunk's bytes: the header and the more-flag.
pub(crate) const DATA_HEADER: usize = HEADER + 1;
/// The longest body of a frame that is not data.
pub(crate) const BODY_MAX: usize = 4 << 10;
/// The longest text in a frame.
const TEXT_MAX: usize = BODY_MAX - 64;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open = 1,
    Data = 2,
    Watermark = 3,
    Barrier = 4,
    Idle = 5,
    Active = 6,
    EndOfInput = 7,
    Credit = 8,
    Error = 9,
    Close = 10,
    EndOfData = 11,
}

/// What comes before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: Kind,
    pub(crate) channel: u32,
    /// The length of the body.
    pub(crate) body: usize,
}

/// A request for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) consumer: ExecutionAttemptId,
    pub(crate) partition: PartitionId,
    /// The first credit.
    pub(crate) window: u32,
    /// The most that one data frame may hold of a chunk.
    pub(crate) fragment: u32,
}

/// A frame that is not data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Open(Open),
    Control(Control),
    Credit(u32),
    Error(ChannelError),
    Close(String),
}

/// Bytes that are no frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a frame of {length} bytes is over the limit of {limit} bytes (`frame_bytes_max`)")]
    TooLong { length: usize, limit: usize },
    #[error("a frame of {0} bytes is too short for its header")]
    TooShort(usize),
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    #[error("a malformed {0:?} frame")]
    Malformed(Kind),
}

/// Reads a header. `frame_bytes_max` is the limit for data; other frames are short.
pub(crate) fn parse_header(
    bytes: [u8; HEADER],
    frame_bytes_max: usize,
) -> Result<Header, FrameError> {
    let [l0, l1, l2, l3, kind, c0, c1, c2, c3] = bytes;
    let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
    let channel = u32::from_le_bytes([c0, c1, c2, c3]);
    let kind = match kind {
        1 => Kind::Open,
        2 => Kind::Data,
        3 => Kind::Watermark,
        4 => Kind::Barrier,
        5 => Kind::Idle,
        6 => Kind::Active,
        7 => Kind::EndOfInput,
        8 => Kind::Credit,
        9 => Kind::Error,
        10 => Kind::Close,
        11 => Kind::EndOfData,
        unknown => return Err(FrameError::UnknownKind(unknown)),
    };
    let least = HEADER - 4 + usize::from(kind == Kind::Data);
    if length < least {
        return Err(FrameError::TooShort(length));
    }
    let limit = if kind == Kind::Data {
        frame_bytes_max
    } else {
        BODY_MAX
    };
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    Ok(Header {
        kind,
        channel,
        body: length - (HEADER - 4),
    })
}

/// Reads the body of a frame that is not data.
pub(crate) fn parse_body(kind: Kind, body: &[u8]) -> Result<Frame, FrameError> {
    let mut input = Input(body);
    let frame = match kind {
        Kind::Data => None,
        Kind::Open => input.open().map(Frame::Open),
        Kind::Watermark => input
            .i64()
            .map(|time| Frame::Control(Control::Watermark(Watermark(EventTime(time))))),
        Kind::Barrier => input
            .barrier()
            .map(|barrier| Frame::Control(Control::Barrier(barrier))),
        Kind::Idle => Some(Frame::Control(Control::Idle)),
        Kind::Active => Some(Frame::Control(Control::Active)),
        Kind::EndOfData => Some(Frame::Control(Control::EndOfData)),
        Kind::EndOfInput => Some(Frame::Control(Control::EndOfInput)),
        Kind::Credit => input.u32().map(Frame::Credit),
        Kind::Error => input.error().map(Frame::Error),
        Kind::Close => input.text().map(Frame::Close),
    };
    match frame {
        Some(frame) if input.0.is_empty() => Ok(frame),
        _ => Err(FrameError::Malformed(kind)),
    }
}

/// The bytes of a frame that is not data.
pub(crate) fn encode(channel: u32, frame: &Frame) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    let kind = match frame {
        Frame::Open(open) => {
            put_attempt(&mut out, &open.consumer);
            put_attempt(&mut out, &open.partition.producer);
            out.extend_from_slice(&open.partition.edge.0.to_le_bytes());
            out.extend_from_slice(&open.partition.subpartition.to_le_bytes());
            out.extend_from_slice(&open.window.to_le_bytes());
            out.extend_from_slice(&open.fragment.to_le_bytes());
            Kind::Open
        }
        Frame::Control(Control::Watermark(watermark)) => {
            out.extend_from_slice(&watermark.0.0.to_le_bytes());
            Kind::Watermark
        }
        Frame::Control(Control::Barrier(barrier)) => {
            out.extend_from_slice(&barrier.epoch.0.to_le_bytes());
            out.extend_from_slice(&barrier.id.0.to_le_bytes());
            out.extend_from_slice(&barrier.triggered_at_ms.to_le_bytes());
            out.push(match barrier.kind {
                BarrierKind::Checkpoint => 0,
                BarrierKind::Savepoint => 1,
            });
            Kind::Barrier
        }
        Frame::Control(Control::Idle) => Kind::Idle,
        Frame::Control(Control::Active) => Kind::Active,
        Frame::Control(Control::EndOfData) => Kind::EndOfData,
        Frame::Control(Control::EndOfInput) => Kind::EndOfInput,
        Frame::Credit(bytes) => {
            out.extend_from_slice(&bytes.to_le_bytes());
            Kind::Credit
        }
        Frame::Error(error) => {
            put_error(&mut out, error);
            Kind::Error
        }
        Frame::Close(cause) => {
            put_text(&mut out, cause);
            Kind::Close
        }
    };
    finish(&mut out, kind, channel);
    out
}

/// Leaves room for the header of a data frame; the chunk's bytes are appended after it.
pub(crate) fn begin_data(out: &mut Vec<u8>) {
    out.clear();
    out.resize(DATA_HEADER, 0);
}

/// Fills in the header of a data frame whose bytes are complete.
pub(crate) fn finish_data(out: &mut [u8], channel: u32, more: bool) {
    out[HEADER] = u8::from(more);
    finish(out, Kind::Data, channel);
}

fn finish(out: &mut [u8], kind: Kind, channel: u32) {
    let length = u32::try_from(out.len() - 4).expect("a frame is shorter than its 32-bit cap");
    out[..4].copy_from_slice(&length.to_le_bytes());
    out[4] = kind as u8;
    out[5..HEADER].copy_from_slice(&channel.to_le_bytes());
}

fn put_attempt(out: &mut Vec<u8>, attempt: &ExecutionAttemptId) {
    out.extend_from_slice(&attempt.epoch.0.to_le_bytes());
    out.extend_from_slice(&attempt.vertex.0.to_le_bytes());
    out.extend_from_slice(&attempt.subtask.0.to_le_bytes());
    out.extend_from_slice(&attempt.attempt.0.to_le_bytes());
}

/// Only what a producer's side can say about a channel; the rest is passed on as a text.
fn put_error(out: &mut Vec<u8>, error: &ChannelError) {
    let (code, a, b, text) = match error {
        ChannelError::PartitionNotFound { waited } => (
            1,
            u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            0,
            String::new(),
        ),
        ChannelError::AlreadyConsumed => (2, 0, 0, String::new()),
        ChannelError::Stale { theirs, ours } => (3, *theirs, *ours, String::new()),
        ChannelError::ProducerGone { cause } => (0, 0, 0, cause.clone()),
        other => (0, 0, 0, other.to_string()),
    };
    out.push(code);
    out.extend_from_slice(&u64::to_le_bytes(a));
    out.extend_from_slice(&u64::to_le_bytes(b));
    put_text(out, &text);
}

/// The rest of the frame is the text. A long one is cut.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// What is left of a body.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn attempt(&mut self) -> Option<ExecutionAttemptId> {
        Some(ExecutionAttemptId {
            epoch: Epoch(self.u64()?),
            vertex: VertexId(u128::from_le_bytes(self.take()?)),
            subtask: SubtaskIndex(self.u32()?),
            attempt: AttemptNumber(self.u32()?),
        })
    }

    fn open(&mut self) -> Option<Open> {
        let consumer = self.attempt()?;
        let producer = self.attempt()?;
        let edge = EdgeId(self.u32()?);
        let partition = PartitionId {
            producer,
            edge,
            subpartition: self.u32()?,
        };
        Some(Open {
            consumer,
            partition,
            window: self.u32()?,
            fragment: self.u32()?,
        })
    }

    fn barrier(&mut self) -> Option<CheckpointBarrier> {
        Some(CheckpointBarrier {
            epoch: Epoch(self.u64()?),
            id: CheckpointId(self.u64()?),
            triggered_at_ms: self.i64()?,
            kind: match self.take()? {
                [0] => BarrierKind::Checkpoint,
                [1] => BarrierKind::Savepoint,
                _ => return None,
            },
        })
    }

    fn error(&mut self) -> Option<ChannelError> {
        let [code] = self.take()?;
        let (a, b) = (self.u64()?, self.u64()?);
        let cause = self.text()?;
        // What an error has no use for is zero or empty, as it was written.
        Some(match (code, a, b, cause.as_str()) {
            (0, 0, 0, _) => ChannelError::ProducerGone { cause },
            (1, _, 0, "") => ChannelError::PartitionNotFound {
                waited: Duration::from_millis(a),
            },
            (2, 0, 0, "") => ChannelError::AlreadyConsumed,
            (3, _, _, "") => ChannelError::Stale { theirs: a, ours: b },
            _ => return None,
        })
    }

    fn text(&mut self) -> Option<String> {
        let text = std::str::from_utf8(std::mem::take(&mut self.0)).ok()?;
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests;
