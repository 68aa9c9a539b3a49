//! A file of sorted entries that RocksDB takes in (its block-based table, format version 5),
//! without RocksDB.
//!
//! RocksDB's own writer spends more on an entry than all else that a checkpoint does with it: calls
//! into C++, checks of what is known here, two hashes, an index of each block. And it makes every
//! file durable, which nobody needs: the database is scratch.
//!
//! ```text
//! block of data ... block of data | filter | properties | index | list of those | footer
//! ```
//!
//! Behind each block stand its compression (u8) and a checksum of both (u32). What RocksDB thinks
//! of a file, its tests tell: `sst/tests.rs` puts any entries in and reads them with it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crc_fast::CrcAlgorithm;

use super::block::{Block, RESTART, common, disorder, put_varint};
use super::filter::{filter, hash};

/// About how large a block of data is. RocksDB's default.
const BLOCK_BYTES: usize = 4 << 10;

/// So much is written at once.
const PIECE_BYTES: usize = 256 << 10;

/// Behind a key stands the number of its change, which is RocksDB's to give, and what it is.
const PUT: [u8; 8] = [1, 0, 0, 0, 0, 0, 0, 0];
const DELETE: [u8; 8] = [0; 8];

const FORMAT_VERSION: u32 = 5;
const MAGIC: u64 = 0x88e2_41b7_85f4_cff7;

/// The checksum is CRC-32C.
const CRC32C: u8 = 1;

/// How blocks are compressed.
const NOT: u8 = 0;
const LZ4: u8 = 4;

const FILTER: &str = "rocksdb.BuiltinBloomFilter";

/// Where a block is.
#[derive(Clone, Copy, Debug)]
struct Handle {
    offset: u64,
    len: u64,
}

impl Handle {
    fn put(self, into: &mut Vec<u8>) {
        put_varint(into, self.offset);
        put_varint(into, self.len);
    }
}

/// Figures for the file's properties.
#[derive(Debug, Default)]
struct Counts {
    entries: u64,
    removals: u64,
    key_bytes: u64,
    value_bytes: u64,
    blocks: u64,
}

/// The file while it is written.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    compress: bool,
    /// Bytes in the file.
    written: u64,
    /// What comes behind them.
    piece: Vec<u8>,
    data: Block,
    index: Block,
    /// The block that the index has not named yet: the next key says how.
    unnamed: Option<(Vec<u8>, Handle)>,
    hashes: Vec<u32>,
    counts: Counts,
    /// What blocks and their handles are put together in.
    scratch: Vec<u8>,
}

impl Table {
    pub(super) fn create(path: &Path, compress: bool) -> io::Result<Self> {
        Ok(Self {
            file: File::create_new(path)?,
            compress,
            written: 0,
            piece: Vec::with_capacity(PIECE_BYTES + 2 * BLOCK_BYTES),
            data: Block::new(RESTART),
            index: Block::new(1),
            unnamed: None,
            hashes: Vec::new(),
            counts: Counts::default(),
            scratch: Vec::new(),
        })
    }

    /// Adds an entry; None: it is removed. Its key is larger than those before.
    #[inline]
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if let Some((mut last, handle)) = self.unnamed.take() {
            if key <= &last[..] {
                return Err(disorder());
            }
            separate(&mut last, key);
            self.name_block(&last, handle)?;
        }
        let (kind, value) = match value {
            Some(value) => (PUT, value),
            None => (DELETE, &[][..]),
        };
        self.data.add(key, &kind, value)?;
        self.hashes.push(hash(key));
        self.counts.entries += 1;
        self.counts.removals += u64::from(kind == DELETE);
        self.counts.key_bytes += (key.len() + kind.len()) as u64;
        self.counts.value_bytes += value.len() as u64;
        if self.data.len() >= BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(())
    }

    /// Bytes of the file so far.
    pub(super) fn len(&self) -> u64 {
        self.written + self.piece.len() as u64
    }

    fn end_block(&mut self) -> io::Result<()> {
        if self.data.is_empty() {
            return Ok(());
        }
        let last = self.data.last().to_vec();
        let handle = put_block(
            &mut self.piece,
            self.written,
            self.data.finish(),
            self.compress,
        );
        self.data.clear();
        self.counts.blocks += 1;
        self.unnamed = Some((last, handle));
        if self.piece.len() >= PIECE_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn name_block(&mut self, key: &[u8], handle: Handle) -> io::Result<()> {
        self.scratch.clear();
        handle.put(&mut self.scratch);
        self.index.add(key, &[], &self.scratch)
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_all(&self.piece)?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        Ok(())
    }

    /// Writes what stands behind the entries, of which there is one at least. How many bytes the
    /// file has.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.end_block()?;
        let data_bytes = self.len();
        if let Some((last, handle)) = self.unnamed.take() {
            self.name_block(&last, handle)?;
        }
        let filter_block = filter(&self.hashes);
        let index_block = self.index.finish();
        let sizes = [
            data_bytes,
            filter_block.len() as u64,
            index_block.len() as u64,
        ];
        let mut properties = properties(&self.counts, sizes, self.compress)?;
        let mut put = |block: &[u8]| put_block(&mut self.piece, self.written, block, false);
        let filter = put(&filter_block);
        let properties = put(properties.finish());
        let index = put(index_block);
        let mut list = Block::new(1);
        let full_filter = format!("fullfilter.{FILTER}");
        for (name, handle) in [(&*full_filter, filter), ("rocksdb.properties", properties)] {
            self.scratch.clear();
            handle.put(&mut self.scratch);
            list.add(name.as_bytes(), &[], &self.scratch)?;
        }
        let list = put_block(&mut self.piece, self.written, list.finish(), false);
        self.put_footer(list, index);
        self.write()?;
        Ok(self.written)
    }

    fn put_footer(&mut self, list: Handle, index: Handle) {
        /// Of two handles, however long they are.
        const HANDLES: usize = 40;
        self.scratch.clear();
        list.put(&mut self.scratch);
        index.put(&mut self.scratch);
        self.scratch.resize(HANDLES, 0);
        self.piece.push(CRC32C);
        self.piece.extend_from_slice(&self.scratch);
        self.piece.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        self.piece.extend_from_slice(&MAGIC.to_le_bytes());
    }
}

