//! `Batch<T>`: typed rows with their event times, and its encoding between processes.
//!
//! Encoding: `rows: u32 LE`, `flags: u8` (bit 0: has timestamps), the timestamps as `i64 LE`,
//! then each row in postcard. It is a wire format between processes of one job run, which run the
//! same executable; nothing on disk is written with it.

use std::any::{Any, type_name};
use std::marker::PhantomData;

use weir_network::{Chunk, ChunkCodec, CodecError};
use weir_types::EventTime;

use crate::Data;

/// How many rows a chunk aims at.
pub const CHUNK_ROWS: usize = 1024;

/// How many bytes a source aims at for one chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;

const HAS_TIMESTAMPS: u8 = 1;
const HEADER: usize = 5;

/// Rows of one type. Either every row has an event time or none has.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch<T> {
    rows: Vec<T>,
    timestamps: Vec<EventTime>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            timestamps: Vec::new(),
        }
    }
}

impl<T: Data> Batch<T> {
    /// Rows without event times.
    pub fn new(rows: Vec<T>) -> Self {
        Self {
            rows,
            timestamps: Vec::new(),
        }
    }

    /// Rows with their event times; `timestamps` is empty or as long as `rows`.
    pub fn with_timestamps(rows: Vec<T>, timestamps: Vec<EventTime>) -> Self {
        assert!(timestamps.is_empty() || timestamps.len() == rows.len());
        Self { rows, timestamps }
    }

    /// The rows.
    pub fn rows(&self) -> &[T] {
        &self.rows
    }

    /// The rows' event times; empty if they have none.
    pub fn timestamps(&self) -> &[EventTime] {
        &self.timestamps
    }

    /// The event time of one row.
    #[inline]
    pub fn timestamp(&self, row: usize) -> Option<EventTime> {
        self.timestamps.get(row).copied()
    }

    /// Whether the rows have event times.
    pub fn has_timestamps(&self) -> bool {
        !self.timestamps.is_empty()
    }

    /// Takes the batch apart.
    pub fn into_parts(self) -> (Vec<T>, Vec<EventTime>) {
        (self.rows, self.timestamps)
    }

    /// The batch inside a chunk. A chunk of another type here is a fault of the graph
    /// translation, so the message names both types.
    pub fn from_chunk(chunk: Box<dyn Chunk>) -> Self {
        match chunk.into_any().downcast::<Self>() {
            Ok(batch) => *batch,
            Err(_) => unreachable!("an edge carries chunks of `{}` only", type_name::<T>()),
        }
    }
}

impl<T: Data> Chunk for Batch<T> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn bytes(&self) -> usize {
        let inline =
            self.rows.len() * size_of::<T>() + self.timestamps.len() * size_of::<EventTime>();
        if std::mem::needs_drop::<T>() {
            inline + heap_estimate(&self.rows)
        } else {
            inline
        }
    }

    fn clone_chunk(&self) -> Box<dyn Chunk> {
        Box::new(self.clone())
    }

    fn split_off(&mut self, rows: usize) -> Option<Box<dyn Chunk>> {
        let at = rows.min(self.rows.len());
        Some(Box::new(Self {
            rows: self.rows.split_off(at),
            timestamps: self.timestamps.split_off(at.min(self.timestamps.len())),
        }))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// About how many bytes the rows hold on the heap: the encoded size beyond the inline size of up
/// to 64 rows, spread evenly over the batch.
fn heap_estimate<T: Data>(rows: &[T]) -> usize {
    const SAMPLES: usize = 64;
    if rows.is_empty() {
        return 0;
    }
    let step = rows.len().div_ceil(SAMPLES);
    let (mut sampled, mut beyond) = (0, 0);
    for row in rows.iter().step_by(step) {
        let encoded = postcard::experimental::serialized_size(row).unwrap_or(0);
        beyond += encoded.saturating_sub(size_of::<T>());
        sampled += 1;
    }
    beyond * rows.len() / sampled
}

/// The codec of `Batch<T>`.
pub struct BatchCodec<T>(PhantomData<fn() -> T>);

impl<T> Default for BatchCodec<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Data> BatchCodec<T> {
    fn error(action: &'static str, cause: impl ToString) -> CodecError {
        CodecError {
            action,
            type_name: type_name::<T>(),
            cause: cause.to_string(),
        }
    }

    fn timestamps(rows: usize, bytes: &[u8]) -> Result<(Vec<EventTime>, &[u8]), CodecError> {
        let length = rows.saturating_mul(8);
        let Some((times, rest)) = bytes.split_at_checked(length) else {
            return Err(Self::error("decode", "the timestamps are cut short"));
        };
        let times = times.chunks_exact(8).map(|le| {
            let mut word = [0; 8];
            word.copy_from_slice(le);
            EventTime(i64::from_le_bytes(word))
        });
        Ok((times.collect(), rest))
    }
}

/// Writes to the end of a vector that is already there; texts and bytes at once.
struct Appended<'a>(&'a mut Vec<u8>);

impl postcard::ser_flavors::Flavor for Appended<'_> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

