//! A file for the blocks of a snapshot, one behind the other. It has no name: it goes with whoever
//! reads it, and a process that is killed leaves nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use weir_state::{ColdError, Records, Span, SpillFile, SpilledBlock, append_entry, checksum_of};
use weir_types::{Hash128, KeyGroup};

use crate::error::Place;

/// So much is written at a time.
const PIECE_BYTES: usize = 1 << 20;

/// The file while it is written.
pub(crate) struct Spill<'a> {
    file: File,
    place: &'a Place,
    /// Bytes in the file.
    written: u64,
    /// What comes behind them.
    piece: Vec<u8>,
    /// The bytes of the piece that the block's checksum has seen, or that are of earlier blocks.
    seen: usize,
    block: Option<Begun>,
}

/// The block that is being written.
struct Begun {
    group: KeyGroup,
    offset: u64,
    hash: Hash128,
}

impl<'a> Spill<'a> {
    /// Makes a file. The path is its name for a moment only.
    pub(crate) fn create(path: &Path, place: &'a Place) -> Result<Self, ColdError> {
        let failed = place.io("make a file for a copy of state");
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(path).map_err(&failed)?;
        fs::remove_file(path).map_err(&failed)?;
        Ok(Self {
            file,
            place,
            written: 0,
            piece: Vec::with_capacity(PIECE_BYTES),
            seen: 0,
            block: None,
        })
    }

    /// The key group of the block that is being written.
    pub(crate) fn group(&self) -> Option<KeyGroup> {
        self.block.as_ref().map(|block| block.group)
    }

    /// Begins a block behind those that have ended.
    pub(crate) fn begin_block(&mut self, group: KeyGroup) {
        self.block = Some(Begun {
            group,
            offset: self.written + self.piece.len() as u64,
            hash: Hash128::new(),
        });
        self.seen = self.piece.len();
    }

    /// Adds an entry to the block. True if a piece was full and is in the file now.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) -> Result<bool, ColdError> {
        append_entry(key, value, &mut self.piece);
        if self.piece.len() < PIECE_BYTES {
            return Ok(false);
        }
        self.write()?;
        Ok(true)
    }

    /// Ends the block, if one was begun.
    pub(crate) fn end_block(&mut self) -> Option<SpilledBlock> {
        self.see();
        let Begun {
            group,
            offset,
            hash,
        } = self.block.take()?;
        Some(SpilledBlock {
            group,
            records: Records::OnDisk(Span {
                offset,
                len: self.written + self.piece.len() as u64 - offset,
                checksum: checksum_of(hash),
            }),
        })
    }

    /// What the file is when all blocks have ended.
    pub(crate) fn finish(mut self) -> Result<Arc<dyn SpillFile>, ColdError> {
        self.write()?;
        Ok(Arc::new(Nameless {
            file: Some(self.file),
            place: self.place.clone(),
        }))
    }

    fn see(&mut self) {
        if let Some(block) = &mut self.block {
            let new = self.piece.get(self.seen..).unwrap_or_default();
            block.hash.write(new);
        }
        self.seen = self.piece.len();
    }

    fn write(&mut self) -> Result<(), ColdError> {
        self.see();
        let written = self.file.write_all(&self.piece);
        written.map_err(self.place.io("write a copy of state"))?;
        self.written += self.piece.len() as u64;
        self.piece.clear();
        self.seen = 0;
        Ok(())
    }
}

/// The file once it is written.
#[derive(Debug)]
struct Nameless {
    /// There until this is dropped.
    file: Option<File>,
    place: Place,
}

impl SpillFile for Nameless {
    fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<(), ColdError> {
        let file = self.file.as_ref();
        let file = file.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        let read = file.and_then(|file| file.read_exact_at(into, offset));
        read.map_err(self.place.io("read a copy of state"))
    }
}

/// To let go of a large file takes a while, and a subtask may come by here.
impl Drop for Nameless {
    fn drop(&mut self) {
        let file = self.file.take();
        let thread = thread::Builder::new().name("state-copy-gone".to_owned());
        // Without a thread it goes here.
        drop(thread.spawn(move || drop(file)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks that end within a piece, at its end and behind many.
    #[test]
    fn blocks_read_back_as_they_were_appended_and_the_file_has_no_name() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(folder.path());
        let mut spill = Spill::create(&folder.path().join("copy"), &place).unwrap();
        assert_eq!(spill.end_block(), None);
        let value = vec![7; 1000];
        let (mut blocks, mut want) = (Vec::new(), Vec::new());
        for (group, entries) in [(0, 3), (1, 1), (4, 3_500), (5, 1), (9, 20_000)] {
            spill.begin_block(KeyGroup(group));
            assert_eq!(spill.group(), Some(KeyGroup(group)));
            let mut bytes = Vec::new();
            for entry in 0..entries {
                let key = format!("{group}/{entry}");
                spill.add(key.as_bytes(), &value).unwrap();
                append_entry(key.as_bytes(), &value, &mut bytes);
            }
            blocks.extend(spill.end_block());
            want.push((KeyGroup(group), bytes));
        }
        let file = spill.finish().unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(blocks.len(), want.len());
        for (block, (group, bytes)) in blocks.iter().zip(want) {
            assert_eq!(block.group, group);
            let Records::OnDisk(span) = block.records else {
                unreachable!("it is in the file");
            };
            assert_eq!(span.checksum, weir_types::hash_bytes(&bytes));
            let mut read = vec![0; usize::try_from(span.len).unwrap()];
            file.read_at(span.offset, &mut read).unwrap();
            assert!(read == bytes, "key group {group}");
        }
        let mut behind = [0];
        assert!(file.read_at(1 << 40, &mut behind).is_err());
    }
}
