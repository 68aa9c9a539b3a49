//! Reads a file of keyed state by ranges.

use std::convert::Infallible;
use std::ops::Range;

use weir_state::{GroupBlock, KeyedSnapshot, StateMeta, StateSnapshot};
use weir_types::{CheckpointId, KeyGroup, KeyGroupRange, hash_bytes};

use super::Compression;
use super::index::{Index, Placed, V1};
use crate::envelope::EnvelopeError;

/// What is read first, in the hope that the index is in it. A file that is no longer is read whole
/// by that.
const FIRST_READ: u64 = 64 * 1024;

/// The most bytes that one read asks for, unless a single block has more: what is read is copied
/// out of it, and memory should not hold all of it twice.
const READ_MAX: u64 = 16 * 1024 * 1024;

/// A block of so many bytes is read alone: it need not be copied, and asking once more costs less.
const ALONE: u64 = 2 * 1024 * 1024;

/// A file of keyed state that cannot be read. `E` is what reading bytes can end with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyedFileError<E: std::error::Error + 'static> {
    /// The store did not give the bytes.
    #[error("read bytes {}..{} of a file of keyed state", range.start, range.end)]
    Read {
        /// Which ones.
        range: Range<u64>,
        /// Why.
        source: E,
    },
    /// It gave fewer or more than it was asked for.
    #[error(
        "read bytes {}..{} of a file of keyed state: {found} bytes came",
        range.start,
        range.end
    )]
    ShortRead {
        /// Which ones.
        range: Range<u64>,
        /// How many came.
        found: u64,
    },
    /// The index is not what was written.
    #[error("read the index of a file of keyed state")]
    Envelope(#[source] EnvelopeError),
    /// The checksum is right, but it is no index.
    #[error("read the index of a file of keyed state: {0}")]
    Index(String),
    /// The file has another size than its index says.
    #[error(
        "read a file of keyed state: it has {found} bytes and should have {expected}: \
         it is cut off or has grown"
    )]
    Size {
        /// What the index says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// A block is not what was written.
    #[error("read key group {group} of state `{state}`: {cause}")]
    Block {
        /// The state.
        state: String,
        /// The key group.
        group: KeyGroup,
        /// What is wrong.
        cause: String,
    },
    /// A key group that the file does not cover.
    #[error("read key groups {wanted} of a file of keyed state: it covers {covered}")]
    Range {
        /// What was asked for.
        wanted: KeyGroupRange,
        /// What it has.
        covered: KeyGroupRange,
    },
}

/// Reads the bytes of a range; both the file's [`Reader`] and its store live elsewhere.
pub type ReadRange<'a, E> = dyn FnMut(Range<u64>) -> Result<Vec<u8>, E> + 'a;

/// What is in a file, and where: its index is read, and nothing else of it is kept. So the key
/// groups may come from another place than the index did.
#[derive(Clone, Debug)]
pub struct Contents {
    index: Index,
    blocks: Vec<Placed>,
}

/// An open file.
pub struct Reader<'a, E> {
    read: &'a mut ReadRange<'a, E>,
    /// What the first read gave.
    front: Vec<u8>,
    contents: Contents,
}

impl<'a, E: std::error::Error + 'static> Reader<'a, E> {
    /// Reads the index of a file of `size` bytes.
    pub fn open(read: &'a mut ReadRange<'a, E>, size: u64) -> Result<Self, KeyedFileError<E>> {
        let (contents, front) = Contents::read_front(read, size)?;
        Ok(Self {
            read,
            front,
            contents,
        })
    }

    /// The checkpoint that it was written for.
    pub fn checkpoint(&self) -> CheckpointId {
        self.contents.index.checkpoint
    }

    /// The file that it continues.
    pub fn base(&self) -> Option<CheckpointId> {
        self.contents.base()
    }

    /// The key groups that it covers.
    pub fn range(&self) -> KeyGroupRange {
        self.contents.index.range
    }

    /// How its blocks lie in it: compressed if one of them is.
    pub fn compression(&self) -> Compression {
        let mut blocks = self.contents.blocks.iter();
        match blocks.any(|block| block.entry.plain_len.is_some()) {
            true => Compression::Lz4,
            false => Compression::None,
        }
    }

    /// The states in it.
    pub fn states(&self) -> impl Iterator<Item = &StateMeta> {
        self.contents.states()
    }

    /// Reads some of its key groups. The snapshot's range is the one that was asked for.
    pub fn read_groups(
        &mut self,
        wanted: KeyGroupRange,
    ) -> Result<KeyedSnapshot, KeyedFileError<E>> {
        self.contents.groups(&self.front, self.read, wanted)
    }
}

