//! The file of a [`KeyedSnapshot`]: laid out by key group, so that a subtask which is restored at
//! another parallelism reads only what it needs, with few ranged reads.
//!
//! ```text
//! file  = index (an envelope: magic, version, length, body, checksum) | block*
//! ```
//!
//! The index says what the snapshot is and, by state and key group, how long the block is, its
//! checksum, and whether it is compressed. Blocks lie in the order of key groups, those of one key
//! group in the order of states: a range of key groups is one range of bytes. A reader believes a
//! byte only after it has seen a checksum of it.

mod index;
mod reader;
mod spilled;

use serde::{Deserialize, Serialize};
use weir_state::{KeyedSnapshot, StateMeta};
use weir_types::{KeyGroup, hash_bytes};

use self::index::{BlockEntry, Index, StateEntry};
pub use self::reader::{Contents, KeyedFileError, ReadRange, Reader, decode};
pub use self::spilled::SpilledFile;

/// Whether blocks are compressed, each for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// They are written as they are.
    #[default]
    None,
    /// LZ4, where it makes a block smaller.
    Lz4,
}

/// The bytes of the file, see [`MemoryFile::new`].
pub fn encode(snapshot: &KeyedSnapshot, compression: Compression) -> Vec<u8> {
    MemoryFile::new(snapshot, compression, &mut || {}).to_vec()
}

/// A file that is about to be written, of a snapshot that lies in memory and stays there.
pub struct MemoryFile<'a> {
    index: Vec<u8>,
    /// The blocks in the order of the file.
    blocks: Vec<Stored<'a>>,
    size: u64,
}

impl<'a> MemoryFile<'a> {
    /// Finds out what the index says, for which all blocks are read; `between` is called behind
    /// each. A snapshot whose key groups are not in order, or not of its range, is a defect of the
    /// backend that made it, and panics.
    pub fn new(
        snapshot: &'a KeyedSnapshot,
        compression: Compression,
        between: &mut dyn FnMut(),
    ) -> Self {
        let mut layout = Layout::default();
        for state in &snapshot.states {
            let blocks = state.blocks.iter().map(|block| {
                let stored = Stored::new(&block.bytes, compression);
                let entry = stored.entry(block.group);
                between();
                (entry, stored)
            });
            layout.add(&state.meta, state.complete, blocks.collect());
        }
        let (index, blocks, size) = layout.finish(|states| Index {
            checkpoint: snapshot.checkpoint,
            base: snapshot.base,
            max_parallelism: snapshot.max_parallelism,
            range: snapshot.range,
            states,
        });
        Self {
            index,
            blocks,
            size,
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All bytes in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let blocks = self.blocks.iter().map(Stored::bytes);
        std::iter::once(&*self.index).chain(blocks)
    }

    /// The same, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.pieces().map(<[u8]>::len).sum());
        for piece in self.pieces() {
            file.extend_from_slice(piece);
        }
        file
    }
}

/// What the index says of the blocks so far, and where they will lie.
struct Layout<B> {
    states: Vec<StateEntry>,
    blocks: Vec<(KeyGroup, usize, B)>,
    size: u64,
}

impl<B> Default for Layout<B> {
    fn default() -> Self {
        Self {
            states: Vec::new(),
            blocks: Vec::new(),
            size: 0,
        }
    }
}

impl<B> Layout<B> {
    /// Adds a state with its blocks, in the order of their key groups.
    fn add(&mut self, meta: &StateMeta, complete: bool, blocks: Vec<(BlockEntry, B)>) {
        let nth = self.states.len();
        let mut entries = Vec::with_capacity(blocks.len());
        for (entry, block) in blocks {
            self.size += entry.len;
            self.blocks.push((entry.group, nth, block));
            entries.push(entry);
        }
        self.states.push(StateEntry {
            meta: meta.clone(),
            complete,
            blocks: entries,
        });
    }

    /// The index's bytes, the blocks in the order of the file, and the file's size.
    fn finish(mut self, index: impl FnOnce(Vec<StateEntry>) -> Index) -> (Vec<u8>, Vec<B>, u64) {
        self.blocks
            .sort_by_key(|(group, state, _)| (*group, *state));
        let index = index(self.states);
        assert_eq!(index.check(), Ok(()), "a backend makes snapshots in order");
        let index = index.seal();
        let size = self.size + index.len() as u64;
        let blocks = self.blocks.into_iter().map(|(.., block)| block);
        (index, blocks.collect(), size)
    }
}

/// A block as it lies in the file.
enum Stored<'a> {
    Plain(&'a [u8]),
    Lz4 { bytes: Vec<u8>, plain_len: u64 },
}

impl<'a> Stored<'a> {
    fn new(plain: &'a [u8], compression: Compression) -> Self {
        if compression == Compression::None {
            return Self::Plain(plain);
        }
        let bytes = lz4_flex::block::compress(plain);
        if bytes.len() < plain.len() {
            let plain_len = plain.len() as u64;
            Self::Lz4 { bytes, plain_len }
        } else {
            Self::Plain(plain)
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Lz4 { bytes, .. } => bytes,
        }
    }

    fn plain_len(&self) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Lz4 { plain_len, .. } => Some(*plain_len),
        }
    }

    fn entry(&self, group: KeyGroup) -> BlockEntry {
        BlockEntry {
            group,
            len: self.bytes().len() as u64,
            plain_len: self.plain_len(),
            checksum: hash_bytes(self.bytes()),
        }
    }
}

#[cfg(test)]
mod tests;