impl<T: Data> ChunkCodec for BatchCodec<T> {
    fn encode(&self, chunk: &dyn Chunk, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.encode_within(chunk, out, usize::MAX)
    }

    fn encode_within(
        &self,
        chunk: &dyn Chunk,
        out: &mut Vec<u8>,
        limit: usize,
    ) -> Result<(), CodecError> {
        let Some(batch) = chunk.as_any().downcast_ref::<Batch<T>>() else {
            return Err(Self::error("encode", "the chunk holds another type"));
        };
        let rows = u32::try_from(batch.rows.len())
            .map_err(|_| Self::error("encode", "more than 2^32 rows"))?;
        out.extend_from_slice(&rows.to_le_bytes());
        out.push(if batch.has_timestamps() {
            HAS_TIMESTAMPS
        } else {
            0
        });
        for time in &batch.timestamps {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        for row in &batch.rows {
            if out.len() > limit {
                break;
            }
            postcard::serialize_with_flavor(row, Appended(out))
                .map_err(|error| Self::error("encode", error))?;
        }
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Box<dyn Chunk>, CodecError> {
        let Some((header, mut rest)) = bytes.split_at_checked(HEADER) else {
            return Err(Self::error("decode", "the header is cut short"));
        };
        let count = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let mut timestamps = Vec::new();
        if header[4] & HAS_TIMESTAMPS != 0 {
            (timestamps, rest) = Self::timestamps(count, rest)?;
        }
        // A row of a zero-sized type takes no bytes, so the count alone must not size the buffer.
        let mut rows = Vec::with_capacity(count.min(rest.len().max(CHUNK_ROWS)));
        for _ in 0..count {
            let (row, after) = postcard::take_from_bytes::<T>(rest)
                .map_err(|error| Self::error("decode", error))?;
            rows.push(row);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(Self::error(
                "decode",
                format!("{} bytes are left over", rest.len()),
            ));
        }
        Ok(Box::new(Batch { rows, timestamps }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Row = (String, u64, Option<Vec<i32>>);

    fn round_trip<T: Data + PartialEq + std::fmt::Debug>(batch: Batch<T>) {
        let codec = BatchCodec::<T>::default();
        let mut bytes = vec![7];
        codec.encode(&batch, &mut bytes).expect("encodes");
        let back = Batch::<T>::from_chunk(codec.decode(&bytes[1..]).expect("decodes"));
        assert_eq!(back, batch);
    }

    proptest! {
        #[test]
        fn a_batch_reads_back_what_was_written(rows: Vec<Row>, timed: bool) {
            let timestamps =
                if timed { (0..).map(EventTime).take(rows.len()).collect() } else { Vec::new() };
            round_trip(Batch::with_timestamps(rows, timestamps));
        }

        #[test]
        fn bytes_that_are_no_batch_give_an_error_and_no_panic(bytes: Vec<u8>) {
            drop(BatchCodec::<Row>::default().decode(&bytes));
        }

        #[test]
        fn a_batch_cut_short_is_refused(rows in prop::collection::vec(any::<Row>(), 1..20), cut: prop::sample::Index) {
            let codec = BatchCodec::<Row>::default();
            let mut bytes = Vec::new();
            codec.encode(&Batch::new(rows), &mut bytes).expect("encodes");
            bytes.truncate(cut.index(bytes.len()));
            prop_assert!(codec.decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_batch_is_not_encoded_much_beyond_the_limit() {
        let codec = BatchCodec::<String>::default();
        let batch = Batch::new(vec!["x".repeat(998); 100]);
        let encoded = |limit| {
            let mut bytes = Vec::new();
            let done = codec.encode_within(&batch, &mut bytes, limit);
            done.expect("encodes");
            bytes.len()
        };
        assert_eq!(encoded(10_000), HEADER + 10_000);
        assert_eq!(encoded(10_005), HEADER + 11_000);
        let whole = HEADER + 100_000;
        assert_eq!([whole, usize::MAX].map(encoded), [whole, whole]);
    }

    #[test]
    fn a_batch_split_off_takes_its_event_times_along() {
        let times = (0..5).map(EventTime).collect();
        let mut first = Batch::with_timestamps(vec![0, 1, 2, 3, 4_u64], times);
        let rest = Batch::<u64>::from_chunk(first.split_off(2).expect("rows after the second"));
        assert_eq!(first.into_parts().1, [EventTime(0), EventTime(1)]);
        assert_eq!(rest.rows(), [2, 3, 4]);
        assert_eq!(rest.timestamp(0), Some(EventTime(2)));
        let mut plain = Batch::new(vec![7, 8_u64]);
        assert_eq!(plain.split_off(9).expect("none").rows(), 0);
        assert_eq!(plain.rows(), [7, 8]);
    }

    #[test]
    fn rows_on_the_heap_count_in_the_size() {
        let wide = Batch::new(vec!["x".repeat(10_000); 100]);
        assert!(wide.bytes() > 900_000, "{}", wide.bytes());
        let flat = Batch::new(vec![1u64; 100]);
        assert_eq!(flat.bytes(), 800);
    }
}
