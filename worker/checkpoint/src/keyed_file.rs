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
use weir_state::KeyedSnapshot;
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
    size: usize,
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
        let mut blocks: Vec<(KeyGroup, usize, Stored<'a>)> = Vec::new();
        let mut states = Vec::with_capacity(snapshot.states.len());
        let mut size = 0;
        for (nth, state) in snapshot.states.iter().enumerate() {
            let mut entries = Vec::with_capacity(state.blocks.len());
            for block in &state.blocks {
                let stored = Stored::new(&block.bytes, compression);
                entries.push(stored.entry(block.group));
                size += stored.bytes().len();
                blocks.push((block.group, nth, stored));
                between();
            }
            states.push(StateEntry {
                meta: state.meta.clone(),
                complete: state.complete,
                blocks: entries,
            });
        }
        blocks.sort_by_key(|(group, state, _)| (*group, *state));
        let index = Index {
            checkpoint: snapshot.checkpoint,
            base: snapshot.base,
            max_parallelism: snapshot.max_parallelism,
            range: snapshot.range,
            states,
        };
        assert_eq!(index.check(), Ok(()), "a backend makes snapshots in order");
        let index = index.seal();
        Self {
            size: size + index.len(),
            index,
            blocks: blocks.into_iter().map(|(.., stored)| stored).collect(),
        }
    }

    /// How many bytes it has.
    pub fn size(&self) -> usize {
        self.size
    }

    /// All bytes in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let blocks = self.blocks.iter().map(Stored::bytes);
        std::iter::once(&*self.index).chain(blocks)
    }

    /// The same, copied.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut file = Vec::with_capacity(self.size);
        for piece in self.pieces() {
            file.extend_from_slice(piece);
        }
        file
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
