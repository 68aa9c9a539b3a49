//! An object that is written piece by piece, and what is known of it at its end.

use weir_storage::{ObjectWriter, StoreError};
use weir_types::Hash128;

pub(super) struct Pieces {
    object: Box<dyn ObjectWriter>,
    /// How many bytes are gathered to be written at once. 0: none.
    gathered: usize,
    piece: Vec<u8>,
    hash: Hash128,
    size: u64,
}

impl Pieces {
    pub(super) fn new(object: Box<dyn ObjectWriter>, gathered: usize) -> Self {
        Self {
            object,
            gathered,
            piece: Vec::with_capacity(gathered),
            hash: Hash128::new(),
            size: 0,
        }
    }

    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.write(bytes);
        self.size += bytes.len() as u64;
        if self.gathered == 0 {
            return self.object.write(bytes);
        }
        while !bytes.is_empty() {
            let room = self.gathered - self.piece.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.piece.extend_from_slice(now);
            if self.piece.len() == self.gathered {
                self.object.write(&self.piece)?;
                self.piece.clear();
            }
            bytes = later;
        }
        Ok(())
    }

    /// Size and checksum of the object, which exists now.
    pub(super) fn finish(mut self) -> Result<(u64, u128), StoreError> {
        if !self.piece.is_empty() {
            self.object.write(&self.piece)?;
        }
        self.object.finish()?;
        Ok((self.size, self.hash.finish()))
    }
}
