//! What flows between subtasks: chunks of records and, in order with them, control elements.

use std::any::Any;
use std::sync::Arc;

use weir_types::{CheckpointBarrier, Watermark};

/// Rows of one type, moved as a whole. The type is erased once per chunk: an operator gets its
/// rows back with [`Chunk::into_any`].
pub trait Chunk: Any + Send {
    /// How many rows there are.
    fn rows(&self) -> usize;

    /// About how much memory the rows take. Flow control counts with it.
    fn bytes(&self) -> usize;

    /// A copy, for an output that goes to several consumers.
    fn clone_chunk(&self) -> Box<dyn Chunk>;

    /// Keeps the first `rows` rows and gives those after them; `None` if a chunk of this type is
    /// only handled as a whole.
    fn split_off(&mut self, rows: usize) -> Option<Box<dyn Chunk>> {
        let _handled_as_a_whole = rows;
        None
    }

    /// For downcasting by value.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;

    /// For downcasting by reference.
    fn as_any(&self) -> &dyn Any;
}

/// Turns chunks of one type into bytes and back, for channels that cross processes.
pub trait ChunkCodec: Send + Sync {
    /// Appends the chunk's encoding to `out`.
    fn encode(&self, chunk: &dyn Chunk, out: &mut Vec<u8>) -> Result<(), CodecError>;

    /// The same for a chunk that is of use only if `out` does not become longer than `limit`: as
    /// soon as it is longer, the rest may be left out.
    fn encode_within(
        &self,
        chunk: &dyn Chunk,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), CodecError> {
        let _written_to_its_end = limit;
        self.encode(chunk, out)
    }

    /// Reads one whole chunk. Must not panic or allocate beyond a small multiple of the input,
    /// whatever the bytes are.
    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Chunk>, CodecError>;

    /// What the chunks hold, for errors.
    fn type_name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// Shared by all channels of an edge.
pub type SharedCodec = Arc<dyn ChunkCodec>;

/// A chunk that cannot be written as bytes, or bytes that are no chunk.
#[derive(Debug, thiserror::Error)]
#[error("{action} a chunk of `{type_name}`: {cause}")]
pub struct CodecError {
    /// `encode` or `decode`.
    pub action: &'static str,
    /// The row type.
    pub type_name: &'static str,
    /// What went wrong.
    pub cause: String,
}

/// One element of a stream. Barriers, watermarks and the ends of data and input need no credit, and
/// keep their place among the chunks.
pub enum Element {
    /// Records.
    Chunk(Box<dyn Chunk>),
    /// No record at or before this time is still to come on this channel.
    Watermark(Watermark),
    /// What lies before it belongs to the checkpoint.
    Barrier(CheckpointBarrier),
    /// The channel takes no part in the watermark until it is active again.
    Idle,
    /// The channel takes part again.
    Active,
    /// No record and no watermark follows, but barriers may: the producer has come to the end of
    /// its input and waits for the job's last checkpoint. Only jobs with checkpoints send it.
    EndOfData,
    /// Nothing follows.
    EndOfInput,
}

impl Element {
    /// The control it is, if it is no chunk.
    pub fn control(&self) -> Option<Control> {
        Some(match self {
            Self::Chunk(_) => return None,
            Self::Watermark(watermark) => Control::Watermark(*watermark),
            Self::Barrier(barrier) => Control::Barrier(*barrier),
            Self::Idle => Control::Idle,
            Self::Active => Control::Active,
            Self::EndOfData => Control::EndOfData,
            Self::EndOfInput => Control::EndOfInput,
        })
    }
}

impl std::fmt::Debug for Element {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Chunk(chunk) => write!(f, "Chunk({} rows)", chunk.rows()),
            Self::Watermark(watermark) => write!(f, "Watermark({watermark})"),
            Self::Barrier(barrier) => write!(f, "Barrier({})", barrier.id),
            Self::Idle => f.write_str("Idle"),
            Self::Active => f.write_str("Active"),
            Self::EndOfData => f.write_str("EndOfData"),
            Self::EndOfInput => f.write_str("EndOfInput"),
        }
    }
}

/// The elements that are no records: small, and the same on every channel they are put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// See [`Element::Watermark`].
    Watermark(Watermark),
    /// See [`Element::Barrier`].
    Barrier(CheckpointBarrier),
    /// See [`Element::Idle`].
    Idle,
    /// See [`Element::Active`].
    Active,
    /// See [`Element::EndOfData`].
    EndOfData,
    /// See [`Element::EndOfInput`].
    EndOfInput,
}

impl From<Control> for Element {
    fn from(control: Control) -> Self {
        match control {
            Control::Watermark(watermark) => Self::Watermark(watermark),
            Control::Barrier(barrier) => Self::Barrier(barrier),
            Control::Idle => Self::Idle,
            Control::Active => Self::Active,
            Control::EndOfData => Self::EndOfData,
            Control::EndOfInput => Self::EndOfInput,
        }
    }
}