impl Contents {
    /// Reads the index of a file of `size` bytes.
    pub fn read<E: std::error::Error + 'static>(
        read: &mut ReadRange<'_, E>,
        size: u64,
    ) -> Result<Self, KeyedFileError<E>> {
        Self::read_front(read, size).map(|(contents, _)| contents)
    }

    /// The index and what else was read with it.
    fn read_front<E: std::error::Error + 'static>(
        read: &mut ReadRange<'_, E>,
        size: u64,
    ) -> Result<(Self, Vec<u8>), KeyedFileError<E>> {
        let mut front = read_exactly(read, 0..size.min(FIRST_READ))?;
        let index_len = V1.sealed_len(&front).map_err(KeyedFileError::Envelope)?;
        if index_len > size {
            return Err(KeyedFileError::Size {
                expected: index_len,
                found: size,
            });
        }
        if index_len > front.len() as u64 {
            let rest = read_exactly(read, front.len() as u64..index_len)?;
            front.extend_from_slice(&rest);
        }
        let sealed = &front[..to_usize(index_len)];
        let body = V1.open(sealed).map_err(KeyedFileError::Envelope)?;
        let index = Index::from_body(body).map_err(KeyedFileError::Index)?;
        let (blocks, expected) = index.place(index_len).map_err(KeyedFileError::Index)?;
        if expected != size {
            return Err(KeyedFileError::Size {
                expected,
                found: size,
            });
        }
        Ok((Self { index, blocks }, front))
    }

    /// The file that it continues.
    pub fn base(&self) -> Option<CheckpointId> {
        self.index.base
    }

    /// The states in it.
    pub fn states(&self) -> impl Iterator<Item = &StateMeta> {
        self.index.states.iter().map(|state| &state.meta)
    }

    /// How many bytes the records of a key group have once they are read.
    pub fn bytes_of(&self, group: KeyGroup) -> u64 {
        let range = KeyGroupRange {
            start: group.0,
            end: group.0,
        };
        let blocks = self.blocks_of(range).iter();
        let plain = blocks.map(|block| block.entry.plain_len.unwrap_or(block.entry.len));
        plain.fold(0, u64::saturating_add)
    }

    fn blocks_of(&self, wanted: KeyGroupRange) -> &[Placed] {
        let blocks = &self.blocks;
        let first = blocks.partition_point(|block| block.entry.group.0 < wanted.start);
        let end = blocks.partition_point(|block| block.entry.group.0 <= wanted.end);
        &blocks[first..end]
    }

    /// Reads some of its key groups. The snapshot's range is the one that was asked for.
    pub fn read_groups<E: std::error::Error + 'static>(
        &self,
        read: &mut ReadRange<'_, E>,
        wanted: KeyGroupRange,
    ) -> Result<KeyedSnapshot, KeyedFileError<E>> {
        self.groups(&[], read, wanted)
    }

    /// The same, if the file's first bytes are known.
    fn groups<E: std::error::Error + 'static>(
        &self,
        front: &[u8],
        read: &mut ReadRange<'_, E>,
        wanted: KeyGroupRange,
    ) -> Result<KeyedSnapshot, KeyedFileError<E>> {
        let covered = self.index.range;
        if wanted.start < covered.start || wanted.end > covered.end || wanted.start > wanted.end {
            return Err(KeyedFileError::Range { wanted, covered });
        }
        let states = self.index.states.iter().map(|state| StateSnapshot {
            meta: state.meta.clone(),
            complete: state.complete,
            blocks: Vec::new(),
        });
        let mut states: Vec<StateSnapshot> = states.collect();
        for run in runs(self.blocks_of(wanted)) {
            let range = span(run);
            let start = range.start;
            let known = front.get(to_usize(start)..to_usize(range.end));
            let fetched = match known {
                Some(_) => Vec::new(),
                None => read_exactly(read, range)?,
            };
            let alone = run.len() == 1 && known.is_none();
            let mut fetched = Some(fetched);
            for block in run {
                let stored = match (known, &fetched) {
                    (Some(known), _) => known,
                    (None, Some(fetched)) => fetched.as_slice(),
                    (None, None) => &[],
                };
                let at = to_usize(block.offset - start);
                let stored = &stored[at..at + to_usize(block.entry.len)];
                let state = &mut states[block.state];
                let group = block.entry.group;
                let unpacked = unpacked(block, stored).map_err(|cause| KeyedFileError::Block {
                    state: state.meta.name.clone(),
                    group,
                    cause,
                })?;
                let bytes = match unpacked {
                    Some(bytes) => bytes,
                    None if alone => fetched.take().unwrap_or_default(),
                    None => stored.to_vec(),
                };
                state.blocks.push(GroupBlock { group, bytes });
            }
        }
        Ok(KeyedSnapshot {
            checkpoint: self.index.checkpoint,
            base: self.index.base,
            max_parallelism: self.index.max_parallelism,
            range: wanted,
            states,
        })
    }
}

