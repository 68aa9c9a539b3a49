//! A checksum of a file's content that does not depend on the pieces in which it was written.

use weir_types::KeyHasher;

/// Content is hashed in blocks of this size, so that any cut into pieces gives the same result.
const BLOCK_BYTES: usize = 8 << 10;

/// The checksum of what has been written so far.
pub(super) struct Checksum {
    hasher: KeyHasher,
    block: Vec<u8>,
}

impl Default for Checksum {
    fn default() -> Self {
        Self {
            hasher: KeyHasher::new(),
            block: Vec::with_capacity(BLOCK_BYTES),
        }
    }
}

impl Checksum {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(bytes.len().min(room));
            if self.block.is_empty() && now.len() == BLOCK_BYTES {
                self.hasher.write_bytes(now);
            } else {
                self.block.extend_from_slice(now);
                if self.block.len() == BLOCK_BYTES {
                    self.hasher.write_bytes(&self.block);
                    self.block.clear();
                }
            }
            bytes = later;
        }
    }

    pub(super) fn value(&self) -> u64 {
        let mut hasher = self.hasher;
        hasher.write_bytes(&self.block);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(pieces: &[&[u8]]) -> u64 {
        let mut checksum = Checksum::default();
        pieces.iter().for_each(|piece| checksum.update(piece));
        checksum.value()
    }

    proptest! {
        #[test]
        fn the_pieces_do_not_matter_and_each_byte_does(
            cuts in prop::collection::vec(0usize..40_000, 0..6), flip in 0usize..40_000,
        ) {
            let content: Vec<u8> = (0..40_000u32).map(|n| n.to_le_bytes()[0]).collect();
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut from = 0;
            let mut pieces = Vec::new();
            for cut in cuts {
                pieces.push(&content[from..cut]);
                from = cut;
            }
            pieces.push(&content[from..]);
            prop_assert_eq!(of(&pieces), of(&[&content]));
            let mut flipped = content.clone();
            flipped[flip] ^= 1;
            prop_assert_ne!(of(&[&flipped]), of(&[&content]));
            prop_assert_ne!(of(&[&content[1..]]), of(&[&content]));
        }
    }
}
