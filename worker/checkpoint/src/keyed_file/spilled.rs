//! Writes the file of a snapshot that lies on the local disk, because memory may not hold it: the
//! bytes that [`encode`](super::encode) would give, piece by piece.

use weir_state::{ColdError, FileSnapshot, Records, Spilled, SpilledBlock};
use weir_types::{KeyGroup, hash_bytes};

use super::index::{BlockEntry, Index};
use super::{Compression, Layout, Stored};

/// A file that is about to be written.
#[derive(Debug)]
pub struct SpilledFile<'a> {
    spilled: &'a Spilled,
    compression: Compression,
    index: Vec<u8>,
    /// The blocks in the order of the file.
    records: Vec<&'a Records>,
    size: u64,
}

impl<'a> SpilledFile<'a> {
    /// Finds out what the index says. Blocks that are to be compressed are read for that, and
    /// compressed twice: once to know how long they become. A snapshot whose key groups are not in
    /// order, or not of its range, panics as in [`encode`](super::encode).
    pub fn new(
        snapshot: &FileSnapshot,
        spilled: &'a Spilled,
        compression: Compression,
    ) -> Result<Self, ColdError> {
        let mut layout = Layout::default();
        for state in &spilled.states {
            let blocks = state.blocks.iter().map(|SpilledBlock { group, records }| {
                Ok((entry_of(spilled, *group, records, compression)?, records))
            });
            let blocks = blocks.collect::<Result<_, ColdError>>()?;
            layout.add(&state.meta, state.complete, blocks);
        }
        let (index, records, size) = layout.finish(|states| Index {
            checkpoint: snapshot.checkpoint,
            base: None,
            max_parallelism: snapshot.max_parallelism,
            range: snapshot.range,
            states,
        });
        Ok(Self {
            spilled,
            compression,
            index,
            records,
            size,
        })
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Gives all bytes in order. What was given before an error is good for nothing: a block that
    /// was damaged on the local disk is noticed at its end.
    pub fn write<E: From<ColdError>>(
        &self,
        give: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        give(&self.index)?;
        for records in &self.records {
            match self.compression {
                Compression::None => self.spilled.pieces(records, give)?,
                Compression::Lz4 => {
                    let plain = self.spilled.read(records)?;
                    give(Stored::new(&plain, self.compression).bytes())?;
                }
            }
        }
        Ok(())
    }
}

fn entry_of(
    spilled: &Spilled,
    group: KeyGroup,
    records: &Records,
    compression: Compression,
) -> Result<BlockEntry, ColdError> {
    let (len, checksum) = match (compression, records) {
        (Compression::Lz4, _) => {
            let plain = spilled.read(records)?;
            return Ok(Stored::new(&plain, compression).entry(group));
        }
        (Compression::None, Records::InMemory(bytes)) => (bytes.len() as u64, hash_bytes(bytes)),
        (Compression::None, Records::OnDisk(span)) => (span.len, span.checksum),
    };
    Ok(BlockEntry {
        group,
        len,
        plain_len: None,
        checksum,
    })
}