/// Reads a whole file that is in memory.
pub fn decode(bytes: &[u8]) -> Result<KeyedSnapshot, KeyedFileError<Infallible>> {
    let mut read = |range: Range<u64>| {
        let part = bytes.get(to_usize(range.start)..to_usize(range.end));
        Ok(part.unwrap_or_default().to_vec())
    };
    let mut reader = Reader::open(&mut read, bytes.len() as u64)?;
    reader.read_groups(reader.range())
}

fn read_exactly<E: std::error::Error + 'static>(
    read: &mut ReadRange<'_, E>,
    range: Range<u64>,
) -> Result<Vec<u8>, KeyedFileError<E>> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let bytes = read(range.clone()).map_err(|source| KeyedFileError::Read {
        range: range.clone(),
        source,
    })?;
    let found = bytes.len() as u64;
    if found == range.end - range.start {
        Ok(bytes)
    } else {
        Err(KeyedFileError::ShortRead { range, found })
    }
}

/// Cuts blocks that lie one behind the other into reads.
fn runs(blocks: &[Placed]) -> Vec<&[Placed]> {
    let mut runs = Vec::new();
    let mut rest = blocks;
    while let Some(first) = rest.first() {
        let with_first = |block: &Placed| {
            block.entry.len < ALONE && block.offset + block.entry.len - first.offset <= READ_MAX
        };
        let len = match with_first(first) {
            true => rest.iter().take_while(|block| with_first(block)).count(),
            false => 1,
        };
        let (run, behind) = rest.split_at(len);
        runs.push(run);
        rest = behind;
    }
    runs
}

fn span(run: &[Placed]) -> Range<u64> {
    match (run.first(), run.last()) {
        (Some(first), Some(last)) => first.offset..last.offset + last.entry.len,
        _ => 0..0,
    }
}

/// Checks a block's bytes. What they are when they are decompressed; None: they are it already.
fn unpacked(block: &Placed, stored: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if hash_bytes(stored) != block.entry.checksum {
        return Err("its checksum does not match: it was damaged after it was written".to_owned());
    }
    let Some(plain_len) = block.entry.plain_len else {
        return Ok(None);
    };
    let plain = lz4_flex::block::decompress(stored, to_usize(plain_len));
    let plain = plain.map_err(|error| format!("decompress it: {error}"))?;
    if plain.len() as u64 == plain_len {
        Ok(Some(plain))
    } else {
        let found = plain.len();
        Err(format!("{found} bytes came out, should be {plain_len}"))
    }
}

/// Offsets in what is in memory fit.
fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