/// Puts a block behind what a piece of a file has, which itself begins at `begin`.
fn put_block(piece: &mut Vec<u8>, begin: u64, block: &[u8], compress: bool) -> Handle {
    let start = piece.len();
    let mut kind = NOT;
    if compress {
        let text = lz4_flex::block::compress(block);
        // Not worth the work of whoever reads it otherwise.
        if text.len() < block.len() / 8 * 7 {
            put_varint(piece, block.len() as u64);
            piece.extend_from_slice(&text);
            kind = LZ4;
        }
    }
    if kind == NOT {
        piece.extend_from_slice(block);
    }
    let len = (piece.len() - start) as u64;
    piece.push(kind);
    let sum = checksum(&piece[start..]);
    piece.extend_from_slice(&sum.to_le_bytes());
    Handle {
        offset: begin + start as u64,
        len,
    }
}

/// What RocksDB wants to know of a file that somebody else wrote.
fn properties(
    counts: &Counts,
    [data, filter, index]: [u64; 3],
    compressed: bool,
) -> io::Result<Block> {
    let number = |number: u64| {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        bytes
    };
    let compression = if compressed { "LZ4" } else { "NoCompression" };
    // In order, as in any block.
    let properties = [
        ("rocksdb.block.based.table.index.type", vec![0; 4]),
        ("rocksdb.block.based.table.prefix.filtering", b"0".to_vec()),
        (
            "rocksdb.block.based.table.whole.key.filtering",
            b"1".to_vec(),
        ),
        ("rocksdb.comparator", b"leveldb.BytewiseComparator".to_vec()),
        ("rocksdb.compression", compression.into()),
        ("rocksdb.data.size", number(data)),
        ("rocksdb.deleted.keys", number(counts.removals)),
        // A change's number is the one that the database gives to the whole file.
        ("rocksdb.external_sst_file.global_seqno", vec![0; 8]),
        ("rocksdb.external_sst_file.version", vec![2, 0, 0, 0]),
        ("rocksdb.filter.policy", FILTER.into()),
        ("rocksdb.filter.size", number(filter)),
        ("rocksdb.index.key.is.user.key", number(1)),
        ("rocksdb.index.size", number(index)),
        ("rocksdb.index.value.is.delta.encoded", number(0)),
        ("rocksdb.key.largest.seqno", number(0)),
        ("rocksdb.key.smallest.seqno", number(0)),
        ("rocksdb.num.data.blocks", number(counts.blocks)),
        ("rocksdb.num.entries", number(counts.entries)),
        ("rocksdb.num.filter_entries", number(counts.entries)),
        ("rocksdb.raw.key.size", number(counts.key_bytes)),
        ("rocksdb.raw.value.size", number(counts.value_bytes)),
        ("rocksdb.tail.start.offset", number(data)),
    ];
    let mut block = Block::new(usize::MAX);
    for (name, value) in properties {
        block.add(name.as_bytes(), &[], &value)?;
    }
    Ok(block)
}

/// Makes of the last key of a block a short one that is not smaller, and smaller than the next key.
fn separate(last: &mut Vec<u8>, next: &[u8]) {
    let same = common(last, next);
    if let (Some(mine), Some(other)) = (last.get(same).copied(), next.get(same))
        && let Some(larger) = mine.checked_add(1)
        && larger < *other
    {
        last.truncate(same);
        last.push(larger);
    }
}

/// CRC-32C, turned, so that a checksum over bytes that hold their own is none.
fn checksum(bytes: &[u8]) -> u32 {
    let sum = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes);
    let sum = u32::try_from(sum & u64::from(u32::MAX)).unwrap_or_default();
    sum.rotate_right(15).wrapping_add(0xa282_ead8)
}
